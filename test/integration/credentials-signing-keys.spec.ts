import { createPublicKey } from 'node:crypto';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { parseToken, verifySignature } from '../../src/credentials/device-token.js';
import { CredentialsScene } from '../factories/credentials-scene.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';
import { FakeClock } from '../fakes/fake-clock.js';

const MINUTE = 60_000;
const DAY = 86_400_000;

describe('keys that sign device tokens', () => {
  let database: TestDatabase;
  let scenes: CredentialsScene[];
  let clock: FakeClock;
  const open = async (env?: Record<string, string>, store = new MemoryStore({ clock })): Promise<CredentialsScene> => {
    const scene = await CredentialsScene.open({ database, clock, store, env });
    scenes.push(scene);
    return scene;
  };

  beforeEach(async () => {
    database = await cloneDatabase();
    clock = new FakeClock(Date.now());
    scenes = [];
  });
  afterEach(async () => {
    for (const scene of scenes) await scene.close();
    await database.drop();
  });

  const kidOf = (token: string): string => parseToken(token)!.kid;
  const published = async (scene: CredentialsScene): Promise<string[]> => (await scene.signingKeys.jwks()).keys.map(({ kid }) => kid);

  it('are made once when two instances need the first one at the same time, and both sign with it', async () => {
    const [one, two] = [await open(), await open()];
    const devices = [await one.device(), await one.device(), await one.device(), await one.device()];
    const tokens = await Promise.all(devices.map((device, i) => (i % 2 === 0 ? one : two).tokenOf(device)));
    expect(await one.rows('SELECT kid FROM signing_keys')).toHaveLength(1);
    expect(new Set(tokens.map(({ access_token: token }) => kidOf(token))).size).toBe(1);
    for (const [i, { access_token: token }] of tokens.entries()) {
      for (const scene of [one, two]) expect(await scene.checkToken(token, devices[i]!)).toMatchObject({ ok: true });
    }
  });

  it('lie in Postgres sealed, and open in their own row only', async () => {
    const one = await open();
    const device = await one.device();
    await one.tokenOf(device);
    const [row] = await one.rows<{ private_sealed: Buffer }>('SELECT private_sealed FROM signing_keys');
    // A private key as DER begins with a SEQUENCE and the number 0; nothing of it may show.
    expect(row?.private_sealed.includes(Buffer.from('06072a8648ce3d0201', 'hex'))).toBe(false);
    await one.rows(`UPDATE signing_keys SET kid = $1`, ['M'.repeat(43)]);
    const two = await open();
    await expect(two.tokenOf(device)).rejects.toThrow();
  });

  it('are published as a set that verifies what they signed, and holds no private part', async () => {
    const scene = await open();
    const [key] = (await scene.signingKeys.jwks()).keys;
    expect(Object.keys(key ?? {}).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    const token = parseToken((await scene.tokenOf(await scene.device())).access_token)!;
    expect(token.kid).toBe(key?.kid);
    const publicKey = createPublicKey({ key: { ...key }, format: 'jwk' });
    expect(verifySignature(token, { kid: token.kid, algorithm: 'ES256', key: publicKey })).toBe(true);
  });

  it('rotate with an overlap: published before it signs, and the old one verifies until its last token has ended', async () => {
    const scene = await open();
    const device = await scene.device();
    const before = await scene.tokenOf(device, 86_400);
    const rotation = await scene.signingKeys.rotate();
    expect(rotation.previous?.kid).toBe(kidOf(before.access_token));
    expect(await published(scene)).toEqual([rotation.previous?.kid, rotation.kid]);
    expect(rotation.signsFrom.getTime() - clock.now()).toBe(10 * MINUTE);

    clock.advance(10 * MINUTE - 1);
    const last = await scene.tokenOf(device, 86_400);
    expect(kidOf(last.access_token)).toBe(rotation.previous?.kid);
    clock.advance(1);
    const after = await scene.tokenOf(device, 86_400);
    expect(kidOf(after.access_token)).toBe(rotation.kid);

    clock.advance(DAY - 2_000);
    for (const { access_token: token } of [last, after]) expect(await scene.checkToken(token, device)).toMatchObject({ ok: true });
    expect(await published(scene)).toHaveLength(2);
    clock.set(rotation.previous!.verifiesUntil.getTime());
    expect(await published(scene)).toEqual([rotation.kid]);
    expect(await scene.checkToken(last.access_token, device)).toMatchObject({ ok: false, reason: 'TOKEN_KEY_UNKNOWN' });
  });

  it('can be replaced again before the new one has begun to sign', async () => {
    const scene = await open();
    const device = await scene.device();
    const first = kidOf((await scene.tokenOf(device)).access_token);
    const second = await scene.signingKeys.rotate();
    clock.advance(MINUTE);
    const third = await scene.signingKeys.rotate();
    expect(third.previous?.kid).toBe(second.kid);
    const signer = async () => kidOf((await scene.tokenOf(device)).access_token);
    expect(await signer()).toBe(first);
    clock.advance(9 * MINUTE);
    expect(await signer()).toBe(second.kid);
    clock.advance(MINUTE);
    expect(await signer()).toBe(third.kid);
  });

  it('rotate one after the other when it is ordered twice at once', async () => {
    const [one, two] = [await open(), await open()];
    await one.signingKeys.jwks();
    const [a, b] = await Promise.all([one.signingKeys.rotate(), two.signingKeys.rotate()]);
    expect([a.previous?.kid === b.kid, b.previous?.kid === a.kid].filter(Boolean)).toHaveLength(1);
    expect(await one.rows('SELECT kid FROM signing_keys WHERE retired_at IS NULL')).toHaveLength(1);
  });

  it('that leaked verify nothing from the next moment on, cached verdicts included, and the new one signs at once', async () => {
    // Two processes that share a store and thereby hear each other.
    const store = new MemoryStore({ clock });
    const [one, two] = [await open({}, store), await open({}, store)];
    const device = await one.device();
    const { access_token: stolen } = await one.tokenOf(device);
    for (const scene of [one, two]) expect(await scene.checkToken(stolen, device)).toMatchObject({ ok: true });
    const { kid } = await one.signingKeys.rotate({ compromised: true });
    const { access_token: fresh } = await two.tokenOf(device);
    expect(kidOf(fresh)).toBe(kid);
    for (const scene of [one, two]) {
      expect(await scene.checkToken(fresh, device)).toMatchObject({ ok: true });
      expect(await scene.checkToken(stolen, device)).toMatchObject({ ok: false, reason: 'TOKEN_KEY_UNKNOWN' });
    }
    expect(await published(one)).toEqual([kid]);
  });

  it('that leaked take every older key with them, the one that waits to sign included', async () => {
    const scene = await open();
    const device = await scene.device();
    const { access_token: old } = await scene.tokenOf(device, 86_400);
    await scene.signingKeys.rotate();
    clock.advance(MINUTE);
    const { kid } = await scene.signingKeys.rotate({ compromised: true });
    expect(await published(scene)).toEqual([kid]);
    expect(await scene.checkToken(old, device)).toMatchObject({ ok: false, reason: 'TOKEN_KEY_UNKNOWN' });
    clock.advance(11 * MINUTE);
    expect(kidOf((await scene.tokenOf(device)).access_token)).toBe(kid);
  });

  it('that leaked are given up after 30 s by a process that the message did not reach', async () => {
    const [one, deaf] = [await open(), await open()];
    const device = await one.device();
    const { access_token: stolen } = await one.tokenOf(device);
    clock.advance(1_000);
    expect(await deaf.checkToken(stolen, device)).toMatchObject({ ok: true });
    await one.signingKeys.rotate({ compromised: true });
    clock.advance(30_000);
    expect(await deaf.checkToken(stolen, device)).toMatchObject({ ok: false, reason: 'TOKEN_KEY_UNKNOWN' });
  });

  it('are audited when they rotate', async () => {
    const scene = await open();
    const { kid } = await scene.signingKeys.rotate();
    const rows = await scene.rows<{ details: { kid: string } }>(`SELECT details FROM security_audit_logs WHERE event_type = 'SIGNING_KEY_ROTATED'`);
    expect(rows.map(({ details }) => details.kid)).toEqual([kid]);
  });

  it('of the HS256 family never meet the published ones: own kid, own algorithm, never in the set', async () => {
    const es256 = await open();
    const device = await es256.device();
    const { access_token: signed } = await es256.tokenOf(device);
    const hs256 = await open({ MQTT_JWT_SECRET: 'kQ3vR8sT1uW6xY0zB5cD9eF2gH7jK4mN' });
    const { access_token: maced } = await hs256.tokenOf(device);
    expect(parseToken(maced)).toMatchObject({ alg: 'HS256', kid: 'hs256', typ: 'device+jwt' });
    expect(await hs256.checkToken(maced, device)).toMatchObject({ ok: true });
    // Tokens from before the change of family run out by themselves.
    expect(await hs256.checkToken(signed, device)).toMatchObject({ ok: true });
    expect(await es256.checkToken(maced, device)).toMatchObject({ ok: false, reason: 'TOKEN_KEY_UNKNOWN' });
    const { keys } = await hs256.signingKeys.jwks();
    expect(keys.every(({ kty, kid }) => kty === 'EC' && kid !== 'hs256')).toBe(true);
    expect(JSON.stringify(keys)).not.toContain('oct');
  });
});
