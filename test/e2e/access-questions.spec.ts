import { randomUUID } from 'node:crypto';
import { BINDING_ROLES, ROLES, type BindingRole } from '../../src/access/permission.js';
import { SCOPE_PERMISSIONS } from '../../src/access/scope.js';
import { request, TestApp, type RegisteredDevice } from '../factories/app.js';
import { canProbe, codeOf, operationsOf, probe, refused, type OpenApi, type Operation } from '../factories/operations.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { Seeded } from '../fakes/seeded.js';

const PASSWORD = 'vbx7-aqk-lantern';
/** Shorter than a session's token. */
const SOON = 600_000;
const LONG = process.env['PORTCULLIS_LONG'] === '1';
const CALLS = LONG ? 500 : 60;
const QUESTIONS = LONG ? 40 : 4;

type Headers = Record<string, string>;

interface Caller {
  readonly id: string;
  readonly role: string;
  readonly headers: Headers;
  readonly patId?: string;
}

interface Check {
  readonly allowed: boolean;
  readonly reason: string;
  readonly bindings: { readonly bindingId: string; readonly role: string; readonly groupId: string | null; readonly path: string[] }[];
}

interface WhoCan {
  readonly items: { readonly id: string; readonly by: string; readonly bindings: Check['bindings']; readonly tokens: { readonly id: string }[] }[];
  readonly nextCursor: string | null;
}

const clock = new FakeClock(Date.now());
let app: TestApp;
let operations: Operation[] = [];
let people = 0;

beforeAll(async () => {
  app = await TestApp.start({ clock });
  operations = operationsOf((await request<OpenApi>(`${app.url}/docs/openapi.json`, 'GET', {})).body);
});

afterAll(() => app.stop());

async function made<T extends { id: string }>(path: string, body: object, headers?: Headers): Promise<T> {
  const answer = await app.call<T>('POST', path, body, headers);
  if (answer.status !== 201) throw new Error(`${path} answered ${codeOf(answer)}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

async function person(role: string): Promise<Caller> {
  people += 1;
  const email = `q${people}@example.test`;
  const { id } = await made('/users', { email, password: PASSWORD, name: email, role });
  return { id, role, headers: await app.loginAs(email, PASSWORD) };
}

async function token(owner: Caller, scopes: string[]): Promise<Caller> {
  const { id, secret } = await made<{ id: string; secret: string }>('/pats', { name: 'x', duration: '720h', scopes }, owner.headers);
  return { ...owner, headers: { authorization: `Bearer ${secret}` }, patId: id };
}

const group = async (parentId: string | null = null): Promise<string> => (await made('/groups', { slug: `g-${randomUUID()}`, parentId })).id;
const device = async (...groups: string[]): Promise<string> => (await made<RegisteredDevice>('/devices', { slug: `d-${randomUUID()}`, groups })).id;
const bind = async (userId: string, role: BindingRole, object: object, more: object = {}): Promise<string> =>
  (await made('/role-bindings', { userId, role, ...object, ...more })).id;

function ask<T>(path: string, query: Record<string, string | undefined>): Promise<T> {
  const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return app.call<T>('GET', `${path}?${new URLSearchParams(given).toString()}`).then((answer) => {
    if (answer.status !== 200) throw new Error(`${path} answered ${codeOf(answer)}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  });
}

const check = ({ id, patId }: Caller, permission: string, object: Record<string, string>): Promise<Check> =>
  ask('/access/check', { userId: id, patId, permission, ...object });

