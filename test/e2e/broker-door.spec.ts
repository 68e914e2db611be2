import { randomBytes } from 'node:crypto';
import { TestApp, request, type Answer, type RegisteredDevice } from '../factories/app.js';
import { emqxRequest, RawConnection } from '../factories/raw-http.js';

const AUTH = '/api/v1/internal/mqtt-auth';
const ACL = '/api/v1/internal/mqtt-acl';

describe('the door of the broker', () => {
  let app: TestApp;
  let device: RegisteredDevice;
  let other: RegisteredDevice;
  let secret: string;

  beforeAll(async () => {
    app = await TestApp.start();
    device = await app.registerDevice('pump-1');
    other = await app.registerDevice('pump-2');
    secret = app.config.internal.secrets[0] ?? '';
  });

  afterAll(() => app.stop());

  const connect = (fields: Record<string, unknown>) =>
    app.ask('mqtt-auth', { clientid: device.id, username: device.id, password: device.client_secret, listener_kind: 'plain', ...fields });

  const raw = async (path: string, body: string | Buffer, contentType?: string): Promise<Answer | null> => {
    const connection = await RawConnection.open(app.internalPort);
    connection.write(emqxRequest(path, secret, body, contentType));
    const answer = await connection.read();
    connection.close();
    if (answer === null) return null;
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatch(/^content-type: application\/json\r?$/im);
    return JSON.parse(answer.body) as Answer;
  };

  describe('answers a right proof with', () => {
    it('an explicit allow that is never a superuser and always ends', async () => {
      const now = Math.floor(Date.now() / 1000);
      const { status, headers, body } = await connect({});
      expect(status).toBe(200);
      expect(headers.get('content-type')).toBe('application/json');
      expect(body).toMatchObject({ result: 'allow', is_superuser: false });
      expect(Number.isInteger(body.expire_at)).toBe(true);
      expect(body.expire_at).toBeGreaterThan(now);
      expect(body.expire_at).toBeLessThanOrEqual(now + 86_401);
    });

    it('attributes that are strings, every one', async () => {
      const { body } = await connect({});
      expect(Object.keys(body.client_attrs ?? {}).sort()).toEqual(['cred', 'device', 'status', 'tenant', 'ver']);
      for (const value of Object.values(body.client_attrs ?? {})) expect(typeof value).toBe('string');
      expect(body.client_attrs).toMatchObject({ device: device.id, status: 'ACTIVE' });
    });

    it('the rules of this device and of nobody else', async () => {
      const { body } = await connect({});
      const topics = (body.acl ?? []).flatMap((rule) => rule.topics);
      expect(topics).toContain(`devices/${device.id}/telemetry`);
      expect(topics.join()).not.toContain(other.id);
      for (const rule of body.acl ?? []) expect(['allow', 'deny']).toContain(rule.permission);
    });

    it('an end no later than that of a token', async () => {
      const { body: token } = await app.call<{ access_token: string }>('POST', `/devices/${device.id}/token`, { ttl: 120 });
      const { body } = await connect({ password: token.access_token, username: '' });
      expect(body.result).toBe('allow');
      expect(body.expire_at).toBeLessThanOrEqual(Math.floor(Date.now() / 1000) + 120);
    });

    it('a suffix to the client id', async () => {
      expect((await connect({ clientid: `${device.id}:second_1` })).body.result).toBe('allow');
    });
  });

  describe('denies', () => {
    it.each<[string, (() => Record<string, unknown>)]>([
      ['a wrong secret', () => ({ password: `pcs_${randomBytes(32).toString('base64url')}` })],
      ['the secret of another device', () => ({ password: other.client_secret })],
      ['the token of another device', () => ({ password: other.access_token })],
      ['the token of another device without a username', () => ({ password: other.access_token, username: '' })],
      ['another client id with the right username', () => ({ clientid: other.id })],
      ['another username with the right client id', () => ({ username: other.id })],
      ['an upper-case id', () => ({ clientid: device.id.toUpperCase(), username: device.id.toUpperCase() })],
      ['an unknown device', () => ({ clientid: '00000000-0000-4000-8000-000000000000', username: '00000000-0000-4000-8000-000000000000' })],
      ['a client without any id', () => ({ clientid: '', username: '' })],
      ['a secret without a username', () => ({ username: '' })],
      ['an empty password', () => ({ password: '' })],
      ['a certificate by its name alone', () => ({ password: '', cert_common_name: device.id, cert_subject: `CN=${device.id}` })],
      ['a certificate beside a right secret', () => ({ cert_pem: 'MIIB', cert_common_name: device.id })],
      ['a secret on the listener for certificates', () => ({ listener_kind: 'mtls' })],
      ['a device that poses as a service', () => ({ clientid: `svc:${device.id}`, username: `svc:${device.id}` })],
      ['a password of 60 KB', () => ({ password: 'x'.repeat(60_000) })],
      ['control characters', () => ({ username: 'a\r\nX-Evil: 1', clientid: '\u0000\u0001\u001f' })],
      ['half a surrogate pair', () => ({ username: '\ud800', clientid: '\udfff' })],
      ['a number as password', () => ({ password: 7 })],
      ['a list as client id', () => ({ clientid: [device.id] })],
      ['an object as username', () => ({ username: { toString: device.id } })],
      ['true as password', () => ({ password: true })],
      ['null as client id', () => ({ clientid: null })],
    ])('%s, with status 200', async (_, fields) => {
      const { status, body } = await connect(fields());
      expect(status).toBe(200);
      expect(body).toEqual({ result: 'deny', is_superuser: false });
    });

    it.each([
      ['nothing', ''],
      ['broken JSON', '{"clientid":'],
      ['a list', '[1]'],
      ['text', 'allow'],
      ['bytes that are no UTF-8', Buffer.from([0xff, 0xfe, 0x41])],
      ['deeply nested JSON', '['.repeat(100_000)],
    ])('a body of %s at both callbacks', async (_, body) => {
      expect(await raw(AUTH, body)).toEqual({ result: 'deny', is_superuser: false });
      expect(await raw(ACL, body)).toEqual({ result: 'deny' });
    });

    it('a body of 5 MB, or closes the connection, and lives on', async () => {
      for (const path of [AUTH, ACL]) {
        const answer = await raw(path, JSON.stringify({ clientid: device.id, padding: 'x'.repeat(5_000_000) }));
        expect(answer?.result ?? 'closed').toMatch(/^(deny|closed)$/);
      }
      expect((await connect({})).body.result).toBe('allow');
    });

    it('a body of 1.9 MB only because of what it says', async () => {
      const body = JSON.stringify({ clientid: device.id, username: device.id, password: device.client_secret, padding: 'x'.repeat(1_900_000) });
      expect((await raw(AUTH, body))?.result).toBe('allow');
    });
  });

  describe('takes the requests of a running EMQX', () => {
    it('with its members in reverse order and unknown ones among them', async () => {
      const body = `{"username":"${device.id}","peerhost":"127.0.0.1","password":"${device.client_secret}","mixed":"u=${device.id};c=c1","clientid":"${device.id}","cert_subject":"","cert_common_name":"","attr_tenant":"","listener":"\${listener}","listener_kind":"plain"}`;
      expect((await raw(AUTH, body))?.result).toBe('allow');
    });

    it('as a form', async () => {
      const body = `clientid=${device.id}&n=1&nope=%24%7Bfoo%7D&password=${device.client_secret}&username=${device.id}&cert_pem=`;
      expect((await raw(AUTH, body, 'application/x-www-form-urlencoded'))?.result).toBe('allow');
    });

    it('of an anonymous client and denies it', async () => {
      const body = '{"username":"","peerhost":"127.0.0.1","password":"","mixed":"u=;c=IvbKNjbZMmaobDQI","clientid":"IvbKNjbZMmaobDQI","cert_subject":"","cert_common_name":"","attr_tenant":""}';
      expect((await raw(AUTH, body))?.result).toBe('deny');
    });

    it('about topics, with strings for QoS and retain', async () => {
      const ask = (fields: Record<string, string>) =>
        raw(ACL, JSON.stringify({
          username: device.id, topic: `devices/${device.id}/telemetry`, retain: 'false', qos: '1', proto_name: 'mqtt', peerhost: '127.0.0.1', mountpoint: '',
          clientid: device.id, cert_subject: '', cert_common_name: '', device: device.id, status: 'ACTIVE', ver: '1', action: 'publish', access: '2', ...fields,
        }));
      expect(await ask({})).toEqual({ result: 'allow' });
      expect(await ask({ topic: `devices/${other.id}/telemetry` })).toEqual({ result: 'deny' });
      expect(await ask({ topic: `devices/${device.id}/commands` })).toEqual({ result: 'deny' });
      expect(await ask({ action: 'subscribe', access: '1', topic: `devices/${device.id}/commands` })).toEqual({ result: 'allow' });
      for (const topic of ['#', '+/x', '$SYS/brokers', 'a//b', 'devices/#', 'devices/+/commands', `devices/${device.id}/#`, `devices/${device.id}/+`]) {
        expect(await ask({ action: 'subscribe', access: '1', topic })).toEqual({ result: 'deny' });
      }
      expect(await ask({ device: other.id })).toEqual({ result: 'deny' });
      expect(await ask({ qos: '3' })).toEqual({ result: 'deny' });
      expect(await ask({ action: 'all' })).toEqual({ result: 'deny' });
    });

    it('pipelined, and answers in their order', async () => {
      const connection = await RawConnection.open(app.internalPort);
      const right = JSON.stringify({ clientid: device.id, username: device.id, password: device.client_secret });
      const cold = () => {
        const id = `00000000-0000-4000-8000-${randomBytes(6).toString('hex')}`;
        return JSON.stringify({ clientid: id, username: id, password: 'pcs_x' });
      };
      // Warm and cold mixed: the cold ones take longer and must still hold their place.
      const expected = Array.from({ length: 64 }, (_, i) => (i % 3 === 0 ? 'deny' : 'allow'));
      connection.write(Buffer.concat(expected.map((result) => emqxRequest(AUTH, secret, result === 'allow' ? right : cold()))));
      const results: string[] = [];
      for (let i = 0; i < expected.length; i += 1) {
        const answer = await connection.read();
        results.push((JSON.parse(answer?.body ?? '{}') as Answer).result);
      }
      connection.close();
      expect(results).toEqual(expected);
    });
  });

  describe('is there for the broker alone', () => {
    const ask = (url: string, headers: Record<string, string>) => request<string>(url, 'POST', headers, {});

    it.each([
      ['no secret', {}],
      ['a wrong secret', { 'x-internal-auth': 'x'.repeat(48) }],
      ['a list of secrets', { 'x-internal-auth': 'a, b' }],
    ])('and answers 404 with an empty body to %s', async (_, headers) => {
      for (const path of [AUTH, ACL]) {
        const answer = await ask(`http://127.0.0.1:${app.internalPort}${path}`, headers);
        expect({ status: answer.status, body: answer.body }).toEqual({ status: 404, body: '' });
      }
    });

    it('and does not exist on the public port, whatever the secret', async () => {
      for (const path of [AUTH, ACL, '/api/v1/internal/', '/API/v1/Internal/mqtt-auth', '//api/v1/internal/mqtt-auth', '/api/v1/internal']) {
        const answer = await ask(`${app.url}${path}`, { 'x-internal-auth': secret });
        expect({ path, status: answer.status, body: answer.body }).toEqual({ path, status: 404, body: '' });
      }
    });

    it('and takes both secrets of a rotation', async () => {
      const next = randomBytes(36).toString('base64url');
      const rotating = await TestApp.start({ env: { MQTT_INTERNAL_AUTH_SECRET: `${secret},${next}` } });
      for (const value of [secret, next]) {
        const answer = await ask(`http://127.0.0.1:${rotating.internalPort}${AUTH}`, { 'x-internal-auth': value });
        expect(answer.status).toBe(200);
      }
      const both = await ask(`http://127.0.0.1:${rotating.internalPort}${AUTH}`, { 'x-internal-auth': `${secret},${next}` });
      expect(both.status).toBe(404);
      await rotating.stop();
    });

    it('but tells anybody on the internal port how it is', async () => {
      expect((await request(`http://127.0.0.1:${app.internalPort}/health/live`, 'GET', {})).status).toBe(200);
      expect((await request(`http://127.0.0.1:${app.internalPort}/health/ready`, 'GET', {})).body).toMatchObject({ status: 'ready' });
      const metrics = await request<string>(`http://127.0.0.1:${app.internalPort}/metrics`, 'GET', {});
      expect(metrics.body).toContain('portcullis_decisions_total{door="auth",result="allow",reason="ALLOWED"}');
    });
  });

  it('asks other authenticators only about clients that have no shape of ours', async () => {
    const open = await TestApp.start({ env: { BROKER_UNKNOWN: 'ignore' } });
    const foreign = { clientid: 'sensor-1', username: 'alice', password: 'pw' };
    expect((await open.ask('mqtt-auth', foreign)).body).toEqual({ result: 'ignore' });
    for (const fields of [{ clientid: device.id.toUpperCase() }, { username: device.id }, { password: device.client_secret }, { password: device.access_token }, { cert_common_name: device.id }]) {
      expect((await open.ask('mqtt-auth', { ...foreign, ...fields })).body.result).toBe('deny');
    }
    await open.stop();
  });
});
