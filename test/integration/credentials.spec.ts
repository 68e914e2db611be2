import { randomUUID } from 'node:crypto';
import type { TenantPrincipal } from '../../src/access/principal.js';
import { LastUse } from '../../src/credentials/last-use.js';
import { CredentialHoldings } from '../../src/devices/holdings.js';
import { CredentialsScene, type Owner } from '../factories/credentials-scene.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';

const HOUR = 3_600_000;

describe('the credentials service', () => {
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

  const principal = (change: Partial<TenantPrincipal> = {}): TenantPrincipal => ({
    kind: 'user', id: randomUUID(), tenantId: scene.tenantId, role: 'ADMIN', platformRole: null, permissions: new Set(), sessionId: null,
    credential: 'bearer', ...change,
  });
  const list = (owner: Owner) => scene.run((tx) => scene.credentials.list(tx, owner));

  describe('secrets', () => {
    it('are told once and kept nowhere: no row of any table holds one', async () => {
      const device = await scene.device();
      const { secret, credentialId } = await scene.secretOf(device);
      const { access_token: token } = await scene.tokenOf(device);
      const tables = await scene.rows<{ name: string }>(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`);
      for (const { name } of tables) {
        const rows = await scene.rows<{ row: string }>(`SELECT t::text AS row FROM "${name}" t`);
        const hex = Buffer.from(secret.slice(4), 'base64url').toString('hex');
        for (const { row } of rows) {
          for (const trace of [secret, secret.slice(4), hex, Buffer.from(secret).toString('hex'), token]) expect(row).not.toContain(trace);
        }
      }
      const [row] = await scene.rows<{ digest: Buffer }>('SELECT digest FROM credentials WHERE id = $1', [credentialId]);
      expect(row?.digest).toHaveLength(32);
    });

    it('raise the version of their owner in the same transaction, and nothing stays of one that was rolled back', async () => {
      const device = await scene.device();
      const before = (await scene.facts(device)).version;
      const failed = scene.run(async (tx) => {
        await scene.credentials.issueSecret(tx, device);
        throw new Error('afterwards');
      });
      await expect(failed).rejects.toThrow('afterwards');
      expect((await scene.facts(device)).version).toBe(before);
      expect(await list(device)).toEqual([]);
      await scene.secretOf(device);
      expect((await scene.facts(device)).version).toBeGreaterThan(before);
    });

    it('are five at most, for devices and service accounts alike, even when they are asked for at once', async () => {
      for (const owner of [await scene.device(), await scene.service()]) {
        const results = await Promise.allSettled(Array.from({ length: 8 }, () => scene.secretOf(owner)));
        expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
        for (const result of results) {
          if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'CREDENTIAL_LIMIT_REACHED', status: 409 });
        }
        await expect(scene.run((tx) => scene.credentials.rotateSecret(tx, owner))).rejects.toMatchObject({ code: 'CREDENTIAL_LIMIT_REACHED' });
        // Ended ones do not count.
        await scene.run((tx) => scene.credentials.rotateSecret(tx, owner, 0));
        expect((await list(owner)).map(({ state }) => state).sort()).toEqual(['active', ...Array<string>(5).fill('expired')]);
      }
    });

    it('rotate with an overlap of an hour that a second rotation does not prolong', async () => {
      const device = await scene.device();
      expect((await scene.run((tx) => scene.credentials.rotateSecret(tx, device))).previousValidUntil).toBeNull();
      scene.clock.advance(1_000);
      const first = await scene.run((tx) => scene.credentials.rotateSecret(tx, device));
      expect(first.previousValidUntil).toEqual(new Date(scene.clock.now() + HOUR));
      scene.clock.advance(HOUR / 2);
      const second = await scene.run((tx) => scene.credentials.rotateSecret(tx, device));
      expect(second.previousValidUntil).toEqual(new Date(scene.clock.now() + HOUR));
      const views = await list(device);
      expect(views.map(({ state }) => state)).toEqual(['superseded', 'superseded', 'active']);
      expect(views[0]?.expiresAt).toEqual(first.previousValidUntil);
      scene.clock.advance(HOUR / 2);
      expect((await list(device)).map(({ state }) => state)).toEqual(['expired', 'superseded', 'active']);
    });

    it('are refused to owners that do not exist or belong to another tenant', async () => {
      const nobody = { kind: 'device', id: randomUUID(), tenantId: scene.tenantId } as const;
      await expect(scene.secretOf(nobody)).rejects.toMatchObject({ code: 'DEVICE_NOT_FOUND' });
      await expect(scene.secretOf({ ...nobody, kind: 'service' })).rejects.toMatchObject({ code: 'SERVICE_ACCOUNT_NOT_FOUND' });
      const [other] = await scene.rows<{ id: string }>(`INSERT INTO tenants (slug, name) VALUES ('other', 'Other') RETURNING id`);
      const [theirs] = await scene.rows<{ id: string }>(
        `INSERT INTO devices (tenant_id, slug, status) VALUES ($1, 'theirs', 'ACTIVE') RETURNING id`,
        [other?.id],
      );
      await expect(scene.secretOf({ ...nobody, id: theirs!.id })).rejects.toMatchObject({ code: 'DEVICE_NOT_FOUND' });
      await expect(scene.tokenOf({ ...nobody, id: theirs!.id })).rejects.toMatchObject({ code: 'DEVICE_NOT_FOUND' });
    });
  });

  describe('revocation', () => {
    it('of a secret takes the tokens that were got with it, and leaves the others', async () => {
      const device = await scene.device();
      const [one, two] = [await scene.secretOf(device), await scene.secretOf(device)];
      const children = [await scene.tokenOf(device, 60, one.credentialId), await scene.tokenOf(device, 60, one.credentialId)];
      const others = [await scene.tokenOf(device, 60, two.credentialId), await scene.tokenOf(device)];
      const { revoked } = await scene.run((tx) => scene.credentials.revoke(tx, device, one.credentialId, 'leaked'));
      expect(revoked.sort()).toEqual([one, ...children].map(({ credentialId }) => credentialId).sort());
      const alive = (await list(device)).filter(({ state }) => state === 'active').map(({ id }) => id);
      expect(alive.sort()).toEqual([two, ...others].map(({ credentialId }) => credentialId).sort());
      // Once more changes nothing, and the first reason stays.
      expect(await scene.run((tx) => scene.credentials.revoke(tx, device, one.credentialId, 'again'))).toEqual({ revoked: [] });
      const rows = await scene.rows<{ revoke_reason: string }>('SELECT revoke_reason FROM credentials WHERE id = $1', [one.credentialId]);
      expect(rows).toEqual([{ revoke_reason: 'leaked' }]);
    });

    it("does not reach another owner's credential", async () => {
      const [device, neighbour] = [await scene.device(), await scene.device()];
      const { credentialId } = await scene.secretOf(neighbour);
      for (const id of [credentialId, randomUUID()]) {
        await expect(scene.run((tx) => scene.credentials.revoke(tx, device, id, 'x'))).rejects.toMatchObject({ code: 'CREDENTIAL_NOT_FOUND' });
      }
    });

    it('of all leaves nothing valid', async () => {
      const device = await scene.device();
      const ids = [await scene.secretOf(device), await scene.tokenOf(device)].map(({ credentialId }) => credentialId);
      expect((await scene.run((tx) => scene.credentials.revokeAll(tx, device, 'DECOMMISSIONED'))).revoked.sort()).toEqual(ids.sort());
      expect((await list(device)).every(({ state }) => state === 'revoked')).toBe(true);
    });
  });

  describe('tokens on request', () => {
    const request = (me: TenantPrincipal, device: Owner, ttl?: number) => scene.credentials.requestToken(me, device.id, ttl);

    it('live an hour unless told, a minute to a day if told, and are audited with their id in the same transaction', async () => {
      const device = await scene.device();
      expect((await request(principal(), device)).expires_in).toBe(3_600);
      const token = await request(principal(), device, 86_400);
      const audited = await scene.rows<{ details: object }>(
        `SELECT details FROM security_audit_logs WHERE event_type = 'TOKEN_ISSUED' AND device_id = $1 ORDER BY occurred_at`, [device.id],
      );
      expect(audited.map(({ details }) => details)).toContainEqual({ jti: token.credentialId, ttl: 86_400 });
      for (const ttl of [59, 86_401, 172_800, 0, -1, 60.5, Number.NaN]) {
        await expect(request(principal(), device, ttl)).rejects.toMatchObject({ code: 'TOKEN_TTL_INVALID', status: 400 });
        await expect(scene.tokenOf(device, ttl)).rejects.toMatchObject({ code: 'TOKEN_TTL_INVALID' });
      }
    });

    it('are for pending and active devices, for quarantined ones from an ADMIN only, and for no other', async () => {
      const operator = principal({ role: 'OPERATOR' });
      const device = await scene.device('PENDING');
      const itself = principal({ kind: 'device', id: device.id, role: null, credential: 'basic' });
      const become = (to: 'ACTIVE' | 'QUARANTINED' | 'SUSPENDED' | 'DECOMMISSIONED') =>
        scene.run(async (tx) => scene.devices.changeStatus(tx, await scene.devices.lock(tx, device.id), to, 'test'));
      for (const me of [principal(), operator, itself]) await request(me, device);
      await become('ACTIVE');
      for (const me of [principal(), operator, itself]) await request(me, device);
      await become('QUARANTINED');
      await request(principal(), device);
      for (const me of [operator, itself]) await expect(request(me, device)).rejects.toMatchObject({ code: 'TOKEN_DEVICE_STATE', status: 409 });
      await become('ACTIVE');
      await become('SUSPENDED');
      await expect(request(principal(), device)).rejects.toMatchObject({ code: 'TOKEN_DEVICE_STATE' });
      await become('DECOMMISSIONED');
      await expect(request(principal(), device)).rejects.toMatchObject({ code: 'TOKEN_DEVICE_STATE' });
      await expect(scene.credentials.requestToken(principal(), randomUUID())).rejects.toMatchObject({ code: 'DEVICE_NOT_FOUND' });
    });

    it('descend from the secret that the device proved itself with', async () => {
      const device = await scene.device();
      const { credentialId } = await scene.secretOf(device);
      const itself = principal({ kind: 'device', id: device.id, role: null, credential: 'basic', credentialId });
      const token = await request(itself, device);
      expect((await list(device)).find(({ id }) => id === token.credentialId)?.parentId).toBe(credentialId);
    });

    it('are refused when the rules do not fit into a packet', async () => {
      const device = await scene.device();
      await scene.rows(
        `INSERT INTO topic_rules (tenant_id, device_id, action, topic)
         SELECT $1::uuid, $2::uuid, 'publish', 'devices/' || $2::text || '/' || repeat('x', 200) || n FROM generate_series(1, 60) n`,
        [scene.tenantId, device.id],
      );
      await expect(request(principal(), device)).rejects.toMatchObject({ code: 'TOKEN_TOO_LARGE', status: 409 });
      expect(await list(device)).toEqual([]);
    });

    it('that expired more than a day ago are forgotten when the next one is issued', async () => {
      const device = await scene.device();
      const old = await scene.tokenOf(device, 60);
      scene.clock.advance(24 * HOUR + 59_000);
      const kept = await scene.tokenOf(device, 60);
      expect((await list(device)).map(({ id }) => id)).toEqual([old.credentialId, kept.credentialId]);
      scene.clock.advance(2_000);
      const newest = await scene.tokenOf(device, 60);
      expect((await list(device)).map(({ id }) => id)).toEqual([kept.credentialId, newest.credentialId]);
    });
  });

  it('lists in pages, with all that may be known and nothing that may not', async () => {
    const device = await scene.device();
    const { credentialId } = await scene.secretOf(device);
    scene.clock.advance(1);
    await scene.tokenOf(device, 60, credentialId);
    scene.clock.advance(1);
    await scene.tokenOf(device, 60);
    const first = await scene.credentials.page(principal(), device.id, { limit: 2 });
    expect(first.items.map(({ kind, parentId }) => [kind, parentId])).toEqual([['secret', null], ['token', credentialId]]);
    const second = await scene.credentials.page(principal(), device.id, { limit: 2, cursor: first.nextCursor ?? '' });
    expect(second.items).toHaveLength(1);
    expect(second.nextCursor).toBeNull();
    expect(Object.keys(second.items[0] ?? {}).sort()).toEqual(
      ['createdAt', 'expiresAt', 'id', 'kind', 'lastUsedAt', 'notBefore', 'parentId', 'revokedAt', 'state', 'supersededAt'],
    );
    await expect(scene.credentials.page(principal(), randomUUID(), {})).rejects.toMatchObject({ code: 'DEVICE_NOT_FOUND' });
  });

  it('tells the device list who holds a live credential', async () => {
    const [both, tokenOnly, none, ended] = [await scene.device(), await scene.device(), await scene.device(), await scene.device()];
    await scene.secretOf(both);
    await scene.tokenOf(both, 3_600);
    await scene.tokenOf(tokenOnly, 60);
    await scene.secretOf(ended);
    await scene.run((tx) => scene.credentials.revokeAll(tx, ended, 'x'));
    const ids = [both, tokenOnly, none, ended].map(({ id }) => id);
    const among = (question: object) => scene.run((tx) => scene.module.get(CredentialHoldings).among(tx, ids, question));
    expect(await among({ kind: 'secret' })).toEqual(new Set([both.id]));
    expect(await among({ kind: 'token' })).toEqual(new Set([both.id, tokenOnly.id]));
    expect(await among({ expiringBefore: new Date(scene.clock.now() + 61_000) })).toEqual(new Set([tokenOnly.id]));
    expect(await among({ kind: 'certificate' })).toEqual(new Set());
  });

  it('writes the last use of each credential in batches, keeps the latest, and loses none while Postgres is away', async () => {
    const device = await scene.device();
    const { credentialId, secret } = await scene.secretOf(device);
    const lastUse = scene.module.get(LastUse);
    const used = scene.clock.now();
    expect(await scene.checkSecret(secret, device)).toMatchObject({ ok: true });
    const away = jest.spyOn(scene.pools.app as unknown as { connect: () => Promise<never> }, 'connect')
      .mockImplementation(() => Promise.reject(new Error('gone')));
    await lastUse.flush();
    away.mockRestore();
    await lastUse.flush();
    expect((await list(device))[0]?.lastUsedAt).toEqual(new Date(used));
    lastUse.note(credentialId, scene.tenantId, used - 1_000);
    await lastUse.flush();
    expect((await list(device))[0]?.lastUsedAt).toEqual(new Date(used));
  });
});
