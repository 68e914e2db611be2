import { DEVICE_STATES, nextStates, type DeviceRecord, type DeviceStatus } from '../../src/devices/device.js';
import { codeOf, Registry } from '../factories/registry.js';

let registry: Registry;

beforeAll(async () => {
  registry = await Registry.open();
});

afterAll(() => registry.close());

/** How the database is brought to each state, quarantine from both sides. */
const PATHS: readonly (readonly DeviceStatus[])[] = [
  ['PENDING'],
  ['ACTIVE'],
  ['ACTIVE', 'SUSPENDED'],
  ['ACTIVE', 'QUARANTINED'],
  ['ACTIVE', 'SUSPENDED', 'QUARANTINED'],
  ['ACTIVE', 'DECOMMISSIONED'],
];

/** Past the service: what the database itself allows. */
async function deviceAt(path: readonly DeviceStatus[]): Promise<DeviceRecord> {
  const device = await registry.device({ status: path[0] as 'PENDING' | 'ACTIVE' });
  for (const status of path.slice(1)) await registry.sql('UPDATE devices SET status = $2 WHERE id = $1', [device.id, status]);
  return registry.in(registry.tenantA, (tx) => registry.devices.get(tx, device.id));
}

const CHECK_VIOLATION = '23514';

describe('the states of a device', () => {
  it.each(PATHS.flatMap((path) => DEVICE_STATES.filter((to) => to !== path.at(-1)).map((to) => [path.join(' → '), to, path] as const)))(
    'from %s to %s: code and database say the same',
    async (_, to, path) => {
      const device = await deviceAt(path);
      const allowed = nextStates(device).includes(to);
      const refusal = await codeOf(registry.sql('UPDATE devices SET status = $2 WHERE id = $1', [device.id, to]));
      expect(refusal).toBe(allowed ? 'NO_ERROR' : CHECK_VIOLATION);

      const again = await deviceAt(path);
      const refused = await codeOf(registry.in(registry.tenantA, (tx) => registry.devices.changeStatus(tx, again, to, 'test')));
      expect(refused).toBe(allowed ? 'NO_ERROR' : device.status === 'DECOMMISSIONED' ? 'DEVICE_DECOMMISSIONED' : 'DEVICE_STATE_CONFLICT');
    },
  );

  it.each(PATHS.map((path) => [path.join(' → '), path] as const))('%s to itself is no change to either', async (_, path) => {
    const device = await deviceAt(path);
    expect(nextStates(device)).not.toContain(device.status);
    await registry.sql('UPDATE devices SET status = $2 WHERE id = $1', [device.id, device.status]);
    expect(await registry.in(registry.tenantA, (tx) => registry.devices.get(tx, device.id))).toEqual(device);
  });

  it.each(DEVICE_STATES)('begins in %s only if that is PENDING or ACTIVE', async (status) => {
    const row = [registry.tenantA, `raw-${status.toLowerCase()}`, status];
    const insert = registry.sql('INSERT INTO devices (tenant_id, slug, status) VALUES ($1, $2, $3)', row);
    expect(await codeOf(insert)).toBe(status === 'PENDING' || status === 'ACTIVE' ? 'NO_ERROR' : CHECK_VIOLATION);
  });

  it('are written with reason and a higher version, and stay when another change came first', async () => {
    const before = await registry.device();
    const after = await registry.in(registry.tenantA, (tx) => registry.devices.changeStatus(tx, before, 'SUSPENDED', 'lost'));
    expect(after).toMatchObject({ status: 'SUSPENDED', statusReason: 'lost' });
    expect(after.version).toBeGreaterThan(before.version);
    // `before` is what somebody read who did not lock it.
    const late = registry.in(registry.tenantA, (tx) => registry.devices.changeStatus(tx, before, 'QUARANTINED', 'late'));
    expect(await codeOf(late)).toBe('CONFLICT');
  });

  it('raise the version in the database whoever changes them', async () => {
    const before = await registry.device();
    await registry.sql(`UPDATE devices SET status = 'SUSPENDED' WHERE id = $1`, [before.id]);
    const after = await registry.in(registry.tenantA, (tx) => registry.devices.get(tx, before.id));
    expect(after.version).toBe(before.version + 1);
  });

  it('never let a device change its id or its tenant', async () => {
    const device = await registry.device();
    expect(await codeOf(registry.sql('UPDATE devices SET tenant_id = $2 WHERE id = $1', [device.id, registry.tenantB]))).toBe(CHECK_VIOLATION);
    expect(await codeOf(registry.sql('UPDATE devices SET id = gen_random_uuid() WHERE id = $1', [device.id]))).toBe(CHECK_VIOLATION);
  });
});