/** Everybody who can, by pages of two. */
async function whoCan(permission: string, object: Record<string, string>): Promise<WhoCan['items']> {
  const items: WhoCan['items'][number][] = [];
  let cursor: string | null = null;
  do {
    const page: WhoCan = await ask('/access/who-can', { permission, ...object, limit: '2', cursor: cursor ?? undefined });
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return items;
}

describe('who can do what', () => {
  it('is told with the way it comes about, for persons and their tokens, on an object and in the tenant', async () => {
    const site = await group();
    const floor = await group(site);
    const pump = await device(floor, site);
    const [guest, viewer] = [await person('MEMBER'), await person('VIEWER')];
    const binding = await bind(guest.id, 'OPERATOR', { groupId: site });
    const [able, unable] = [await token(guest, ['commands.command.send']), await token(guest, ['devices.device.read'])];
    const onPump = { deviceId: pump };

    const senders = (await whoCan('commands.command.send', onPump)).filter(({ id }) => [guest.id, viewer.id].includes(id));
    expect(senders).toMatchObject([{ id: guest.id, by: 'BINDING', bindings: [{ bindingId: binding, role: 'OPERATOR', groupId: site, path: [site] }], tokens: [{ id: able.patId }] }]);
    expect((await check(guest, 'commands.command.send', { groupId: floor })).bindings).toMatchObject([{ bindingId: binding, path: [floor, site] }]);
    expect(await check(unable, 'commands.command.send', onPump)).toMatchObject({ allowed: false, reason: 'SCOPE' });
    expect(await check(viewer, 'commands.command.send', onPump)).toMatchObject({ allowed: false, reason: 'ROLE' });
    expect(await check(viewer, 'devices.device.read', onPump)).toMatchObject({ allowed: true, reason: 'TENANT_ROLE', bindings: [] });
    expect(await check(guest, 'devices.device.read', { deviceId: await device() })).toMatchObject({ allowed: false, reason: 'HIDDEN' });
    const readers = (await whoCan('devices.device.read', {})).map(({ id, by }) => [id, by]);
    expect(readers).toContainEqual([viewer.id, 'TENANT_ROLE']);
    expect(readers.map(([id]) => id)).not.toContain(guest.id);

    const held = await ask<{ role: string; permissions: string[]; bindings: { id: string; live: boolean; permissions: string[] }[] }>(`/access/principals/${guest.id}`, {});
    expect(held).toMatchObject({ role: 'MEMBER', permissions: [], active: true, bindings: [{ id: binding, live: true }] });
    expect(held.bindings[0]?.permissions).toContain('commands.command.send');
    // They see the same of themselves, and of nobody else.
    expect((await app.call('GET', '/access/me', undefined, guest.headers)).body).toEqual(held);
    expect(codeOf(await app.call('GET', `/access/principals/${viewer.id}`, undefined, guest.headers))).toBe('403 PERMISSION_DENIED');

    await app.call('POST', `/users/${guest.id}/disable`);
    expect(await check(guest, 'commands.command.send', onPump)).toMatchObject({ allowed: false, reason: 'INACTIVE' });
    expect((await whoCan('commands.command.send', onPump)).map(({ id }) => id)).not.toContain(guest.id);
  });

  it('is asked about what there is in the tenant, one object at a time', async () => {
    const guest = await person('MEMBER');
    const answer = (path: string) => app.call('GET', path).then(codeOf);
    const about = `/access/check?userId=${guest.id}&permission=devices.device.read`;
    const [a, b] = [await group(), await device()];
    expect(await answer(`${about}&groupId=${a}&deviceId=${b}`)).toBe('400 VALIDATION_FAILED');
    expect(await answer(`/access/who-can?permission=devices.group.read&deviceId=${b}`)).toBe('400 VALIDATION_FAILED');
    expect(await answer('/access/who-can?permission=platform.tenant.read')).toBe('400 VALIDATION_FAILED');
    expect(await answer(`${about}&deviceId=${randomUUID()}`)).toBe('404 DEVICE_NOT_FOUND');
    expect(await answer(`${about}&groupId=${randomUUID()}`)).toBe('404 GROUP_NOT_FOUND');
    expect(await answer(`${about}&patId=${randomUUID()}`)).toBe('404 PAT_NOT_FOUND');
    expect(await answer(`/access/check?userId=${randomUUID()}&permission=devices.device.read`)).toBe('404 USER_NOT_FOUND');
    expect(await answer(`/access/principals/${randomUUID()}`)).toBe('404 USER_NOT_FOUND');
  });

  it('is what the guard does, for everybody, everything and every route of a random world', async () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
    const random = new Seeded(seed);
    const groups: string[] = [];
    for (let i = 0; i < 6; i += 1) groups.push(await group(random.below(3) === 0 ? null : groups[random.below(groups.length)] ?? null));
    const devices: string[] = [];
    for (let i = 0; i < 5; i += 1) devices.push(await device(...new Set(Array.from({ length: random.below(3) }, () => random.pick(groups)))));
    const callers: Caller[] = [];
    for (const role of [...ROLES, 'MEMBER', 'MEMBER']) {
      const owner = await person(role);
      for (let i = 0; i < 3; i += 1) {
        const object = random.below(2) === 0 ? { groupId: random.pick(groups) } : { deviceId: random.pick(devices) };
        const end = random.below(4) === 0 ? { expiresAt: new Date(clock.now() + SOON).toISOString() } : {};
        const bound = await app.call('POST', '/role-bindings', { userId: owner.id, role: random.pick(BINDING_ROLES), ...object, ...end });
        if (![201, 409].includes(bound.status)) throw new Error(`binding answered ${codeOf(bound)}`);
      }
      const scopes = SCOPE_PERMISSIONS.filter(() => random.below(2) === 0)
        .map((permission) => (random.below(3) === 0 ? `${permission}:${random.pick([...groups, ...devices])}` : permission));
      callers.push(owner, await token(owner, scopes));
    }
    const about = operations.filter((operation) => operation.on !== undefined && canProbe(operation));
    const wrong: string[] = [];
    for (let round = 0; round < 2; round += 1) {
      for (let i = 0; i < CALLS; i += 1) {
        const [caller, operation] = [random.pick(callers), random.pick(about)];
        const id = random.pick(operation.on === 'group' ? groups : devices);
        const code = await probe(app, operation, id, caller.headers);
        const told = await check(caller, operation.access, operation.on === 'group' ? { groupId: id } : { deviceId: id });
        const expected = { ROLE: '403 PERMISSION_DENIED', SCOPE: '403 PERMISSION_DENIED', HIDDEN: operation.on === 'group' ? '404 GROUP_NOT_FOUND' : '404 DEVICE_NOT_FOUND' }[told.reason];
        const agrees = told.allowed ? !refused(code) : code === expected;
        if (!agrees) wrong.push(`${operation.method} ${operation.path} by ${caller.role}${caller.patId === undefined ? '' : ' (token)'} answered ${code}, and the question ${told.reason}`);
      }
      for (let i = 0; i < QUESTIONS; i += 1) {
        const permission = random.pick(about).access;
        const object: Record<string, string> = permission.startsWith('devices.group.') || random.below(2) === 0 ? { groupId: random.pick(groups) } : { deviceId: random.pick(devices) };
        const able = new Map((await whoCan(permission, object)).map((one) => [one.id, one]));
        for (const caller of callers) {
          const { allowed, reason, bindings } = await check(caller, permission, object);
          const one = able.get(caller.id);
          const among = caller.patId === undefined ? one !== undefined : one?.tokens.some(({ id }) => id === caller.patId) === true;
          if (allowed !== among) wrong.push(`${permission} by ${caller.role}: ${allowed} alone, not among all`);
          const why = (by: string, given: Check['bindings']) => [by, ...given.map(({ bindingId }) => bindingId).sort()].join();
          if (allowed && one && why(reason, bindings) !== why(one.by, one.bindings)) wrong.push(`${permission} by ${caller.role}: for another reason among all`);
        }
      }
      // Once more when those with an end are over.
      clock.advance(SOON + 1);
    }
    expect({ seed, wrong }).toEqual({ seed, wrong: [] });
  });
});
