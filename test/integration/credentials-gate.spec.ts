import { DeviceProof } from '../../src/access/device-proof.js';
import { newSecret } from '../../src/credentials/client-secret.js';
import type { ProofVerdict } from '../../src/credentials/credentials.gate.js';
import { CredentialsScene, type Owner } from '../factories/credentials-scene.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';
import { FakeSharedStore } from '../fakes/fake-shared-store.js';
import { FakeClock } from '../fakes/fake-clock.js';

const HOUR = 3_600_000;

describe('the credentials gate', () => {
  let database: TestDatabase;
  let scene: CredentialsScene;

  beforeAll(async () => {
    database = await cloneDatabase();
    scene = await CredentialsScene.open({ database });
  });
  afterAll(async () => {
    await scene.close();
    await database.drop();
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });

  const refused = (reason: string, proven: string | null = null, possession = false): ProofVerdict =>
    ({ ok: false, reason, proven, possession }) as ProofVerdict;
  const goneError = () => Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' });
  const losePostgres = (of: CredentialsScene) =>
    jest.spyOn(of.pools.gate as unknown as { query: () => Promise<never> }, 'query').mockImplementation(() => Promise.reject(goneError()));

  describe('for a secret', () => {
    it('knows the right one of device and service account, and names nobody for a wrong one', async () => {
      for (const owner of [await scene.device(), await scene.service()]) {
        const { secret, credentialId } = await scene.secretOf(owner);
        const { secret: foreign } = await scene.secretOf(await scene.device());
        expect(await scene.checkSecret(secret, owner)).toEqual({ ok: true, credentialId, endsAt: null });
        for (const wrong of [newSecret(owner.kind), foreign, `${secret}A`, secret.slice(0, -1), '', 'x'.repeat(100_000), secret.toUpperCase()]) {
          expect(await scene.checkSecret(wrong, owner)).toEqual(refused('SECRET_UNKNOWN'));
        }
      }
    });

    it('answers warm without a promise and without a statement', async () => {
      const device = await scene.device();
      const { secret } = await scene.secretOf(device);
      await scene.checkSecret(secret, device);
      const facts = await scene.facts(device);
      const query = jest.spyOn(scene.pools.gate, 'query');
      expect(scene.gate.check({ kind: 'secret', secret }, facts, scene.clock.now())).toMatchObject({ ok: true });
      expect(query).not.toHaveBeenCalled();
    });

    it('asks Postgres once, with one statement, for many cold questions at a time', async () => {
      const device = await scene.device();
      const { secret } = await scene.secretOf(device);
      const facts = await scene.facts(device);
      const query = jest.spyOn(scene.pools.gate, 'query');
      const ask = async () => scene.gate.check({ kind: 'secret', secret }, facts, scene.clock.now());
      const verdicts = await Promise.all(Array.from({ length: 20 }, ask));
      expect(verdicts.every(({ ok }) => ok)).toBe(true);
      expect(query).toHaveBeenCalledTimes(1);
    });

    it('takes old and new for the hour after a rotation, says when the old one ends, and then takes the new one alone', async () => {
      const device = await scene.device();
      const old = await scene.secretOf(device);
      expect(await scene.checkSecret(old.secret, device)).toMatchObject({ ok: true, endsAt: null });
      const rotated = await scene.run((tx) => scene.credentials.rotateSecret(tx, device));
      const end = scene.clock.now() + HOUR;
      expect(await scene.checkSecret(old.secret, device)).toEqual({ ok: true, credentialId: old.credentialId, endsAt: end });
      expect(await scene.checkSecret(rotated.secret, device)).toMatchObject({ ok: true, endsAt: null });
      const facts = await scene.facts(device);
      const ask = (secret: string, now: number) => scene.gate.check({ kind: 'secret', secret }, facts, now);
      // By the clock alone: nothing is read anew.
      expect(ask(old.secret, end - 1)).toMatchObject({ ok: true });
      expect(ask(old.secret, end)).toEqual(refused('SECRET_EXPIRED', device.id));
      expect(ask(rotated.secret, end)).toMatchObject({ ok: true });
      // Also where it had ended before it was read.
      scene.clock.set(end);
      await scene.run((tx) => scene.devices.touch(tx, device.id));
      expect(await scene.checkSecret(old.secret, device)).toEqual(refused('SECRET_EXPIRED', device.id));
    });

    it('refuses a revoked one from the next question on, although verdict and material were cached', async () => {
      const device = await scene.device();
      const { secret, credentialId } = await scene.secretOf(device);
      const other = await scene.secretOf(device);
      expect(await scene.checkSecret(secret, device)).toMatchObject({ ok: true });
      await scene.run((tx) => scene.credentials.revoke(tx, device, credentialId, 'leaked'));
      expect(await scene.checkSecret(secret, device)).toEqual(refused('SECRET_REVOKED', device.id));
      expect(await scene.checkSecret(other.secret, device)).toMatchObject({ ok: true });
    });

    it('keeps a live one however many have ended since', async () => {
      const device = await scene.device();
      const kept = await scene.secretOf(device);
      const ended: string[] = [];
      for (let i = 0; i < 8; i += 1) {
        scene.clock.advance(1_000);
        const { secret, credentialId } = await scene.secretOf(device);
        ended.push(secret);
        await scene.run((tx) => scene.credentials.revoke(tx, device, credentialId, 'x'));
      }
      expect(await scene.checkSecret(kept.secret, device)).toMatchObject({ ok: true });
      expect(await scene.checkSecret(ended.at(-1)!, device)).toEqual(refused('SECRET_REVOKED', device.id));
      // Too long ago to be recognised, still no proof.
      expect(await scene.checkSecret(ended[0]!, device)).toEqual(refused('SECRET_UNKNOWN'));
    });

    it('verifies nothing when the digests of two rows are swapped', async () => {
      const [one, two] = [await scene.device(), await scene.device()];
      const [a, b] = [await scene.secretOf(one), await scene.secretOf(two)];
      await scene.rows(
        `UPDATE credentials c SET digest = o.digest FROM credentials o
          WHERE (c.id, o.id) IN (($1::uuid, $2::uuid), ($2::uuid, $1::uuid))`,
        [a.credentialId, b.credentialId],
      );
      for (const owner of [one, two]) {
        for (const { secret } of [a, b]) expect(await scene.checkSecret(secret, owner)).toEqual(refused('SECRET_UNKNOWN'));
      }
    });

    it('refuses kinds of proof that the device may not connect with, before anything is computed', async () => {
      const device = await scene.device('ACTIVE', { allowedProofs: ['token'] });
      const { secret } = await scene.secretOf(device);
      const { access_token: token } = await scene.tokenOf(device);
      expect(await scene.checkSecret(secret, device)).toEqual(refused('PROOF_NOT_ALLOWED'));
      expect(await scene.checkToken(token, device)).toMatchObject({ ok: true });
    });
  });

  describe('when something is gone', () => {
    it('serves what it knows for these very facts without Postgres, and refuses what it does not know', async () => {
      const device = await scene.device();
      const { secret } = await scene.secretOf(device);
      await scene.checkSecret(secret, device);
      const facts = await scene.facts(device);
      const cold = await scene.device();
      const { secret: coldSecret } = await scene.secretOf(cold);
      const coldFacts = await scene.facts(cold);
      losePostgres(scene);
      const now = scene.clock.now();
      expect(await scene.gate.check({ kind: 'secret', secret }, facts, now)).toMatchObject({ ok: true });
      expect(await scene.gate.check({ kind: 'secret', secret }, { ...facts, version: facts.version + 1 }, now)).toEqual(refused('CREDENTIALS_UNAVAILABLE'));
      expect(await scene.gate.check({ kind: 'secret', secret: coldSecret }, coldFacts, now)).toEqual(refused('CREDENTIALS_UNAVAILABLE'));
      jest.restoreAllMocks();
      scene.clock.advance(500);
      expect(await scene.checkSecret(coldSecret, cold)).toMatchObject({ ok: true });
    });

    it('knows keys and tokens of before without Postgres, and refuses a token whose key it has never seen', async () => {
      const device = await scene.device();
      const { access_token: token } = await scene.tokenOf(device);
      const { access_token: second } = await scene.tokenOf(device);
      await scene.checkToken(token, device);
      const facts = await scene.facts(device);
      losePostgres(scene);
      // Older than any refresh: the last known keys stay.
      scene.clock.advance(60_000);
      const now = scene.clock.now();
      for (const known of [token, second]) expect(await scene.gate.check({ kind: 'token', token: known }, facts, now)).toMatchObject({ ok: true });
      const [head, ...rest] = token.split('.');
      const header = JSON.parse(Buffer.from(head!, 'base64url').toString()) as object;
      const unknown = [Buffer.from(JSON.stringify({ ...header, kid: 'N'.repeat(43) })).toString('base64url'), ...rest].join('.');
      expect(await scene.gate.check({ kind: 'token', token: unknown }, facts, now)).toEqual(refused('CREDENTIALS_UNAVAILABLE'));
      scene.clock.advance(1_000);
    });
  });

  describe('with a shared store', () => {
    let clock: FakeClock;
    let store: FakeSharedStore;
    const opened: CredentialsScene[] = [];
    const open = async (): Promise<CredentialsScene> => {
      const instance = await CredentialsScene.open({ database, clock, store });
      opened.push(instance);
      return instance;
    };
    beforeEach(() => {
      clock = new FakeClock(Date.now());
      store = new FakeSharedStore({ clock });
    });
    afterEach(async () => {
      for (const instance of opened.splice(0)) await instance.close();
    });
    const materialReads = (query: jest.SpyInstance) =>
      query.mock.calls.filter(([statement]) => /FROM credentials/.test((statement as { text?: string }).text ?? '')).length;

    it('a second process is served without Postgres, until a change makes the entry old', async () => {
      const [one, two] = [await open(), await open()];
      const device = await one.device();
      const { secret, credentialId } = await one.secretOf(device);
      expect(await one.checkSecret(secret, device)).toMatchObject({ ok: true });
      const query = jest.spyOn(two.pools.gate, 'query');
      expect(await two.checkSecret(secret, device)).toMatchObject({ ok: true });
      expect(materialReads(query)).toBe(0);
      await one.run((tx) => one.credentials.revoke(tx, device, credentialId, 'x'));
      expect(await two.checkSecret(secret, device)).toMatchObject({ ok: false, reason: 'SECRET_REVOKED' });
      expect(materialReads(query)).toBe(1);
    });

    it('nothing in the store lets anybody in: no secret is in it, and an entry that was changed is not believed', async () => {
      const [one, two, three] = [await open(), await open(), await open()];
      const device = await one.device();
      const { secret } = await one.secretOf(device);
      const written = jest.spyOn(store, 'writeIfNewer');
      await one.checkSecret(secret, device);
      const call = written.mock.calls.find(([key]) => key.startsWith('credentials:'));
      const [key = '', version = 0, value = ''] = call ?? [];
      expect(value).not.toContain(secret.slice(4));
      const facts = await two.facts(device);

      // One character of a digest, and the same entry raised to a later version.
      const forged = (value ?? '').replace(/"digest":"(.)/, (_, first: string) => `"digest":"${first === 'A' ? 'B' : 'A'}`);
      expect(forged).not.toBe(value);
      await store.writeIfNewer(key, version, forged, 60_000);
      expect(await two.gate.check({ kind: 'secret', secret }, facts, clock.now())).toMatchObject({ ok: true });
      await store.writeIfNewer(key, version + 5, value, 60_000);
      const query = jest.spyOn(three.pools.gate, 'query');
      expect(await three.gate.check({ kind: 'secret', secret }, { ...facts, version: version + 5 }, clock.now())).toMatchObject({ ok: true });
      expect(materialReads(query)).toBe(1);
    });

    it('without the store Postgres answers, and without either nobody is let in', async () => {
      const [one, two] = [await open(), await open()];
      const device = await one.device();
      const { secret } = await one.secretOf(device);
      const facts = await two.facts(device);
      store.setGone(true);
      expect(await two.gate.check({ kind: 'secret', secret }, facts, clock.now())).toMatchObject({ ok: true });
      losePostgres(one);
      expect(await one.gate.check({ kind: 'secret', secret }, facts, clock.now())).toEqual(refused('CREDENTIALS_UNAVAILABLE'));
    });
  });

  describe('for HTTP Basic', () => {
    const prove = (device: Owner, secret: string) => scene.module.get(DeviceProof).prove(device.id, secret);
    const become = (device: Owner, to: 'SUSPENDED' | 'QUARANTINED' | 'ACTIVE' | 'DECOMMISSIONED') =>
      scene.run(async (tx) => scene.devices.changeStatus(tx, await scene.devices.lock(tx, device.id), to, 'test'));

    it('lets a device speak in the states in which it may, and tells which secret proved it', async () => {
      const device = await scene.device('PENDING');
      const { secret, credentialId } = await scene.secretOf(device);
      expect(await prove(device, secret)).toEqual({ deviceId: device.id, tenantId: scene.tenantId, status: 'PENDING', credentialId });
      await become(device, 'ACTIVE');
      expect(await prove(device, secret)).toMatchObject({ status: 'ACTIVE' });
      await become(device, 'QUARANTINED');
      expect(await prove(device, secret)).toMatchObject({ status: 'QUARANTINED' });
      await become(device, 'ACTIVE');
      await become(device, 'SUSPENDED');
      expect(await prove(device, secret)).toBeNull();
      await become(device, 'DECOMMISSIONED');
      expect(await prove(device, secret)).toBeNull();
    });

    it('computes as much for an unknown device as for a wrong secret, and refuses what is no id', async () => {
      const device = await scene.device();
      const { secret } = await scene.secretOf(device);
      const pretend = jest.spyOn(scene.gate, 'pretend');
      for (const id of ['00000000-0000-4000-8000-000000000000', device.id.toUpperCase(), '../x', '']) {
        expect(await prove({ ...device, id }, secret)).toBeNull();
      }
      expect(pretend).toHaveBeenCalledTimes(4);
      expect(await prove(device, newSecret('device'))).toBeNull();
      expect(await prove(device, (await scene.tokenOf(device)).access_token)).toBeNull();
    });

    it('takes the secret of a device that connects with tokens alone, and of none that connects with neither', async () => {
      const device = await scene.device('ACTIVE', { allowedProofs: ['token'] });
      const { secret } = await scene.secretOf(device);
      expect(await prove(device, secret)).not.toBeNull();
      await scene.rows(`UPDATE devices SET allowed_proofs = '{certificate}', version = version + 1 WHERE id = $1`, [device.id]);
      await scene.run((tx) => scene.devices.touch(tx, device.id));
      expect(await prove(device, secret)).toBeNull();
    });

    it('lets nobody of a frozen tenant speak', async () => {
      const device = await scene.device();
      const { secret } = await scene.secretOf(device);
      await scene.rows(`UPDATE tenants SET status = 'FROZEN', version = version + 1 WHERE id = $1`, [scene.tenantId]);
      await scene.devicesGate.invalidateTenant(scene.tenantId);
      expect(await prove(device, secret)).toBeNull();
      await scene.rows(`UPDATE tenants SET status = 'ACTIVE', version = version + 1 WHERE id = $1`, [scene.tenantId]);
      await scene.devicesGate.invalidateTenant(scene.tenantId);
      expect(await prove(device, secret)).not.toBeNull();
    });
  });
});
