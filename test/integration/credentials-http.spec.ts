import { randomUUID } from 'node:crypto';
import { parseToken } from '../../src/credentials/device-token.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';

interface Token {
  readonly access_token: string;
  readonly token_type: string;
  readonly expires_in: number;
}

interface Credential {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly parentId: string | null;
}

describe('credentials over HTTP', () => {
  let app: TestApp;
  let device: RegisteredDevice;
  const basic = (id: string, secret: string) => ({ authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` });

  beforeAll(async () => {
    app = await TestApp.start();
    device = await app.registerDevice('pump-1');
  });
  afterAll(async () => {
    await app.stop();
  });

  it('a person gets a device token by either route, with the times that were asked for', async () => {
    const routes: [string, object][] = [
      [`/devices/${device.id}/token`, {}],
      [`/devices/${device.id}/token`, { ttl: 60 }],
      ['/auth/devices/token', { deviceId: device.id, ttl: 86_400 }],
    ];
    for (const [path, body] of routes) {
      const ttl = (body as { ttl?: number }).ttl ?? 3_600;
      const answer = await app.call<Token>('POST', path, body);
      expect(answer.status).toBe(201);
      expect(answer.body).toEqual({ access_token: expect.any(String), token_type: 'bearer', expires_in: ttl });
      const { iat, exp, sub } = parseToken(answer.body.access_token)!.payload as { iat: number; exp: number; sub: string };
      expect([exp - iat, sub]).toEqual([ttl, device.id]);
    }
    expect((await app.call('POST', `/devices/${device.id}/token`)).status).toBe(201);
  });

  it('refuses a lifetime out of bounds with a code of its own, and what is no number as invalid', async () => {
    for (const ttl of [172_800, 59]) {
      expect(await app.call('POST', `/devices/${device.id}/token`, { ttl })).toMatchObject({ status: 400, body: { code: 'TOKEN_TTL_INVALID' } });
    }
    for (const body of [{ ttl: '3600' }, { ttl: null }, { ttl: 60.5 }, { lifetime: 60 }]) {
      expect(await app.call('POST', `/devices/${device.id}/token`, body)).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
    }
    expect(await app.call('POST', '/auth/devices/token', {})).toMatchObject({ status: 400 });
    expect(await app.call('POST', '/auth/devices/token', { deviceId: randomUUID() })).toMatchObject({ status: 404, body: { code: 'DEVICE_NOT_FOUND' } });
  });

  it('a device gets its own token with its secret, descended from it, and nobody else\'s', async () => {
    const other = await app.registerDevice('pump-2');
    const header = basic(device.id, device.client_secret);
    const { status, body } = await app.call<Token>('POST', `/devices/${device.id}/token`, {}, header);
    expect(status).toBe(201);
    expect((await app.call('POST', `/devices/${other.id}/token`, {}, header)).status).toBeGreaterThanOrEqual(403);
    expect((await app.call('POST', `/devices/${device.id}/token`, {}, basic(device.id, other.client_secret))).status).toBe(401);
    // A token proves no request for a credential.
    expect((await app.call('POST', `/devices/${device.id}/token`, {}, basic(device.id, body.access_token))).status).toBe(401);
    expect((await app.call('POST', `/devices/${device.id}/token`, {}, { authorization: `Bearer ${body.access_token}` })).status).toBe(401);
    expect((await app.call('POST', '/auth/devices/token', { deviceId: device.id }, header)).status).toBeGreaterThanOrEqual(401);

    const { body: list } = await app.call<{ items: Credential[] }>('GET', `/devices/${device.id}/credentials`);
    const secret = list.items.find(({ kind }) => kind === 'secret');
    const { jti } = parseToken(body.access_token)!.payload;
    expect(list.items.find(({ id }) => id === jti)).toMatchObject({ kind: 'token', state: 'active', parentId: secret?.id });
  });

  it('lists credentials with state and validity and without anything secret', async () => {
    const { status, body } = await app.call<{ items: Credential[]; nextCursor: string | null }>('GET', `/devices/${device.id}/credentials?limit=2`);
    expect(status).toBe(200);
    expect(body.items).toHaveLength(2);
    expect(body.nextCursor).not.toBeNull();
    for (const item of body.items) {
      expect(Object.keys(item).sort()).toEqual(['createdAt', 'expiresAt', 'id', 'kind', 'lastUsedAt', 'notBefore', 'parentId', 'state']);
    }
    expect(JSON.stringify(body)).not.toContain(device.client_secret.slice(4));
    expect((await app.call('GET', `/devices/${randomUUID()}/credentials`)).status).toBe(404);
    expect((await app.call('GET', '/devices/nobody/credentials')).status).toBe(404);
    expect((await app.call('GET', `/devices/${device.id}/credentials`, undefined, {})).status).toBe(401);
  });

  it('publishes the key set to everybody, cacheable, with the key that signed', async () => {
    const response = await fetch(`${app.url}/.well-known/jwks.json`);
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('public, max-age=300');
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    const { keys } = (await response.json()) as { keys: { kid: string; kty: string }[] };
    expect(keys.map(({ kid }) => kid)).toEqual([parseToken(device.access_token)!.kid]);
    expect(keys.map(({ kty }) => kty)).toEqual(['EC']);
  });

  it('a secret, a token and nothing else open the broker\'s door', async () => {
    const ask = async (password: string) => (await app.ask('mqtt-auth', { clientid: device.id, username: device.id, password })).body;
    const bySecret = await ask(device.client_secret);
    const byToken = await ask(device.access_token);
    expect([bySecret.result, byToken.result]).toEqual(['allow', 'allow']);
    expect(parseToken(device.access_token)!.payload['acl']).toEqual(byToken.acl);
    expect((await ask(`${device.client_secret.slice(0, -1)}!`)).result).toBe('deny');
  });
});
