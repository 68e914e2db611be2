import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from '../platform/config/config.js';
import type { Health } from '../platform/telemetry/health.js';
import { logger } from '../platform/telemetry/logger.js';
import { Metrics } from '../platform/telemetry/metrics.js';
import { BrokerConfiguration } from './broker-configuration.js';
import { checkBroker } from './check.js';
import { lintRunning } from './running-configuration.js';

const OURS = readFileSync('docker/emqx/emqx.conf', 'utf8').replace('18083', '"127.0.0.1:18083"');
const EXPECTED = `Basic ${Buffer.from('key:secret').toString('base64')}`;

describe('the running broker', () => {
  let server: Server;
  let answer: { status: number; type: string; body: string };
  const asked: string[] = [];
  const access = () => ({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, key: 'key', secret: 'secret' });
  const idsOf = async () => (await lintRunning(access())).map(({ id }) => id);

  beforeAll(async () => {
    logger.level = 'silent';
    server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers.accept}`);
      const known = request.headers.authorization === EXPECTED;
      response.writeHead(known ? answer.status : 401, { 'content-type': answer.type }).end(known ? answer.body : '{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  beforeEach(() => {
    answer = { status: 200, type: 'text/plain', body: OURS };
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  it('is read as text, where the answer is the whole, and judged by the same rules', async () => {
    expect(await idsOf()).toEqual([]);
    expect(asked.at(-1)).toBe('GET /api/v5/configs text/plain, application/json');
    answer.body = `${OURS}\nauthorization.no_match = allow`;
    expect(await idsOf()).toEqual(['no-match']);
  });

  it('is read as JSON where that is the whole', async () => {
    answer = { status: 200, type: 'application/json', body: '{"listeners":{},"authentication":[],"authorization":{"no_match":"allow"},"mqtt":{}}' };
    expect(await idsOf()).toEqual(expect.arrayContaining(['no-match', 'sources-missing']));
  });

  it.each<[string, Partial<{ status: number; type: string; body: string }>]>([
    ['the part of it that JSON answers', { type: 'application/json', body: '{"dashboard":{}}' }],
    ['an error', { status: 500 }],
    ['a page', { type: 'text/html', body: '<html>' }],
    ['broken JSON', { type: 'application/json', body: '{' }],
    ['JSON that is no object', { type: 'application/json', body: '[]' }],
  ])('is unread, not clean, when EMQX answers %s', async (_, part) => {
    answer = { ...answer, ...part };
    expect(await idsOf()).toEqual(['unread']);
  });

  it('is unread, not clean, when the key is wrong or nobody listens, and the key is not told', async () => {
    expect((await lintRunning({ ...access(), secret: 'wrong' })).map(({ id }) => id)).toEqual(['unread']);
    const found = await lintRunning({ url: 'http://127.0.0.1:1', key: 'key', secret: 'top-secret' });
    expect(found.map(({ id }) => id)).toEqual(['unread']);
    expect(JSON.stringify(found)).not.toContain('top-secret');
  });

  describe('from the command line', () => {
    let printed: string;
    const check = (...words: string[]) => {
      printed = '';
      return checkBroker(words, { emqx: access, print: (text) => (printed += text) });
    };

    it('ends with 0 when clean and 1 with errors, unless they are waived', async () => {
      expect(await check()).toBe(0);
      answer.body = `${OURS}\ndelayed.enable = true`;
      expect(await check()).toBe(1);
      expect(printed).toContain('delayed.enable = false');
      expect(await check('--waive', 'delayed')).toBe(0);
      expect(await check('--file', 'docker/emqx/emqx.conf')).toBe(0);
    });

    it('prints JSON', async () => {
      answer.body = `${OURS}\ndelayed.enable = true`;
      await check('--json', '--waive', 'delayed');
      expect(JSON.parse(printed)).toMatchObject({ clean: true, findings: [{ id: 'delayed', path: 'delayed.enable', waived: true }] });
    });

    it('refuses options and names that it does not know, and a file that is not there', async () => {
      await expect(check('--fiel', 'x')).rejects.toThrow('--fiel');
      await expect(check('--waive', 'delaid')).rejects.toThrow('delaid');
      await expect(check('--file', '/nowhere/emqx.conf')).rejects.toThrow('/nowhere/emqx.conf');
    });
  });

  describe('and readiness', () => {
    const open: BrokerConfiguration[] = [];
    function watch(production: boolean, mqtt: Partial<Config['mqtt']>): Map<string, () => Promise<boolean>> {
      const checks = new Map<string, () => Promise<boolean>>();
      const health = { register: (name: string, check: () => Promise<boolean>) => void checks.set(name, check) } as unknown as Health;
      const config = { production, mqtt: { url: 'mqtts://emqx:8883', lintWaived: [], ...mqtt } } as unknown as Config;
      const watching = new BrokerConfiguration(config, health, new Metrics());
      watching.onModuleInit();
      open.push(watching);
      return checks;
    }
    /** The check's answer once it is this one; the reading runs beside. */
    async function becomes(checks: Map<string, () => Promise<boolean>>, wanted: boolean): Promise<boolean> {
      const before = asked.length;
      while ((await checks.get('brokerConfiguration')?.()) !== wanted && asked.length < before + 2) await new Promise((resolve) => setImmediate(resolve));
      return wanted;
    }
    afterEach(() => open.splice(0).forEach((watching) => watching.onApplicationShutdown()));

    it('is red in production before anything was read, and green once it is clean', async () => {
      const checks = watch(true, { emqx: access() });
      expect(await checks.get('brokerConfiguration')?.()).toBe(false);
      expect(await becomes(checks, true)).toBe(true);
    });

    it('is red for an error, and green for one that is waived', async () => {
      answer.body = `${OURS}\ndelayed.enable = true`;
      expect(await becomes(watch(true, { emqx: access(), lintWaived: ['delayed'] }), true)).toBe(true);
      const checks = watch(true, { emqx: access() });
      const before = asked.length;
      while (asked.length === before) await new Promise((resolve) => setImmediate(resolve));
      expect(await checks.get('brokerConfiguration')?.()).toBe(false);
    });

    it('is red in production without a management API, unless that is waived', async () => {
      expect(await watch(true, {}).get('brokerConfiguration')?.()).toBe(false);
      const waived = watch(true, { lintWaived: ['unread'] });
      expect(await becomes(waived, true)).toBe(true);
    });

    it('is not asked for in development', () => {
      expect(watch(false, { emqx: access() }).size).toBe(0);
    });

    it('stops the start for a waiver of nothing known', () => {
      expect(() => watch(true, { lintWaived: ['delaid'] })).toThrow('BROKER_LINT_WAIVE');
    });
  });
});
