import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { Standing } from '../../src/access/standing.js';
import { administer } from '../factories/database.js';
import { TestApp } from '../factories/app.js';
import { EventReader } from '../factories/event-reader.js';

let app: TestApp;
const open: EventReader[] = [];

async function follow(query = '', headers: Record<string, string> = {}): Promise<EventReader> {
  const authorization = `Bearer ${app.adminToken}`;
  const reader = await EventReader.open(`${app.url}/api/v1/audit/logs/stream${query}`, { authorization, ...headers });
  open.push(reader);
  return reader;
}

/** A row as another process writes it. */
async function write(row: { tenant?: string | null; device?: string; type?: string; ageMs?: number }): Promise<void> {
  const { device = randomUUID(), type = 'DEVICE_SUSPENDED', ageMs = 0 } = row;
  await administer(app.database.url, async (client: pg.Client) => {
    const { rows } = await client.query<{ id: string }>(`SELECT id FROM tenants WHERE slug = 'default'`);
    await client.query(
      `INSERT INTO security_audit_logs (tenant_id, occurred_at, event_type, severity, device_id, actor_kind)
       VALUES ($1, now() - make_interval(secs => $4::float8 / 1000), $2, 'HIGH', $3, 'system')`,
      [row.tenant === undefined ? rows[0]?.id : row.tenant, type, device, ageMs],
    );
  });
}

async function colleague(role: string): Promise<{ id: string; headers: Record<string, string> }> {
  const email = `${randomUUID()}@example.test`;
  const password = 'vbx7-aqk-lantern';
  const { status, body } = await app.call<{ id: string }>('POST', '/users', { email, password, name: 'C', role });
  expect(status).toBe(201);
  return { id: body.id, headers: await app.loginAs(email, password) };
}

beforeAll(async () => {
  app = await TestApp.start();
});
afterEach(() => open.splice(0).forEach((reader) => reader.close()));
afterAll(() => app.stop());

describe('the stream of the security log', () => {
  it('tells what is written from now on, whichever process writes it, and nothing of before', async () => {
    const [before, after] = [randomUUID(), randomUUID()];
    await write({ device: before });
    const reader = await follow('?eventType=DEVICE_SUSPENDED');
    await write({ device: after });
    expect(await reader.next()).toMatchObject({ id: expect.any(String), data: { deviceId: after, eventType: 'DEVICE_SUSPENDED' } });
  });

  it('tells a row that was written late, between two that it has told, and each row once', async () => {
    const [first, late, last] = [randomUUID(), randomUUID(), randomUUID()];
    const reader = await follow('?eventType=DEVICE_QUARANTINED');
    for (const [device, ageMs] of [[first, 0], [late, 3_000], [last, 0]] as const) {
      await write({ device, ageMs, type: 'DEVICE_QUARANTINED' });
      expect((await reader.next())?.data['deviceId']).toBe(device);
    }
  });

  it('tells no other tenant’s rows', async () => {
    const tenant = randomUUID();
    await administer(app.database.url, (client) => client.query(`INSERT INTO tenants (id, slug, name) VALUES ($1, 'strangers', 'Strangers')`, [tenant]));
    const { headers } = await colleague('OPERATOR');
    const reader = await follow('?eventType=DEVICE_RELEASED', headers);
    const own = randomUUID();
    await write({ tenant, type: 'DEVICE_RELEASED' });
    await write({ tenant: null, type: 'DEVICE_RELEASED' });
    await write({ device: own, type: 'DEVICE_RELEASED' });
    expect((await reader.next())?.data['deviceId']).toBe(own);
  });

  it('goes on where it broke off', async () => {
    const [seen, missed] = [randomUUID(), randomUUID()];
    const reader = await follow();
    await write({ device: seen });
    const { id = '' } = await reader.about(seen);
    reader.close();
    await write({ device: missed });
    expect(await (await follow('', { 'last-event-id': id })).about(missed)).toBeDefined();
  });

  it('says what it leaves out of a break that was longer than an hour', async () => {
    const id = Buffer.from(`2026-01-01T00:00:00.000000Z|${randomUUID()}`).toString('base64url');
    expect(await (await follow('', { 'last-event-id': id })).next()).toMatchObject({ event: 'gap', data: { from: '2026-01-01T00:00:00.000Z' } });
  });

  it('refuses who may not read, an id that is none, and a filter that is none', async () => {
    expect((await follow('', (await colleague('VIEWER')).headers)).status).toBe(403);
    expect((await follow('', { authorization: 'Bearer x' })).status).toBe(401);
    expect((await follow('', { 'last-event-id': 'nonsense' })).status).toBe(400);
    expect((await follow('?eventType=NOTHING')).status).toBe(400);
  });

  it('serves three streams a principal, and takes a closed one back', async () => {
    const { headers } = await colleague('OPERATOR');
    const readers = [await follow('', headers), await follow('', headers), await follow('', headers)];
    const fourth = await app.call('GET', '/audit/logs/stream', undefined, headers);
    expect(fourth).toMatchObject({ status: 429, body: { code: 'AUDIT_STREAMS_BUSY' } });
    readers[0]?.close();
    let status = 429;
    // The server hears of the close when its socket does.
    for (let attempt = 0; status === 429 && attempt < 500; attempt += 1) {
      const reader = await follow('', headers);
      status = reader.status;
    }
    expect(status).toBe(200);
  });

  it('ends when the right to read is taken away', async () => {
    const { id, headers } = await colleague('OPERATOR');
    const reader = await follow('', headers);
    expect((await app.call('PATCH', `/users/${id}`, { role: 'VIEWER' })).status).toBe(200);
    let event = await reader.next();
    while (event !== null && event.event !== 'end') event = await reader.next();
    expect(event).toMatchObject({ event: 'end', data: { reason: 'ACCESS_ENDED' } });
    expect(await reader.next()).toBeNull();
  });
});

