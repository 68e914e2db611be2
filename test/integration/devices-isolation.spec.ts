import { randomUUID } from 'node:crypto';
import { admin, as, codeOf, Registry } from '../factories/registry.js';

let registry: Registry;

beforeAll(async () => {
  registry = await Registry.open({ poolSize: 2 });
});

afterAll(() => registry.close());

const FOREIGN_KEY_VIOLATION = '23503';
const INSUFFICIENT_PRIVILEGE = '42501';
const TABLES = ['devices', 'groups', 'group_members', 'service_accounts', 'topic_rules'] as const;

describe('two tenants on one pool of two connections', () => {
  it('see only their own in 200 requests at once, reads and writes mixed', async () => {
    const tenants = [registry.tenantA, registry.tenantB] as const;
    const own = new Map(tenants.map((tenantId) => [tenantId, new Set<string>()]));
    for (const tenantId of tenants) {
      for (let i = 0; i < 3; i += 1) own.get(tenantId)?.add((await registry.device({ tenantId })).id);
    }
    await Promise.all(Array.from({ length: 200 }, async (_, i) => {
      const tenantId = tenants[i % 2] ?? '';
      const me = admin(tenantId);
      if (i % 5 === 0) {
        own.get(tenantId)?.add((await registry.device({ tenantId })).id);
      } else if (i % 5 === 1) {
        const [mine = ''] = own.get(tenantId) ?? [];
        expect((await registry.devices.update(me, mine, { name: `n${i}` })).tenantId).toBe(tenantId);
      } else {
        const { items } = await registry.devices.list(me, { limit: 200 });
        expect(items.length).toBeGreaterThan(2);
        expect(new Set(items.map((device) => device.tenantId))).toEqual(new Set([tenantId]));
      }
    }));
    for (const tenantId of tenants) {
      const { items } = await registry.devices.list(admin(tenantId), { limit: 200 });
      expect(new Set(items.map((device) => device.id))).toEqual(own.get(tenantId));
    }
  });

  it('leave no tenant behind on a connection: outside of a transaction nothing is visible', async () => {
    await registry.device();
    for (const table of TABLES) expect(await as(registry.database, 'app', `SELECT 1 FROM ${table}`)).toEqual([]);
  });
});

describe('the app role itself', () => {
  it('cannot tie a group, a rule or a service account to another tenant, whatever the statement says', async () => {
    const { tenantA, tenantB } = registry;
    const own = { device: (await registry.device()).id, group: await registry.group() };
    const foreign = { device: (await registry.device({ tenantId: tenantB })).id, group: await registry.group(tenantB) };
    const member = 'INSERT INTO group_members (tenant_id, group_id, device_id) VALUES ($1, $2, $3)';
    const rule = (column: string): string => `INSERT INTO topic_rules (tenant_id, ${column}, action, topic) VALUES ($1, $2, 'publish', 't/x')`;
    const attempt = (sql: string, params: string[]): Promise<string> => codeOf(as(registry.database, 'app', sql, params, tenantA));

    expect(await attempt(member, [tenantA, own.group, own.device])).toBe('NO_ERROR');
    expect(await attempt(member, [tenantA, own.group, foreign.device])).toBe(FOREIGN_KEY_VIOLATION);
    expect(await attempt(member, [tenantA, foreign.group, own.device])).toBe(FOREIGN_KEY_VIOLATION);
    expect(await attempt(member, [tenantB, foreign.group, foreign.device])).toBe(INSUFFICIENT_PRIVILEGE);
    expect(await attempt(rule('device_id'), [tenantA, foreign.device])).toBe(FOREIGN_KEY_VIOLATION);
    expect(await attempt(rule('group_id'), [tenantA, foreign.group])).toBe(FOREIGN_KEY_VIOLATION);
    expect(await attempt(rule('device_id'), [tenantB, foreign.device])).toBe(INSUFFICIENT_PRIVILEGE);
    expect(await attempt(rule('service_account_id'), [tenantA, randomUUID()])).toBe(FOREIGN_KEY_VIOLATION);
    expect(await attempt('UPDATE devices SET tenant_id = $1 WHERE id = $2', [tenantB, own.device])).not.toBe('NO_ERROR');
  });

  it('changes and reads nothing of another tenant, the facts view included', async () => {
    const foreign = await registry.device({ tenantId: registry.tenantB });
    const app = (sql: string): Promise<{ id: string }[]> => as<{ id: string }>(registry.database, 'app', sql, [foreign.id], registry.tenantA);
    expect(await app(`UPDATE devices SET name = 'mine' WHERE id = $1 RETURNING id`)).toEqual([]);
    expect(await app('SELECT id FROM devices WHERE id = $1')).toEqual([]);
    expect(await app('SELECT id FROM subject_facts WHERE id = $1')).toEqual([]);
  });

  it('deletes no device and no service account', async () => {
    for (const table of ['devices', 'service_accounts']) {
      expect(await codeOf(as(registry.database, 'app', `DELETE FROM ${table}`, [], registry.tenantA))).toBe(INSUFFICIENT_PRIVILEGE);
    }
  });
});

describe('the gate role', () => {
  it('reads the facts of every tenant and can write nothing at all', async () => {
    const devices = [await registry.device(), await registry.device({ tenantId: registry.tenantB })];
    for (const { id, tenantId } of devices) {
      const rows = await as(registry.database, 'gate', 'SELECT tenant_id FROM subject_facts WHERE id = $1', [id]);
      expect(rows).toEqual([{ tenant_id: tenantId }]);
    }
    for (const table of TABLES) {
      const column = table === 'group_members' ? 'group_id' : 'id';
      for (const sql of [
        `INSERT INTO ${table} (tenant_id) VALUES (gen_random_uuid())`,
        `UPDATE ${table} SET ${column} = ${column}`,
        `DELETE FROM ${table}`,
        `TRUNCATE ${table}`,
        `SELECT ${column} FROM ${table} LIMIT 1 FOR UPDATE`,
      ]) {
        expect([sql, await codeOf(as(registry.database, 'gate', sql))]).toEqual([sql, INSUFFICIENT_PRIVILEGE]);
      }
    }
  });
});
