import { randomUUID } from 'node:crypto';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { ACCESS, type Access } from '../../src/access/decorators.js';
import { DevicesController } from '../../src/devices/devices.controller.js';
import { GroupsController } from '../../src/devices/groups.controller.js';
import { DeviceRulesController, GroupRulesController, ServiceAccountRulesController } from '../../src/devices/rules.controller.js';
import { ServiceAccountsController } from '../../src/devices/service-accounts.controller.js';
import { validationPipe } from '../../src/platform/http/validation.js';
import { ProblemFilter } from '../../src/platform/problem/problem.filter.js';
import { logger } from '../../src/platform/telemetry/logger.js';
import { admin, Registry } from '../factories/registry.js';

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown> & { items?: Record<string, unknown>[]; errors?: { path: string }[] };
}

let registry: Registry;
let app: NestFastifyApplication;

beforeAll(async () => {
  logger.level = 'silent';
  registry = await Registry.open();
  const adapter = new FastifyAdapter();
  app = registry.module.createNestApplication<NestFastifyApplication>(adapter);
  // Stands for the global guard: every request comes from an ADMIN.
  adapter.getInstance<FastifyInstance>().addHook('onRequest', (request, _, done) => {
    Object.assign(request, { principal: admin(registry.tenantA) });
    done();
  });
  app.useGlobalPipes(validationPipe());
  app.useGlobalFilters(new ProblemFilter('https://portcullis.test'));
  await app.init();
});

afterAll(async () => {
  await app.close();
  await registry.database.drop();
});

async function call(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, payload?: object): Promise<Reply> {
  const { statusCode, body } = await app.inject({ method, url, ...(payload ? { payload } : {}) });
  return { status: statusCode, body: (body === '' ? {} : JSON.parse(body)) as Reply['body'] };
}

function nested(depth: number): string {
  return '{"a":'.repeat(depth) + '1' + '}'.repeat(depth);
}

