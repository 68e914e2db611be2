import { randomUUID } from 'node:crypto';
import { BINDING_BUNDLES, type BindingRole, type Permission } from '../../src/access/permission.js';
import { ObjectRights } from '../../src/devices/object-rights.service.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { request, TestApp, type RegisteredDevice, type Reply } from '../factories/app.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { canProbe, codeOf, operationsOf, probe, refused, type OpenApi, type Operation } from '../factories/operations.js';

const PASSWORD = 'vbx7-aqk-lantern';

type Headers = Record<string, string>;
type Listing = { items: { id: string }[]; nextCursor: string | null };

const clock = new FakeClock(Date.now());
let app: TestApp;
let second: TestApp;
let operations: Operation[] = [];
let people = 0;

beforeAll(async () => {
  const store = new MemoryStore({ clock });
  app = await TestApp.start({ clock, store });
  second = await TestApp.start({ clock, store, database: app.database, config: app.config });
  operations = operationsOf((await request<OpenApi>(`${app.url}/docs/openapi.json`, 'GET', {})).body);
});

afterAll(async () => {
  await second.stop();
  await app.stop();
});

async function made(path: string, body: object, headers?: Headers): Promise<string> {
  const answer = await app.call<{ id: string }>('POST', path, body, headers);
  if (answer.status !== 201) throw new Error(`${path} answered ${codeOf(answer)}: ${JSON.stringify(answer.body)}`);
  return answer.body.id;
}

async function person(role = 'MEMBER'): Promise<{ id: string; headers: Headers; email: string }> {
  people += 1;
  const email = `p${people}@example.test`;
  const id = await made('/users', { email, password: PASSWORD, name: email, role });
  return { id, email, headers: await app.loginAs(email, PASSWORD) };
}

const group = (parentId: string | null = null): Promise<string> => made('/groups', { slug: `g-${randomUUID()}`, parentId });
const device = async (...groups: string[]): Promise<string> =>
  (await app.call<RegisteredDevice>('POST', '/devices', { slug: `d-${randomUUID()}`, groups })).body.id;
const bind = (userId: string, role: BindingRole, object: { groupId: string } | { deviceId: string }, more: object = {}): Promise<string> =>
  made('/role-bindings', { userId, role, ...object, ...more });
const get = (path: string, headers: Headers, on = app): Promise<string> => on.call('GET', path, undefined, headers).then(codeOf);

/** Every id of a list, by pages of two. */
async function listed(path: string, headers: Headers): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Reply<Listing> = await app.call<Listing>('GET', `${path}?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`, undefined, headers);
    expect(page.status).toBe(200);
    ids.push(...page.body.items.map(({ id }) => id));
    cursor = page.body.nextCursor;
  } while (cursor !== null);
  return ids;
}

