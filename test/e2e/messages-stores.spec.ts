import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { SystemClock } from '../../src/platform/clock/clock.js';
import { DataKeys } from '../../src/platform/crypto/data-keys.js';
import { Pools } from '../../src/platform/database/pools.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { RedisStore } from '../../src/platform/redis/redis-store.js';
import { TestApp } from '../factories/app.js';
import { asMigrator } from '../factories/registry.js';
import { nonce, signedBy, topicOf } from '../factories/signing-device.js';
import { until } from '../factories/until.js';
import { ROOT } from '../fakes/installation.js';
import { PrivateRedis } from '../fakes/private-redis.js';

const REDIS_HERE = (process.env['TEST_REDIS_URL'] ?? '') !== '';

(REDIS_HERE || process.env['CI'] === 'true' ? describe : describe.skip)('a Redis that is started again without its data', () => {
  it('lets a message that is still fresh pass once more, under the nonce it had, and never one that is older', async () => {
    const redis = await PrivateRedis.start();
    const app = await TestApp.start({ store: new RedisStore({ url: redis.url }) });
    try {
      const device = await app.registerDevice('remembered', { credentials: ['hmac'] });
      const verify = async (message: string): Promise<string> => {
        const { status, body } = await app.call<{ verified: boolean; reason?: string }>('POST', '/messages/verify', { topic: topicOf(device, 'telemetry'), message });
        return status === 200 ? (body.reason ?? 'verified') : String(status);
      };
      const fresh = signedBy(device, 'telemetry', { data: 1 });
      const old = signedBy(device, 'telemetry', { data: 1 }, { ts: Date.now() - 300_001 });
      expect([await verify(fresh), await verify(fresh)]).toEqual(['verified', 'REPLAY']);
      await redis.kill();
      expect(await verify(signedBy(device, 'telemetry', { data: 2 }))).toBe('503');
      await redis.restart();
      let again = '503';
      await until('Redis', async () => (again = await verify(fresh)) !== '503');
      expect(again).toBe('verified');
      expect([await verify(fresh), await verify(old)]).toEqual(['REPLAY', 'STALE']);
    } finally {
      await app.stop();
      await redis.kill();
    }
  });
});

(REDIS_HERE || process.env['CI'] === 'true' ? describe : describe.skip)('a replay', () => {
  it('is refused after a restart of the process, on another topic and for another device', async () => {
    const redis = await PrivateRedis.start();
    const first = await TestApp.start({ store: new RedisStore({ url: redis.url }) });
    try {
      const [device, other] = [await first.registerDevice('one', { credentials: ['hmac'] }), await first.registerDevice('two', { credentials: ['hmac'] })];
      const verify = async (app: TestApp, topic: string, message: string): Promise<string> =>
        (await app.call<{ verified: boolean; reason?: string }>('POST', '/messages/verify', { topic, message })).body.reason ?? 'verified';
      const topic = topicOf(device, 'telemetry');
      const once = nonce();
      const text = signedBy(device, 'telemetry', { data: 1 }, { nonce: once });
      expect(await verify(first, topic, text)).toBe('verified');
      const restarted = await TestApp.start({ database: first.database, config: first.config, store: new RedisStore({ url: redis.url }) });
      try {
        expect(await verify(restarted, topic, text)).toBe('REPLAY');
        expect(await verify(restarted, topicOf(device, 'events/x'), text)).toBe('BAD_SIGNATURE');
        expect(await verify(restarted, topicOf(other, 'telemetry'), text)).toBe('BAD_SIGNATURE');
        // Under one nonce nothing else is believed either, even signed anew for the other topic.
        expect(await verify(restarted, topicOf(device, 'events/x'), signedBy(device, 'events/x', { data: 1 }, { nonce: once }))).toBe('REPLAY');
        expect(await verify(restarted, topicOf(other, 'telemetry'), signedBy(other, 'telemetry', { data: 1 }, { nonce: once }))).toBe('verified');
      } finally {
        await restarted.stop();
      }
    } finally {
      await first.stop();
      await redis.kill();
    }
  });
});

describe('portcullis secrets reseal', () => {
  it('killed in the middle it goes on where it was, telling how far it is; then the old master key may go', async () => {
    const app = await TestApp.start();
    try {
      const device = await app.registerDevice('resealed', { credentials: ['hmac'] });
      const [old] = app.config.masterKeys;
      if (old === undefined) throw new Error('no master key');
      const fresh = { kid: 'fresh', key: randomBytes(32) };
      const keys = new DataKeys(app.config, app.app.get(Pools));
      // Enough for the kill to fall between two of them.
      for (let purpose = 0; purpose < 300; purpose += 1) await keys.current(`purpose-${purpose}`);
      const left = async (): Promise<number> =>
        (await asMigrator<{ count: number }>(app.database, 'SELECT count(*)::int AS count FROM data_keys WHERE master_kid <> $1', [fresh.kid]))[0]?.count ?? -1;
      const all = await left();
      const reseal = (): { child: ReturnType<typeof spawn>; said: () => string; ended: Promise<number | null> } => {
        const child = spawn(process.execPath, [path.join(ROOT, 'dist', 'cli.js'), 'secrets', 'reseal'], {
          stdio: ['ignore', 'pipe', 'inherit'],
          env: {
            PATH: process.env['PATH'] ?? '',
            PORTCULLIS_DATA_DIR: '/nonexistent',
            DATABASE_URL: app.database.url,
            DATABASE_ROLE_PREFIX: app.database.config.rolePrefix ?? '',
            JWT_SECRET: randomBytes(36).toString('base64url'),
            ADMIN_KEY: randomBytes(36).toString('base64url'),
            MQTT_INTERNAL_AUTH_SECRET: randomBytes(36).toString('base64url'),
            SECRETS_MASTER_KEYS: [fresh, old].map(({ kid, key }) => `${kid}:${key.toString('base64')}`).join(','),
          },
        });
        let text = '';
        child.stdout.on('data', (chunk) => (text += String(chunk)));
        return { child, said: () => text, ended: new Promise((resolve) => child.once('exit', resolve)) };
      };
      const first = reseal();
      await until('some progress', () => /^5 of /m.test(first.said()));
      first.child.kill('SIGKILL');
      await first.ended;
      const rest = await left();
      expect(rest).toBeGreaterThan(0);
      expect(rest).toBeLessThan(all);
      const second = reseal();
      expect(await second.ended).toBe(0);
      expect(second.said()).toContain(`1 of ${rest}\n`);
      expect(second.said()).toContain(`${rest} of ${rest}\n${rest} data keys wrapped anew; all are under the master key "fresh" now.`);
      expect(await left()).toBe(0);
      const only = await TestApp.start({
        database: app.database, config: { ...app.config, masterKeys: [fresh] }, store: new MemoryStore({ clock: new SystemClock() }),
      });
      try {
        const { body } = await only.call('POST', '/messages/verify', {
          topic: topicOf(device, 'telemetry'), message: signedBy(device, 'telemetry', { data: 1 }, { ts: Date.now() + 1_000 }),
        });
        expect(body).toMatchObject({ verified: true });
      } finally {
        await only.stop();
      }
    } finally {
      await app.stop();
    }
  });
});
