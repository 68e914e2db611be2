import { randomBytes, randomUUID } from 'node:crypto';
import { AuditStream } from '../../src/audit/audit.stream.js';
import { Pools } from '../../src/platform/database/pools.js';
import { RateLimitGate } from '../../src/rate-limit/rate-limit.gate.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { administer } from '../factories/database.js';
import { flood, heapInUse } from '../factories/flood.js';
import { emqxRequest } from '../factories/raw-http.js';

const AUTH = '/api/v1/internal/mqtt-auth';
const LONG = process.env['PORTCULLIS_LONG'] === '1';
const QUESTIONS = LONG ? 100_000 : 2_000;
const ADDRESSES = LONG ? 10_000 : 1_000;
const MIB = 1024 * 1024;
/** What "no such device" is remembered for. */
const MISS_MS = 2_000;

jest.setTimeout(LONG ? 300_000 : 60_000);

describe('under a flood at the door of the broker', () => {
  let app: TestApp;
  let owner: RegisteredDevice;

  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.registerDevice('owner');
  });

  afterAll(() => app.stop());

  const question = (id: string, password: string, peerhost: string): Buffer =>
    emqxRequest(AUTH, app.config.internal.secrets[0] ?? '', JSON.stringify({ username: id, peerhost, password, listener_kind: 'plain', clientid: id, cert_pem: '', cert_common_name: '' }));

  const address = (n: number): string => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;

  const sql = async <T>(text: string, params: unknown[] = []): Promise<T[]> => {
    await app.app.get(AuditStream).flush();
    let rows: T[] = [];
    await administer(app.database.url, async (client) => void (rows = (await client.query(text, params)).rows as T[]));
    return rows;
  };

  /** Keeps asking with the right secret, on a connection of its own, until told to stop. */
  const keepConnecting = (from: string): { stop: () => Promise<{ allow: number; deny: number }> } => {
    let going = true;
    const requests: Iterator<Buffer> = { next: () => (going ? { value: question(owner.id, owner.client_secret, from) } : { done: true, value: undefined }) };
    const done = flood(app.internalPort, requests, { connections: 1, pipelining: 1 });
    return { stop: () => ((going = false), done) };
  };

  const attack = async (make: (n: number) => Buffer, halfway: () => Promise<unknown> = () => Promise.resolve(), total = QUESTIONS) => {
    let half: Promise<unknown> | undefined;
    function* requests(): Generator<Buffer> {
      for (let n = 0; n < total; n += 1) {
        if (n === total >> 1) half = halfway();
        yield make(n);
      }
    }
    const started = performance.now();
    const result = await flood(app.internalPort, requests());
    await half;
    return { ...result, elapsedMs: performance.now() - started };
  };

  describe.each([
    ['one address', 1],
    [`${ADDRESSES} addresses`, ADDRESSES],
  ])('of wrong secrets for one device from %s', (_, addresses) => {
    let victim: RegisteredDevice;
    let neighbour: RegisteredDevice;
    let before: number;
    let result: Awaited<ReturnType<typeof attack>>;
    let connected: { allow: number; deny: number };

    beforeAll(async () => {
      victim = owner;
      neighbour = await app.registerDevice(`neighbour-of-${addresses}`);
      await attack((n) => question(randomUUID(), 'warm up', address(n % 16)), undefined, 300);
      before = heapInUse();
      const owning = keepConnecting('10.0.0.1');
      result = await attack(
        (n) => question(victim.id, `pcs_${randomBytes(32).toString('base64url').slice(0, 42)}A`, address(1 + (n % addresses))),
        async () => {
          const { status } = await app.call('POST', `/devices/${neighbour.id}/suspend`, { reason: 'seen in the middle' });
          expect(status).toBe(200);
        },
      );
      connected = await owning.stop();
    });

    it('every one is refused', () => {
      expect(result).toMatchObject({ allow: 0, deny: QUESTIONS, other: [] });
    });

    it('the owner connects throughout, from the very address of the attacker', () => {
      expect(connected.deny).toBe(0);
      expect(connected.allow).toBeGreaterThan(10);
    });

    it('the device stays ACTIVE: a wrong secret proves nothing', async () => {
      expect((await app.call('GET', `/devices/${victim.id}`)).body['status']).toBe('ACTIVE');
    });

    it('memory stays bounded', () => {
      expect(app.app.get(RateLimitGate).size).toBeLessThanOrEqual(100_000);
      expect((heapInUse() - before) / MIB).toBeLessThan(64);
    });

    it('the log holds few rows that tell how many there were from where, and the suspension in the middle', async () => {
      const [noise] = await sql<{ rows: number }>(
        `SELECT count(*)::int AS rows FROM security_audit_logs WHERE event_type = 'AUTH_FAILURE' AND device_id = $1`, [victim.id]);
      expect(noise?.rows).toBeGreaterThan(0);
      expect(noise?.rows).toBeLessThanOrEqual(addresses === 1 ? 10 : 600);
      const suspended = await sql(`SELECT id FROM security_audit_logs WHERE event_type = 'DEVICE_SUSPENDED' AND device_id = $1`, [neighbour.id]);
      expect(suspended).toHaveLength(1);
      expect(app.app.get(AuditStream).stats.dropped.high).toBe(0);
    });
  });

  it('HIGH rows of the other lane find room in the middle of it', async () => {
    const [stolen, wrong] = [await app.registerDevice(`stolen-${randomUUID()}`), await app.registerDevice(`wrong-${randomUUID()}`)];
    const audit = app.app.get(AuditStream);
    await attack((n) => question(randomUUID(), 'x', address(n)), async () => {
      audit.note({ type: 'HMAC_FAILURE', severity: 'HIGH', tenantId: null, deviceId: stolen.id, actor: { kind: 'device', id: wrong.id } });
    });
    const rows = await sql(`SELECT id FROM security_audit_logs WHERE event_type = 'HMAC_FAILURE' AND device_id = $1`, [stolen.id]);
    expect(rows).toHaveLength(1);
    expect(audit.stats.dropped.high).toBe(0);
  });

  describe('of questions about devices that do not exist', () => {
    const counted = async (ids: number): Promise<{ statements: number; elapsedMs: number; deny: number; grown: number }> => {
      const names = Array.from({ length: ids }, () => randomUUID());
      const query = jest.spyOn(app.app.get(Pools).gate, 'query');
      const before = heapInUse();
      const { elapsedMs, deny } = await attack((n) => question(names[n % ids] ?? '', 'pcs_x', address(n % 1_000)));
      const statements = query.mock.calls.length;
      query.mockRestore();
      return { statements, elapsedMs, deny, grown: (heapInUse() - before) / MIB };
    };

    it('each unknown id is asked of Postgres once as long as its absence is remembered', async () => {
      const ids = Math.min(1_000, QUESTIONS / 10);
      const { statements, elapsedMs, deny } = await counted(ids);
      expect(deny).toBe(QUESTIONS);
      expect(statements).toBeLessThanOrEqual(ids * (1 + Math.ceil(elapsedMs / MISS_MS)));
    });

    it('ids that are all different cost one statement each, bounded memory and few rows in the log', async () => {
      const rowsBefore = await sql<{ n: number }>('SELECT count(*)::int AS n FROM security_audit_logs');
      const { statements, deny, grown } = await counted(QUESTIONS);
      expect(deny).toBe(QUESTIONS);
      expect(statements).toBeLessThanOrEqual(QUESTIONS);
      expect(grown).toBeLessThan(64);
      const rowsAfter = await sql<{ n: number }>('SELECT count(*)::int AS n FROM security_audit_logs');
      expect((rowsAfter[0]?.n ?? 0) - (rowsBefore[0]?.n ?? 0)).toBeLessThanOrEqual(600);
    });

    it('an id that is no UUID in canonical form costs Postgres nothing', async () => {
      const query = jest.spyOn(app.app.get(Pools).gate, 'query');
      await attack((n) => question(`device-${n}`, 'pcs_x', address(n % 1_000)));
      expect(query).not.toHaveBeenCalled();
      query.mockRestore();
    });
  });
});