describe('the registry over HTTP', () => {
  it('shows a device in its documented members and no other', async () => {
    const device = await registry.device({ slug: 'shown', metadata: { a: 1 } });
    const { status, body } = await call('GET', `/devices/${device.id}`);
    expect(status).toBe(200);
    expect(body).toEqual({
      id: device.id, slug: 'shown', name: '', status: 'ACTIVE', statusReason: null, groups: [], metadata: { a: 1 }, allowedProofs: null, clockless: false,
      reportedStatus: null, lastSeenAt: null, createdAt: device.createdAt.toISOString(), updatedAt: device.updatedAt.toISOString(),
    });
  });

  it('answers a path id that is no UUID, or is another tenant\'s, with one and the same 404', async () => {
    const foreign = await registry.device({ tenantId: registry.tenantB });
    for (const id of [foreign.id, randomUUID(), 'nonsense', foreign.id.toUpperCase()]) {
      expect((await call('GET', `/devices/${id}`)).status).toBe(404);
      expect((await call('PATCH', `/devices/${id}`, { name: 'x' })).status).toBe(404);
      expect((await call('GET', `/devices/${id}/rules`)).status).toBe(404);
      expect((await call('DELETE', `/groups/${id}/members/${id}`)).status).toBe(404);
    }
  });

  it('changes a device, and gives null back its proofs only', async () => {
    const { id } = await registry.device();
    const patch = { name: 'N', slug: 'renamed', allowedProofs: ['secret'], metadata: { deep: { er: [1] } } };
    expect(await call('PATCH', `/devices/${id}`, patch)).toMatchObject({ status: 200, body: patch });
    expect((await call('PATCH', `/devices/${id}`, { allowedProofs: null })).body['allowedProofs']).toBeNull();
    for (const [field, value] of Object.entries({ name: null, slug: null, metadata: null, groups: null })) {
      expect(await call('PATCH', `/devices/${id}`, { [field]: value })).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
    }
  });

  it.each([
    ['an unknown member', { status: 'ACTIVE' }, 'status'],
    ['a slug with a slash', { slug: 'a/b' }, 'slug'],
    ['metadata that are a list', { metadata: [] }, 'metadata'],
    ['metadata of more than 16 KiB', { metadata: { a: 'x'.repeat(17_000) } }, 'metadata'],
    ['metadata that nest nine levels deep', { metadata: JSON.parse(nested(9)) as object }, 'metadata'],
    ['a group that is no id', { groups: ['x'] }, 'groups'],
    ['a proof that is none', { allowedProofs: ['hmac'] }, 'allowedProofs'],
    ['no proof', { allowedProofs: [] }, 'allowedProofs'],
    ['a name that is a number', { name: 7 }, 'name'],
  ])('refuses %s and names it', async (_, patch, path) => {
    const { id } = await registry.device();
    const { status, body } = await call('PATCH', `/devices/${id}`, patch);
    expect([status, body['code'], body.errors?.[0]?.path]).toEqual([400, 'VALIDATION_FAILED', path]);
  });

  it('survives metadata that nest as deep as a body of 64 KiB can', async () => {
    const { id } = await registry.device();
    const payload = `{"metadata":${nested(10_000)}}`;
    const headers = { 'content-type': 'application/json' };
    const { statusCode } = await app.inject({ method: 'PATCH', url: `/devices/${id}`, payload, headers });
    expect(statusCode).toBe(400);
  });

  it('lists with every filter, and refuses those that are wrong', async () => {
    const { id } = await registry.device({ slug: 'listed-1', name: 'Listed' });
    const group = await registry.group();
    await registry.groups.addMembers(admin(registry.tenantA), group, [id]);
    const { body } = await call('GET', `/devices?status=ACTIVE&group=${group}&q=listed&limit=1`);
    expect(body).toMatchObject({ items: [{ id }], nextCursor: null });
    const holders = await call('GET', '/devices?credential=secret&expiringBefore=2030-01-01T00:00:00Z');
    expect(holders.body).toEqual({ items: [], nextCursor: null });
    for (const query of [
      'status=GONE', 'group=x', 'limit=0', 'limit=201', 'limit=x', 'credential=password', 'expiringBefore=soon', 'who=me', 'q=',
    ]) {
      expect([query, (await call('GET', `/devices?${query}`)).status]).toEqual([query, 400]);
    }
    expect((await call('GET', '/devices?cursor=zzz')).body['code']).toBe('CURSOR_INVALID');
  });

  it('has groups with members and rules', async () => {
    const device = await registry.device();
    const created = await call('POST', '/groups', { slug: 'http-group' });
    expect(created).toMatchObject({ status: 201, body: { slug: 'http-group', name: '' } });
    const url = `/groups/${String(created.body['id'])}`;
    expect((await call('POST', '/groups', { slug: 'http-group', name: null })).status).toBe(400);
    expect((await call('PATCH', url, { slug: null })).status).toBe(400);
    expect((await call('PATCH', url, { name: 'Halls' })).body).toMatchObject({ name: 'Halls' });
    expect(await call('POST', `${url}/members`, { deviceIds: [device.id] })).toEqual({ status: 200, body: { added: 1 } });
    expect((await call('GET', `${url}/members`)).body.items).toMatchObject([{ id: device.id, slug: device.slug, status: 'ACTIVE' }]);
    const rule = await call('POST', `${url}/rules`, { action: 'publish', topic: 't/${tenant.id}/${device.id}', qos: [0] });
    expect(rule).toMatchObject({ status: 201, body: { action: 'publish', qos: [0], retain: null } });
    expect((await call('GET', `${url}/rules`)).body.items).toEqual([rule.body]);
    expect((await call('DELETE', `${url}/rules/${String(rule.body['id'])}`)).status).toBe(204);
    expect((await call('DELETE', `${url}/members`, { deviceIds: [device.id] })).status).toBe(204);
    expect((await call('DELETE', `${url}/members/${device.id}`)).status).toBe(204);
    expect((await call('DELETE', url)).status).toBe(204);
    expect((await call('GET', url)).status).toBe(404);
  });

  it('refuses a rule with the status that tells why', async () => {
    const { id } = await registry.device();
    const account = await registry.account();
    const refused = async (url: string, rule: object) => {
      const { status, body } = await call('POST', url, rule);
      return [status, body['code'], body.errors?.[0]?.path];
    };
    expect(await refused(`/devices/${id}/rules`, { action: 'publish', topic: 'a/#/b' })).toEqual([400, 'RULE_INVALID', 'topic']);
    expect(await refused(`/devices/${id}/rules`, { action: 'publish', topic: '#' })).toEqual([403, 'RULE_OUTSIDE_TENANT', undefined]);
    expect(await refused(`/devices/${id}/rules`, { action: 'deny', topic: 't/x' })).toEqual([400, 'VALIDATION_FAILED', 'action']);
    expect(await refused(`/devices/${id}/rules`, { action: 'publish', topic: 't/x', qos: null })).toEqual([400, 'VALIDATION_FAILED', 'qos']);
    expect(await refused(`/service-accounts/${account.id}/rules`, { action: 'publish', topic: 't/${tenant.id}/${device.id}' }))
      .toEqual([400, 'RULE_INVALID', 'topic']);
  });

  it('shows service accounts with the username that they connect by', async () => {
    const account = await registry.account('shown');
    const view = { id: account.id, name: 'shown', username: `svc:${account.id}`, status: 'ACTIVE', createdAt: account.createdAt.toISOString() };
    expect((await call('GET', `/service-accounts/${account.id}`)).body).toEqual(view);
    expect((await call('GET', '/service-accounts')).body.items).toContainEqual(view);
    expect((await call('GET', `/service-accounts/${account.id}/rules`)).body).toEqual({ items: [], nextCursor: null });
  });

  it('lets those with a read permission read and those with a write permission write: no handler is without one', () => {
    for (const controller of [
      DevicesController, GroupsController, ServiceAccountsController,
      DeviceRulesController, GroupRulesController, ServiceAccountRulesController,
    ]) {
      const prototype = controller.prototype as unknown as Record<string, object>;
      for (const name of Object.getOwnPropertyNames(prototype).filter((member) => member !== 'constructor')) {
        const access = Reflect.getMetadata(ACCESS, prototype[name] ?? {}) as Access | undefined;
        const reads = ['list', 'show', 'members'].includes(name);
        const mayRead = access?.kind === 'permission' && access.permission.endsWith('.read');
        expect([controller.name, name, mayRead]).toEqual([controller.name, name, reads]);
        expect(access).toMatchObject({ kind: 'permission', device: false, adminKey: false });
      }
    }
  });
});