describe('somebody with a role on a group', () => {
  it('has its devices and those of the groups in it, to the extent of the role, and sees nothing else', async () => {
    const site = await group();
    const floor = await group(site);
    const elsewhere = await group();
    const [pump, valve] = [await device(floor), await device(elsewhere)];
    const guest = await person();
    expect(await listed('/devices', guest.headers)).toEqual([]);
    expect(await get(`/devices/${pump}`, guest.headers)).toBe('404 DEVICE_NOT_FOUND');
    expect(await get('/users', guest.headers)).toBe('403 PERMISSION_DENIED');

    await bind(guest.id, 'OPERATOR', { groupId: site });
    expect(await listed('/devices', guest.headers)).toEqual([pump]);
    expect(await listed('/groups', guest.headers)).toEqual([site, floor]);
    expect(await get(`/devices/${pump}`, guest.headers)).toBe('200');
    expect(await get(`/groups/${floor}/members`, guest.headers)).toBe('200');
    const command = { type: 'reboot', payload: {}, ttl: 60 };
    expect(codeOf(await app.call('POST', `/devices/${pump}/token`, {}, guest.headers))).toBe('201');
    expect(codeOf(await app.call('POST', `/devices/${pump}/commands`, command, guest.headers))).not.toMatch(/^40[34]/);
    // Seen, but not theirs to change.
    expect(codeOf(await app.call('PATCH', `/devices/${pump}`, { name: 'x' }, guest.headers))).toBe('403 PERMISSION_DENIED');
    expect(codeOf(await app.call('POST', `/devices/${pump}/suspend`, { reason: 'x' }, guest.headers))).toBe('403 PERMISSION_DENIED');
    // Not seen at all: as one that nobody has.
    const unknown = await app.call('GET', `/devices/${randomUUID()}`, undefined, guest.headers);
    const foreign = await app.call('GET', `/devices/${valve}`, undefined, guest.headers);
    const told = ({ body }: Reply) => ({ ...body, requestId: '', instance: '' });
    expect(told(foreign)).toEqual(told(unknown));
    expect(codeOf(await app.call('POST', `/devices/${valve}/commands`, command, guest.headers))).toBe('404 DEVICE_NOT_FOUND');
    expect(await get(`/groups/${elsewhere}`, guest.headers)).toBe('404 GROUP_NOT_FOUND');
    // Nor what belongs to the tenant as a whole.
    for (const path of ['/users', '/service-accounts', '/audit/logs', '/role-bindings', '/invitations']) {
      expect(await get(path, guest.headers)).toBe('403 PERMISSION_DENIED');
    }
    expect(codeOf(await app.call('POST', '/devices', { slug: 'own' }, guest.headers))).toBe('403 PERMISSION_DENIED');
  });

  it('pages through exactly theirs, each once, whatever lies between', async () => {
    const [a, b, other] = [await group(), await group(), await group()];
    const guest = await person();
    await bind(guest.id, 'VIEWER', { groupId: a });
    await bind(guest.id, 'VIEWER', { groupId: b });
    const mine: string[] = [];
    for (const groups of [[a], [other], [a, b], [], [b], [other], [b], [a]]) {
      const id = await device(...groups);
      if (groups.includes(a) || groups.includes(b)) mine.push(id);
    }
    const single = await device(other);
    await bind(guest.id, 'OPERATOR', { deviceId: single });
    expect(await listed('/devices', guest.headers)).toEqual([...mine, single]);
    expect(await listed('/groups', guest.headers)).toEqual([a, b]);
    expect((await app.call<Listing>('GET', `/devices?group=${b}`, undefined, guest.headers)).body.items.map(({ id }) => id)).toEqual([mine[1], mine[2], mine[3]]);
  });

  it.each(['VIEWER', 'OPERATOR', 'ADMIN'] as const)('may as %s do on every route what the bundle says, and on no other object', async (role) => {
    const theirs = await group();
    const [reached, foreign] = [await device(theirs), await device()];
    const [member, viewer] = [await person(), await person('VIEWER')];
    for (const { id } of [member, viewer]) await bind(id, role, { groupId: theirs });
    const otherGroup = await group();
    const about = operations.filter(({ on }) => on !== undefined);
    expect(about.length).toBeGreaterThan(30);
    const wrong: string[] = [];
    for (const operation of about) {
      const { on, access, method, path } = operation;
      const allowed = BINDING_BUNDLES[role].includes(access as Permission);
      const [own, other, missing] = on === 'device' ? [reached, foreign, '404 DEVICE_NOT_FOUND'] : [theirs, otherGroup, '404 GROUP_NOT_FOUND'];
      const expectations: [Headers, string, string][] = [
        [member.headers, other, missing],
        // Whoever sees all is told that it is not theirs to do.
        [viewer.headers, other, BINDING_BUNDLES.VIEWER.includes(access as Permission) ? 'admitted' : '403 PERMISSION_DENIED'],
      ];
      // What would end the object without a body to be refused for is left to others.
      if (!allowed || canProbe(operation)) {
        expectations.push([member.headers, own, allowed ? 'admitted' : '403 PERMISSION_DENIED'], [viewer.headers, own, allowed ? 'admitted' : '403 PERMISSION_DENIED']);
      }
      for (const [headers, id, expected] of expectations) {
        const code = await probe(app, operation, id, headers);
        const good = expected === 'admitted' ? !refused(code) : code === expected;
        if (!good) wrong.push(`${method} ${path} answered ${code}, not ${expected}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe('a role on an object', () => {
  it('is gone on the very next request, on both of two instances, once it is deleted, has run out, or its group, membership or place in the tree is gone', async () => {
    const site = await group();
    const floor = await group(site);
    const pump = await device(floor);
    const guest = await person();
    const standing = async (): Promise<string> => `${await get(`/devices/${pump}`, guest.headers)}, ${await get(`/devices/${pump}`, guest.headers, second)}`;
    const [has, lacks] = ['200, 200', '404 DEVICE_NOT_FOUND, 404 DEVICE_NOT_FOUND'];

    const binding = await bind(guest.id, 'VIEWER', { groupId: site });
    expect(await standing()).toBe(has);
    expect(codeOf(await second.call('DELETE', `/role-bindings/${binding}`))).toBe('204');
    expect(await standing()).toBe(lacks);

    await bind(guest.id, 'VIEWER', { groupId: site }, { expiresAt: new Date(clock.now() + 60_000).toISOString() });
    expect(await standing()).toBe(has);
    clock.advance(60_001);
    expect(await standing()).toBe(lacks);
    expect(await listed('/devices', guest.headers)).toEqual([]);

    // What has run out stands in the way of nothing.
    await bind(guest.id, 'VIEWER', { groupId: site }, { expiresAt: new Date(clock.now() + 3_600_000).toISOString() });
    expect(await standing()).toBe(has);
    await app.call('PATCH', `/groups/${floor}`, { parentId: null });
    expect(await standing()).toBe(lacks);
    await app.call('PATCH', `/groups/${floor}`, { parentId: site });
    expect(await standing()).toBe(has);
    await app.call('DELETE', `/groups/${floor}/members/${pump}`);
    expect(await standing()).toBe(lacks);

    await bind(guest.id, 'VIEWER', { groupId: floor });
    await app.call('POST', `/groups/${floor}/members`, { deviceIds: [pump] });
    expect(await standing()).toBe(has);
    expect(codeOf(await app.call('DELETE', `/groups/${floor}`))).toBe('204');
    expect(await standing()).toBe(lacks);
    expect((await app.call<Listing>('GET', `/role-bindings?groupId=${floor}`)).body.items).toEqual([]);

    await bind(guest.id, 'VIEWER', { deviceId: pump });
    expect(await standing()).toBe(has);
    await app.call('POST', `/users/${guest.id}/disable`);
    expect(await standing()).toBe('401 TOKEN_INVALID, 401 TOKEN_INVALID');
    await app.call('DELETE', `/users/${guest.id}`);
    expect((await app.call<Listing>('GET', `/role-bindings?userId=${guest.id}`)).body.items).toEqual([]);
  });

  it('is looked up once, and not at all for who has the permission in the tenant', async () => {
    const pump = await device(await group());
    const [viewer, guest] = [await person('VIEWER'), await person()];
    await bind(guest.id, 'VIEWER', { deviceId: pump });
    const look = jest.spyOn(app.app.get(ObjectRights, { strict: false }), 'reaching');
    const looked = async (headers?: Headers): Promise<number> => {
      look.mockClear();
      for (const path of [`/devices/${pump}`, `/devices/${pump}/commands`]) expect(codeOf(await app.call('GET', path, undefined, headers))).toBe('200');
      expect(codeOf(await app.call('GET', '/devices', undefined, headers))).toBe('200');
      return look.mock.calls.length;
    };
    expect([await looked(), await looked(viewer.headers), await looked(guest.headers)]).toEqual([0, 0, 2]);
    look.mockRestore();
  });

  it('is narrowed by an access token to its scopes, and widens none', async () => {
    const theirs = await group();
    const [one, two, foreign] = [await device(theirs), await device(theirs), await device()];
    const guest = await person();
    const binding = await bind(guest.id, 'OPERATOR', { groupId: theirs });
    const pat = async (...scopes: string[]): Promise<Headers> => {
      const { body } = await app.call<{ secret: string }>('POST', '/pats', { name: 'x', duration: '1h', scopes }, guest.headers);
      return { authorization: `Bearer ${body.secret}` };
    };
    const all = await pat('devices.device.read', 'devices.device.update');
    const single = await pat(`devices.device.read:${one}`);
    expect(await listed('/devices', all)).toEqual([one, two]);
    expect(await get(`/devices/${one}`, all)).toBe('200');
    expect(await get(`/devices/${foreign}`, all)).toBe('404 DEVICE_NOT_FOUND');
    // A scope that the owner has not is none; a right without a scope neither.
    expect(codeOf(await app.call('PATCH', `/devices/${one}`, { name: 'x' }, all))).toBe('403 PERMISSION_DENIED');
    expect(codeOf(await app.call('POST', `/devices/${one}/token`, {}, all))).toBe('403 PERMISSION_DENIED');
    expect([await get(`/devices/${one}`, single), await get(`/devices/${two}`, single), await get('/devices', single)])
      .toEqual(['200', '403 PERMISSION_DENIED', '403 PERMISSION_DENIED']);
    await app.call('DELETE', `/role-bindings/${binding}`);
    expect([await get(`/devices/${one}`, all), await get(`/devices/${one}`, single, second)]).toEqual(['404 DEVICE_NOT_FOUND', '404 DEVICE_NOT_FOUND']);
  });

  it('is given and taken by who may do so in the tenant alone, for members alone, and not beyond what they may', async () => {
    const theirs = await group();
    const guest = await person();
    const boss = await person();
    await bind(boss.id, 'ADMIN', { groupId: theirs });
    const order = (body: object, headers?: Headers) => app.call('POST', '/role-bindings', { userId: guest.id, role: 'VIEWER', groupId: theirs, ...body }, headers).then(codeOf);
    // A role on an object, were it ADMIN, hands nothing on.
    expect(await order({}, boss.headers)).toBe('403 PERMISSION_DENIED');
    for (const role of ['OPERATOR', 'VIEWER']) expect(await order({}, (await person(role)).headers)).toBe('403 PERMISSION_DENIED');
    // A token that may bind, and not much else, binds no more than it may itself.
    const admin = await person('ADMIN');
    const scopes = ['access.binding.write', ...BINDING_BUNDLES.VIEWER];
    const { body } = await app.call<{ secret: string }>('POST', '/pats', { name: 'x', duration: '1h', scopes }, admin.headers);
    const token = { authorization: `Bearer ${body.secret}` };
    expect(await order({ role: 'OPERATOR' }, token)).toBe('403 BINDING_EXCEEDS_OWN');
    expect(await order({}, token)).toBe('201');
    expect(await order({})).toBe('409 BINDING_EXISTS');
    expect(await order({ userId: randomUUID() })).toBe('404 BINDING_USER_UNKNOWN');
    expect(await order({ groupId: randomUUID() })).toBe('404 GROUP_NOT_FOUND');
    expect(await order({ groupId: undefined, deviceId: randomUUID() })).toBe('404 DEVICE_NOT_FOUND');
    for (const bad of [{ deviceId: randomUUID() }, { groupId: undefined }, { expiresAt: '2020-01-01T00:00:00Z' }, { role: 'MEMBER' }]) {
      expect(await order(bad)).toBe('400 VALIDATION_FAILED');
    }
    // A member of another tenant is nobody here, and a binding of this one is not there for its admin.
    const tenant = await made('/tenants', { slug: `t-${people}`, name: 'x' });
    const there = { authorization: `Bearer ${app.adminToken}`, 'x-tenant': tenant };
    const outsider = await made('/users', { email: 'outsider@example.test', password: PASSWORD, name: 'x', role: 'ADMIN' }, there);
    expect(await order({ userId: outsider })).toBe('404 BINDING_USER_UNKNOWN');
    const own = (await app.call<Listing>('GET', `/role-bindings?userId=${guest.id}`)).body.items[0]?.id ?? '';
    const outside = await app.loginAs('outsider@example.test', PASSWORD);
    expect(codeOf(await app.call('DELETE', `/role-bindings/${own}`, undefined, outside))).toBe('404 BINDING_NOT_FOUND');
    expect((await app.call<Listing>('GET', '/role-bindings', undefined, outside)).body.items).toEqual([]);
    expect(await order({ userId: outsider, groupId: theirs }, outside)).toBe('404 GROUP_NOT_FOUND');
    expect(codeOf(await app.call('DELETE', `/role-bindings/${own}`))).toBe('204');

    const log = await app.call<{ items: { eventType: string; userId: string; details: Record<string, unknown> }[] }>('GET', `/audit/logs?userId=${guest.id}&q=BINDING`);
    const told = log.body.items.filter(({ details }) => details['bindingId'] === own);
    expect(told.map(({ eventType }) => eventType).sort()).toEqual(['ROLE_BINDING_CREATED', 'ROLE_BINDING_DELETED']);
    expect(told[0]?.details).toMatchObject({ role: 'VIEWER', groupId: theirs });
  });
});

describe('somebody who would get more by moving things about', () => {
  it('pulls no device into a group of theirs that they may not change, whatever its group, and learns of none', async () => {
    const [a, b] = [await group(), await group()];
    const [own, others, seen] = [await device(a), await device(b), await device(b)];
    const boss = await person();
    await bind(boss.id, 'ADMIN', { groupId: a });
    await bind(boss.id, 'OPERATOR', { deviceId: seen });
    const pull = (...deviceIds: string[]) => app.call('POST', `/groups/${a}/members`, { deviceIds }, boss.headers).then(codeOf);
    const patch = (id: string, groups: string[]) => app.call('PATCH', `/devices/${id}`, { groups }, boss.headers).then(codeOf);
    expect(await pull(others)).toBe('404 DEVICE_NOT_FOUND');
    expect(await pull(own, others)).toBe(await pull(own, randomUUID()));
    expect(await pull(seen)).toBe('403 GROUP_CHANGE_DENIED');
    expect(await patch(others, [a])).toBe('404 DEVICE_NOT_FOUND');
    expect(await patch(seen, [a, b])).toBe('403 PERMISSION_DENIED');
    // Nor pushes theirs among the people and topics of another group, nor out of one that is not theirs.
    expect(await patch(own, [a, b])).toBe('404 GROUP_NOT_FOUND');
    expect(await patch(own, [a, randomUUID()])).toBe('404 GROUP_NOT_FOUND');
    await bind(boss.id, 'VIEWER', { groupId: b });
    expect(await patch(own, [a, b])).toBe('403 GROUP_CHANGE_DENIED');
    expect(await pull(others)).toBe('403 GROUP_CHANGE_DENIED');
    await app.call('POST', `/groups/${b}/members`, { deviceIds: [own] });
    expect(await patch(own, [a])).toBe('403 GROUP_CHANGE_DENIED');
    // Where both are theirs, they may.
    await bind(boss.id, 'ADMIN', { groupId: b });
    expect([await pull(others), await patch(own, [a])]).toEqual(['200', '200']);
    expect(codeOf(await app.call('DELETE', `/groups/${a}/members/${others}`, undefined, boss.headers))).toBe('204');
  });

  it('reaches no part of another device by the path of their own', async () => {
    const boss = await person();
    const own = await device();
    await bind(boss.id, 'ADMIN', { deviceId: own });
    const victim = (await app.call<RegisteredDevice>('POST', '/devices', { slug: `d-${randomUUID()}`, credentials: ['secret', 'token', 'hmac'] })).body.id;
    expect((await app.call('POST', `/devices/${victim}/certificates`, { generate: true })).status).toBe(201);
    const command = await made(`/devices/${victim}/commands`, { type: 'reboot', payload: {}, ttl: 3600 });
    const state = async (): Promise<string> => JSON.stringify([
      (await app.call<{ items: { id: string; state: string }[] }>('GET', `/devices/${victim}/credentials`)).body.items.map(({ id, state }) => [id, state]),
      (await app.call('GET', `/devices/${victim}/commands/${command}`)).body['status'],
    ]);
    const before = await state();
    const { items } = (await app.call<Listing>('GET', `/devices/${victim}/credentials`)).body;
    expect(items.length).toBeGreaterThan(3);
    for (const { id } of items) expect(codeOf(await app.call('DELETE', `/devices/${own}/credentials/${id}`, undefined, boss.headers))).toBe('404 CREDENTIAL_NOT_FOUND');
    expect(await get(`/devices/${own}/commands/${command}`, boss.headers)).toBe('404 COMMAND_NOT_FOUND');
    expect(codeOf(await app.call('POST', `/devices/${own}/commands/${command}/cancel`, undefined, boss.headers))).toBe('404 COMMAND_NOT_FOUND');
    expect(await state()).toBe(before);
    // What is their own's they may end.
    expect(codeOf(await app.call('POST', `/devices/${own}/decommission`, { reason: 'x' }, boss.headers))).toBe('200');
  });

  it('moves no group in the tree, deletes none, and writes no topic rule, but may name what is theirs', async () => {
    const [a, b] = [await group(), await group()];
    const pump = await device(a);
    const boss = await person();
    await bind(boss.id, 'ADMIN', { groupId: a });
    await bind(boss.id, 'ADMIN', { groupId: b });
    const change = (body: object) => app.call('PATCH', `/groups/${b}`, body, boss.headers).then(codeOf);
    expect([await change({ parentId: a }), await change({ name: 'ours' }), await change({ name: 'ours', parentId: null })]).toEqual(['403 GROUP_CHANGE_DENIED', '200', '200']);
    const rule = { action: 'publish', topic: `devices/${randomUUID()}/commands` };
    for (const path of [`/groups/${a}/rules`, `/devices/${pump}/rules`]) expect(codeOf(await app.call('POST', path, rule, boss.headers))).toBe('403 PERMISSION_DENIED');
    expect(codeOf(await app.call('DELETE', `/groups/${b}`, undefined, boss.headers))).toBe('403 PERMISSION_DENIED');
    expect(codeOf(await app.call('PATCH', `/devices/${pump}`, { name: 'ours' }, boss.headers))).toBe('200');
  });
});

describe('a MEMBER', () => {
  it('comes by invitation too, and has nothing but themselves', async () => {
    const role = await app.call<{ role: string }>('POST', '/invitations', { email: 'member@example.test', role: 'MEMBER' });
    expect([role.status, role.body.role]).toEqual([201, 'MEMBER']);
    const guest = await person();
    const me = await app.call<{ role: string; permissions: string[] }>('GET', '/auth/me', undefined, guest.headers);
    expect([me.body.role, me.body.permissions]).toEqual(['MEMBER', []]);
    const tenantWide = operations.filter(({ access, on, lists }) => !['public', 'session'].includes(access) && on === undefined && lists === undefined);
    const wrong: string[] = [];
    for (const operation of tenantWide) {
      const code = await probe(app, operation, randomUUID(), guest.headers);
      if (code !== '403 PERMISSION_DENIED') wrong.push(`${operation.method} ${operation.path} answered ${code}`);
    }
    expect(wrong).toEqual([]);
  });
});