describe('a process that stops', () => {
  it('ends its streams with a word', async () => {
    const second = await TestApp.start({ database: app.database, config: app.config });
    const reader = await EventReader.open(`${second.url}/api/v1/audit/logs/stream?eventType=CA_CREATED`, { authorization: `Bearer ${second.adminToken}` });
    const [event] = await Promise.all([reader.next(), second.stop()]);
    expect(event).toMatchObject({ event: 'end', data: { reason: 'CLOSING' } });
  });
});

describe('a stream that a personal access token follows', () => {
  /** Settles with what the next look at somebody's rights found. */
  function nextLook(): Promise<boolean> {
    const standing = app.app.get(Standing);
    const look = standing.stillMay.bind(standing);
    return new Promise((resolve) => {
      jest.spyOn(standing, 'stillMay').mockImplementationOnce(async (...asked) => {
        const found = await look(...asked);
        resolve(found);
        return found;
      });
    });
  }

  it.each(['revoked', 'given another secret'])('goes on while it holds, and ends once the token is %s', async (what) => {
    const made = await app.call<{ id: string; secret: string }>('POST', '/pats', { name: what, duration: '1h', scopes: ['audit.log.read'] });
    expect(made.status).toBe(201);
    const reader = await follow('', { authorization: `Bearer ${made.body.secret}` });
    expect(reader.status).toBe(200);
    const ending = reader.end();
    expect(await nextLook()).toBe(true);
    const { status } = await app.call('PATCH', `/pats/${made.body.id}/${what === 'revoked' ? 'revoke' : 'reset'}`, what === 'revoked' ? undefined : { duration: '1h' });
    expect(status).toBe(200);
    expect(await ending).toMatchObject({ data: { reason: 'ACCESS_ENDED' } });
  });

  it('is followed in a tenant that the platform entered', async () => {
    const tenant = await app.call<{ id: string; slug: string }>('POST', '/tenants', { slug: 'entered', name: 'Entered' });
    expect(tenant.status).toBe(201);
    const reader = await follow('?eventType=CA_RETIRED', { 'x-tenant': 'entered' });
    expect(reader.status).toBe(200);
    expect(await nextLook()).toBe(true);
    const device = randomUUID();
    await write({ tenant: tenant.body.id, device, type: 'CA_RETIRED' });
    expect(await reader.next()).toMatchObject({ data: { deviceId: device } });
  });
});
