import { createPublicKey, verify, type JsonWebKey } from 'node:crypto';
import { TestApp, request, type RegisteredDevice, type Reply } from '../factories/app.js';

interface ProblemBody {
  readonly code: string;
  readonly status: number;
  readonly type: string;
  readonly title: string;
  readonly requestId: string;
  readonly errors?: { path: string; message: string }[];
}

describe('the devices API', () => {
  let app: TestApp;
  let operator: Record<string, string>;
  let viewer: Record<string, string>;
  const password = 'horse staple battery correct';

  beforeAll(async () => {
    app = await TestApp.start();
    for (const role of ['OPERATOR', 'VIEWER']) {
      const { status } = await app.call('POST', '/users', { email: `${role.toLowerCase()}@example.test`, password, name: role, role });
      expect(status).toBe(201);
    }
    operator = await app.loginAs('operator@example.test', password);
    viewer = await app.loginAs('viewer@example.test', password);
  });

  afterAll(() => app.stop());

  describe('registers a device', () => {
    it('and answers all that is needed to connect, each secret once', async () => {
      const device = await app.registerDevice('all-in-one', { name: 'A pump', metadata: { site: 'north' } });
      expect(device).toMatchObject({
        slug: 'all-in-one', name: 'A pump', status: 'ACTIVE', groups: [], metadata: { site: 'north' },
        client_secret: expect.stringMatching(/^pcs_[A-Za-z0-9_-]{43}$/),
        access_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
        mqtt: {
          host: 'localhost', ports: { mqtt: 1883 }, clientId: device.id, username: device.id,
          topics: {
            publish: expect.arrayContaining([`devices/${device.id}/telemetry`, `devices/${device.id}/events/#`]),
            subscribe: expect.arrayContaining([`devices/${device.id}/commands`]),
          },
        },
      });
      const again = await app.call<Record<string, unknown>>('GET', `/devices/${device.id}`);
      expect(JSON.stringify(again.body)).not.toContain('pcs_');
      const listed = await app.call('GET', `/devices/${device.id}/credentials`);
      expect(JSON.stringify(listed.body)).not.toContain(device.client_secret);
    });

    it('with a token that verifies under the published key', async () => {
      const { access_token: token, id } = await app.registerDevice('verified-outside');
      const [header = '', payload = '', signature = ''] = token.split('.');
      const { kid, alg, typ } = JSON.parse(Buffer.from(header, 'base64url').toString()) as Record<string, string>;
      expect({ alg, typ }).toEqual({ alg: 'ES256', typ: 'device+jwt' });
      const { body } = await request<{ keys: (JsonWebKey & { kid: string })[] }>(`${app.url}/.well-known/jwks.json`, 'GET', {});
      const jwk = body.keys.find((key) => key.kid === kid);
      expect(JSON.stringify(body.keys)).not.toContain('"d"');
      const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
      expect(verify('sha256', Buffer.from(`${header}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))).toBe(true);
      expect(JSON.parse(Buffer.from(payload, 'base64url').toString())).toMatchObject({ sub: id, aud: 'portcullis-mqtt', scope: 'device', acl: expect.any(Array) });
    });

    it.each<[string, Record<string, unknown>, number, string, string | undefined]>([
      ['without a slug', {}, 400, 'VALIDATION_FAILED', 'slug'],
      ['with a slug of capitals', { slug: 'Pump' }, 400, 'VALIDATION_FAILED', 'slug'],
      ['with a slug that adds a level', { slug: 'a/b' }, 400, 'VALIDATION_FAILED', 'slug'],
      ['with a number for a slug', { slug: 7 }, 400, 'VALIDATION_FAILED', 'slug'],
      ['with an unknown field', { slug: 'x1', superuser: true }, 400, 'VALIDATION_FAILED', 'superuser'],
      ['with a state it cannot start in', { slug: 'x2', status: 'SUSPENDED' }, 400, 'VALIDATION_FAILED', 'status'],
      ['with a group that is no id', { slug: 'x3', groups: ['north'] }, 400, 'VALIDATION_FAILED', 'groups'],
      ['with a group of nobody', { slug: 'x4', groups: ['00000000-0000-4000-8000-000000000000'] }, 404, 'GROUP_NOT_FOUND', undefined],
      ['with metadata that is a list', { slug: 'x5', metadata: [] }, 400, 'VALIDATION_FAILED', 'metadata'],
      ['with a secret of its own choice', { slug: 'x6', client_secret: 'x' }, 400, 'VALIDATION_FAILED', 'client_secret'],
      ['with a certificate, which is not there yet', { slug: 'x7', credentials: ['certificate'] }, 400, 'CREDENTIAL_KIND_UNAVAILABLE', undefined],
    ])('never %s', async (_, body, status, code, path) => {
      const answer = await app.call<ProblemBody>('POST', '/devices', body);
      expect(answer.status).toBe(status);
      expect(answer.headers.get('content-type')).toContain('application/problem+json');
      expect(answer.body.code).toBe(code);
      expect(answer.body.requestId).toBe(answer.headers.get('x-request-id'));
      if (path !== undefined) expect(answer.body.errors?.map((error) => error.path)).toContain(path);
    });

    it('once for a slug, also when two ask at the same moment', async () => {
      const answers = await Promise.all(Array.from({ length: 8 }, () => app.call<ProblemBody>('POST', '/devices', { slug: 'only-once' })));
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
      expect(new Set(answers.filter(({ status }) => status !== 201).map(({ body }) => body.code))).toEqual(new Set(['DEVICE_SLUG_TAKEN']));
    });

    it('once for an idempotency key, and shows the secret again within its window', async () => {
      const headers = { authorization: `Bearer ${app.adminToken}`, 'idempotency-key': 'register-1' };
      const [first, second] = [
        await app.call<RegisteredDevice>('POST', '/devices', { slug: 'idempotent' }, headers),
        await app.call<RegisteredDevice>('POST', '/devices', { slug: 'idempotent' }, headers),
      ];
      expect([first.status, second.status]).toEqual([201, 201]);
      expect(second.body).toEqual(first.body);
      expect(second.headers.get('idempotency-replayed')).toBe('true');
      const other = await app.call<ProblemBody>('POST', '/devices', { slug: 'another' }, headers);
      expect(other.body.code).toBe('IDEMPOTENCY_KEY_REUSED');
    });
  });

  describe('in bulk', () => {
    const bulk = async (body: string, headers = { authorization: `Bearer ${app.adminToken}` }): Promise<{ status: number; lines: Record<string, unknown>[] }> => {
      const response = await fetch(`${app.url}/api/v1/devices/bulk`, { method: 'POST', headers: { ...headers, 'content-type': 'application/x-ndjson' }, body });
      const text = await response.text();
      return { status: response.status, lines: text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>) };
    };

    it('loses nothing when one line of many is bad', async () => {
      const lines = Array.from({ length: 1000 }, (_, i) => (i === 499 ? '{"slug":' : JSON.stringify({ slug: `bulk-${i}`, credentials: ['secret'] })));
      const { status, lines: answers } = await bulk(`${lines.join('\n')}\n`);
      expect(status).toBe(200);
      expect(answers.map(({ line }) => line)).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1));
      expect(answers.filter((answer) => answer['status'] === 201)).toHaveLength(999);
      expect(answers[499]).toMatchObject({ line: 500, status: 400, problem: { code: 'BULK_LINE_MALFORMED' } });
      expect(answers[500]).toMatchObject({ device: { slug: 'bulk-500', client_secret: expect.stringMatching(/^pcs_/) } });
    }, 120_000);

    it('answers each bad line in its place, by its own code and path', async () => {
      const { lines } = await bulk([
        '{"slug":"bulk-ok"}', '[]', '"text"', 'null', '{"slug":"Bad Slug"}', '', `{"slug":"${'x'.repeat(70_000)}"}`, '{"slug":"bulk-ok"}', '{"slug":"bulk-last"}',
      ].join('\n'));
      expect(lines.map((line) => [line['line'], (line['problem'] as ProblemBody | undefined)?.code ?? 'created'])).toEqual([
        [1, 'created'], [2, 'BULK_LINE_MALFORMED'], [3, 'BULK_LINE_MALFORMED'], [4, 'BULK_LINE_MALFORMED'], [5, 'VALIDATION_FAILED'],
        [7, 'BULK_LINE_MALFORMED'], [8, 'DEVICE_SLUG_TAKEN'], [9, 'created'],
      ]);
      expect((lines[4]?.['problem'] as ProblemBody).errors?.[0]?.path).toBe('slug');
    });

    it('is for NDJSON and for admins', async () => {
      const json = await app.call<ProblemBody>('POST', '/devices/bulk', { slug: 'x' });
      expect(json.body.code).toBe('UNSUPPORTED_MEDIA_TYPE');
      expect((await bulk('{"slug":"y"}', operator as { authorization: string })).status).toBe(403);
    });
  });

  describe('keeps its borders', () => {
    const codeOf = async (reply: Promise<Reply<ProblemBody>>) => {
      const { status, body } = await reply;
      return [status, body.code];
    };

    it('by role', async () => {
      const { id } = await app.registerDevice('bordered');
      expect((await app.call('GET', `/devices/${id}`, undefined, viewer)).status).toBe(200);
      expect(await codeOf(app.call('POST', '/devices', { slug: 'nope' }, viewer))).toEqual([403, 'PERMISSION_DENIED']);
      expect(await codeOf(app.call('POST', `/devices/${id}/suspend`, { reason: 'x' }, operator))).toEqual([403, 'PERMISSION_DENIED']);
      expect((await app.call('POST', `/devices/${id}/token`, {}, operator)).status).toBe(201);
      expect(await codeOf(app.call('POST', `/devices/${id}/token`, {}, viewer))).toEqual([403, 'PERMISSION_DENIED']);
      expect(await codeOf(app.call('GET', '/devices', undefined, {}))).toEqual([401, 'UNAUTHENTICATED']);
    });

    it('between devices: one gets a token for itself alone', async () => {
      const [mine, theirs] = [await app.registerDevice('self-1'), await app.registerDevice('self-2')];
      const basic = { authorization: `Basic ${Buffer.from(`${mine.id}:${mine.client_secret}`).toString('base64')}` };
      expect((await app.call('POST', `/devices/${mine.id}/token`, { ttl: 60 }, basic)).status).toBe(201);
      expect((await app.call('POST', `/devices/${theirs.id}/token`, {}, basic)).status).toBe(404);
      expect((await app.call('GET', '/devices', undefined, basic)).status).toBeGreaterThanOrEqual(401);
      expect((await app.call('POST', `/devices/${mine.id}/token`, {}, { authorization: `Bearer ${mine.access_token}` })).status).toBe(401);
    });

    it('for a provisioning station: it registers and does nothing else', async () => {
      const key = { 'x-admin-key': app.config.adminKey };
      expect((await app.call('POST', '/devices', { slug: 'from-the-line' }, key)).status).toBe(201);
      expect((await app.call('GET', '/devices', undefined, key)).status).toBe(401);
      expect(await codeOf(app.call('POST', '/devices', { slug: 'wrong-key' }, { 'x-admin-key': 'x'.repeat(48) }))).toEqual([401, 'ADMIN_KEY_WRONG']);
      const answers = await Promise.all(Array.from({ length: 15 }, (_, i) => app.call<ProblemBody>('POST', '/devices', { slug: `line-${i}` }, key)));
      const limited = answers.filter(({ status }) => status === 429);
      expect(limited.length).toBeGreaterThan(0);
      expect(limited[0]?.body.code).toBe('RATE_LIMITED');
      expect(Number(limited[0]?.headers.get('retry-after'))).toBeGreaterThan(0);
    });

    it.each(['nonsense', '00000000-0000-4000-8000-000000000000', '00000000-0000-4000-8000-00000000000G', "'; DROP TABLE devices; --", '..%2f..%2fetc'])(
      'for an id that is nobody’s: %s',
      async (id) => {
        expect((await app.call('GET', `/devices/${id}`)).status).toBe(404);
      },
    );
  });

  it('pages without gaps while devices are added', async () => {
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const { body }: Reply<{ items: { id: string }[]; nextCursor: string | null }> = await app.call('GET', `/devices?limit=7${cursor === null ? '' : `&cursor=${cursor}`}`);
      seen.push(...body.items.map(({ id }) => id));
      if (seen.length < 30) await app.registerDevice(`late-${seen.length}`, { credentials: [] });
      cursor = body.nextCursor;
    } while (cursor !== null && seen.length < 400);
    expect(new Set(seen).size).toBe(seen.length);
    expect((await app.call<ProblemBody>('GET', '/devices?cursor=garbage')).body.code).toBe('CURSOR_INVALID');
    expect((await app.call<ProblemBody>('GET', '/devices?limit=0')).body.code).toBe('VALIDATION_FAILED');
    expect((await app.call<ProblemBody>('GET', '/devices?limit=1e9')).body.code).toBe('VALIDATION_FAILED');
  });

  it('answers what cannot be read by its own code, and leaks nothing', async () => {
    const headers = { authorization: `Bearer ${app.adminToken}` };
    const broken = await request<ProblemBody>(`${app.url}/api/v1/devices`, 'POST', { ...headers, 'content-type': 'application/json' }, '{"slug":');
    expect([broken.status, broken.body.code]).toEqual([400, 'MALFORMED_REQUEST']);
    const large = await request<ProblemBody>(`${app.url}/api/v1/devices`, 'POST', headers, { slug: 'large', name: 'x'.repeat(70_000) });
    expect([large.status, large.body.code]).toEqual([413, 'BODY_TOO_LARGE']);
    const text = await request<ProblemBody>(`${app.url}/api/v1/devices`, 'POST', { ...headers, 'content-type': 'text/plain' }, 'slug');
    expect([text.status, text.body.code]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
    const url = await request<ProblemBody>(`${app.url}/%zz`, 'GET', {});
    expect([url.status, url.headers.get('content-type')]).toEqual([400, 'application/problem+json; charset=utf-8']);
    const polluted = await request<ProblemBody>(`${app.url}/api/v1/devices`, 'POST', { ...headers, 'content-type': 'application/json' }, '{"slug":"pp","__proto__":{"role":"ADMIN"}}');
    expect(polluted.status).toBe(400);
    for (const { body } of [broken, large, text, polluted]) expect(JSON.stringify(body)).not.toMatch(/node_modules|\bat \w+ \(|SELECT|stack/);
  });
});
