import { createPrivateKey, randomUUID, sign, type KeyObject } from 'node:crypto';
import { parseToken } from '../../src/credentials/device-token.js';
import type { ProofVerdict } from '../../src/credentials/credentials.gate.js';
import { TokenVerifier } from '../../src/credentials/token-verifier.js';
import { DataKeys } from '../../src/platform/crypto/data-keys.js';
import { CredentialsScene, type Owner } from '../factories/credentials-scene.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';

const DAY = 86_400_000;

describe('the credentials gate, for device tokens', () => {
  let database: TestDatabase;
  let scene: CredentialsScene;
  /** The installation's own signing key, as somebody would have it who stole it. */
  let stolen: KeyObject;
  let kid: string;

  beforeAll(async () => {
    database = await cloneDatabase();
    scene = await CredentialsScene.open({ database });
    await scene.signingKeys.jwks();
    const [row] = await scene.rows<{ kid: string; private_sealed: Buffer }>('SELECT kid, private_sealed FROM signing_keys');
    kid = row!.kid;
    const context = { purpose: 'signing-key', table: 'signing_keys', tenant: null, row: kid, version: 1 };
    stolen = createPrivateKey({ key: await scene.module.get(DataKeys).open(context, row!.private_sealed), format: 'der', type: 'pkcs8' });
    scene.clock.advance(1_000);
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
  const seconds = () => Math.floor(scene.clock.now() / 1000);

  /** Validly signed, whatever it says. */
  function forge(device: Owner, change: object = {}, header: object = {}): string {
    const claims = {
      iss: scene.config.http.publicUrl, aud: 'portcullis-mqtt', sub: device.id, scope: 'device', tid: scene.tenantId, jti: randomUUID(),
      iat: seconds(), exp: seconds() + 600, acl: [], ...change,
    };
    const input = [{ alg: 'ES256', typ: 'device+jwt', kid, ...header }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    return `${input}.${sign('sha256', Buffer.from(input), { key: stolen, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }

  it('accepts one until it ends and says when that is', async () => {
    const device = await scene.device();
    const { access_token: token, credentialId } = await scene.tokenOf(device, 600);
    const exp = parseToken(token)!.payload['exp'] as number;
    expect(await scene.checkToken(token, device)).toEqual({ ok: true, credentialId, endsAt: exp * 1000 });
    const facts = await scene.facts(device);
    const at = (now: number) => scene.gate.check({ kind: 'token', token }, facts, now);
    expect(await at(exp * 1000 - 1)).toMatchObject({ ok: true });
    // The cached verdict does not outlive the token.
    expect(await at(exp * 1000)).toEqual(refused('TOKEN_EXPIRED', device.id));
  });

  it('bears the list that the connect answer bears', async () => {
    const device = await scene.device();
    const { access_token: token } = await scene.tokenOf(device);
    expect(parseToken(token)!.payload['acl']).toEqual((await scene.facts(device)).acl);
  });

  it('answers warm without a promise and without a statement', async () => {
    const device = await scene.device();
    const { access_token: token } = await scene.tokenOf(device);
    await scene.checkToken(token, device);
    const facts = await scene.facts(device);
    const query = jest.spyOn(scene.pools.gate, 'query');
    expect(scene.gate.check({ kind: 'token', token }, facts, scene.clock.now())).toMatchObject({ ok: true });
    expect(query).not.toHaveBeenCalled();
  });

  it('never lets a cached verdict outlive the revocation of the token or of the secret that it was got with', async () => {
    const device = await scene.device();
    const secret = await scene.secretOf(device);
    const child = await scene.tokenOf(device, 600, secret.credentialId);
    const lone = await scene.tokenOf(device, 600);
    for (const { access_token: token } of [child, lone]) expect(await scene.checkToken(token, device)).toMatchObject({ ok: true });
    await scene.run((tx) => scene.credentials.revoke(tx, device, secret.credentialId, 'leaked'));
    expect(await scene.checkToken(child.access_token, device)).toEqual(refused('TOKEN_REVOKED', device.id));
    expect(await scene.checkToken(lone.access_token, device)).toMatchObject({ ok: true });
    await scene.run((tx) => scene.credentials.revoke(tx, device, lone.credentialId, 'leaked'));
    expect(await scene.checkToken(lone.access_token, device)).toEqual(refused('TOKEN_REVOKED', device.id));
  });

  it('draws the line of tokensNotBefore exactly: what was issued before falls, what is issued next counts at once', async () => {
    const device = await scene.device();
    scene.clock.set(Math.ceil(scene.clock.now() / 1000) * 1000 + 300);
    const before = await scene.tokenOf(device);
    expect(await scene.checkToken(before.access_token, device)).toMatchObject({ ok: true });
    scene.clock.advance(200);
    await scene.run((tx) => scene.devices.setTokensNotBefore(tx, device.id, new Date(scene.clock.now())));
    const after = await scene.tokenOf(device);
    expect(await scene.checkToken(before.access_token, device)).toEqual(refused('TOKEN_SUPERSEDED', device.id));
    expect(await scene.checkToken(after.access_token, device)).toMatchObject({ ok: true });
  });

  it('refuses what even a stolen signing key cannot buy', async () => {
    const device = await scene.device();
    expect(await scene.checkToken(forge(device), device)).toMatchObject({ ok: true });
    const cases: [string, string][] = [
      ['TOKEN_TOO_LONG', forge(device, { exp: seconds() + 172_800 })],
      ['TOKEN_TOO_LONG', forge(device, { iat: seconds() - 172_800 })],
      ['TOKEN_NOT_YET', forge(device, { iat: seconds() + 120, exp: seconds() + 600 })],
      ['TOKEN_EXPIRED', forge(device, { iat: seconds() - 600, exp: seconds() - 1 })],
      ['TOKEN_CLAIMS', forge(device, { aud: 'portcullis-api' })],
      ['TOKEN_CLAIMS', forge(device, {}, { typ: 'at+jwt' })],
      ['TOKEN_TENANT', forge(device, { tid: randomUUID() })],
      ['TOKEN_SIGNATURE', forge(device, {}, { alg: 'none' })],
      ['TOKEN_SIGNATURE', forge(device, {}, { alg: 'HS256' })],
      ['TOKEN_KEY_UNKNOWN', forge(device, {}, { kid: 'hs256' })],
      ['TOKEN_KEY_UNKNOWN', forge(device, {}, { kid: '../../etc/passwd' })],
      ['TOKEN_KEY_UNKNOWN', forge(device, {}, { kid: "' OR 1=1 --" })],
      ['TOKEN_KEY_UNKNOWN', forge(device, {}, { kid: 'Z'.repeat(43) })],
      ['TOKEN_MALFORMED', forge(device, { sub: device.id.toUpperCase() })],
      ['TOKEN_MALFORMED', `${forge(device)}.`],
      ['TOKEN_MALFORMED', 'a.b.c'],
    ];
    for (const [reason, token] of cases) {
      // Twice: neither answer comes from a verdict that should not have been kept.
      for (let i = 0; i < 2; i += 1) expect(await scene.checkToken(token, device)).toMatchObject({ ok: false, reason, possession: false });
      expect(await scene.module.get(TokenVerifier).verifyUncached(token, scene.clock.now())).toBeDefined();
    }
    expect(await scene.checkToken(forge(device, { iat: seconds() + 60 }), device)).toMatchObject({ ok: true });
  });

  it('asks Postgres about unknown key ids only as often as it allows itself', async () => {
    const device = await scene.device();
    const facts = await scene.facts(device);
    scene.clock.advance(1_000);
    const query = jest.spyOn(scene.pools.gate, 'query');
    const tokens = Array.from({ length: 50 }, (_, i) => forge(device, {}, { kid: `${String(i).padStart(2, '0')}${'q'.repeat(41)}` }));
    for (const token of tokens) await scene.gate.check({ kind: 'token', token }, facts, scene.clock.now());
    expect(query).toHaveBeenCalledTimes(1);
    for (const name of ['../k', 'hs256', 'x'.repeat(44), '']) {
      scene.clock.advance(1_000);
      await scene.gate.check({ kind: 'token', token: forge(device, {}, { kid: name }) }, facts, scene.clock.now());
    }
    expect(query).toHaveBeenCalledTimes(1);
  });

  describe('under another name', () => {
    const warm = async (owner: Owner) => {
      await scene.checkToken((await scene.tokenOf(owner)).access_token, owner);
    };

    it('tells whom a good one names, and that its holder has it', async () => {
      const [device, other] = [await scene.device(), await scene.device()];
      const { access_token: token, credentialId } = await scene.tokenOf(other);
      expect(await scene.checkToken(token, device)).toEqual(refused('TOKEN_SUBJECT', other.id, true));
      expect(await scene.checkToken(token, await scene.service())).toEqual(refused('TOKEN_SUBJECT', other.id, true));
      expect(scene.gate.identify(token)).toMatchObject({ subject: other.id, tenantId: scene.tenantId, credentialId });
    });

    it('never counts one that has ended, was revoked or superseded: whoever finds it cannot have its device suspended', async () => {
      const [device, other] = [await scene.device(), await scene.device()];
      const expired = await scene.tokenOf(other, 60);
      const revoked = await scene.tokenOf(other, 3_600);
      await scene.run((tx) => scene.credentials.revoke(tx, other, revoked.credentialId, 'leaked'));
      scene.clock.advance(61_000);
      await warm(other);
      for (const { access_token: token } of [expired, revoked]) {
        expect(await scene.checkToken(token, device)).toEqual(refused('TOKEN_SUBJECT', other.id, false));
        expect(scene.gate.identify(token)).toBeNull();
      }
      const superseded = await scene.tokenOf(other, 3_600);
      scene.clock.advance(5_000);
      await scene.run((tx) => scene.devices.setTokensNotBefore(tx, other.id, new Date(scene.clock.now())));
      await warm(other);
      expect(await scene.checkToken(superseded.access_token, device)).toEqual(refused('TOKEN_SUBJECT', other.id, false));
    });

    it('believes one of a device that it knows nothing about once, and remembers that it is dead', async () => {
      const [device, other] = [await scene.device(), await scene.device()];
      const { access_token: token, credentialId } = await scene.tokenOf(other, 86_400);
      await scene.run((tx) => scene.credentials.revoke(tx, other, credentialId, 'leaked'));
      expect(await scene.checkToken(token, device)).toEqual(refused('TOKEN_SUBJECT', other.id, true));
      await scene.facts(other);
      await warm(other);
      expect(await scene.checkToken(token, device)).toEqual(refused('TOKEN_SUBJECT', other.id, false));
      // However long nobody has asked about that device since.
      scene.clock.advance(DAY / 4);
      await scene.facts(device);
      expect(await scene.checkToken(token, device)).toEqual(refused('TOKEN_SUBJECT', other.id, false));
    });

    it('identifies nobody by what is not genuine', async () => {
      const device = await scene.device();
      const { access_token: token } = await scene.tokenOf(device);
      const [head, , tail] = token.split('.');
      const payload = Buffer.from(JSON.stringify({ ...parseToken(token)!.payload, sub: randomUUID() })).toString('base64url');
      for (const wrong of ['', 'a.b.c', `${head}.${payload}.${tail}`, 'x'.repeat(100_000), forge(device, { aud: 'x' }), forge(device, {}, { kid: 'nobody' })]) {
        expect(scene.gate.identify(wrong)).toBeNull();
      }
      expect(scene.gate.identify(token)).toMatchObject({ subject: device.id });
    });
  });
});
