import { allFilters, allTopics, TopicSets } from '../../test/fakes/brute-force-topics.js';
import { tenantRootOf } from './topic-border.js';
import type { TenantRoot } from './topic-border.js';

const tenant = '11111111-1111-4111-8111-111111111111';
const other = '22222222-2222-4222-8222-222222222222';
const device = '33333333-3333-4333-8333-333333333333';
const home = { prefix: 'devices', tenantId: tenant };

describe('the tenant border', () => {
  it.each<[filter: string, root: TenantRoot]>([
    [`devices/${device}/#`, { kind: 'device', id: device }],
    [`devices/${device}`, { kind: 'device', id: device }],
    [`devices/${device}/+/x`, { kind: 'device', id: device }],
    ['devices/${device.id}/extra/#', { kind: 'own-device' }],
    [`devices/$group/${device}/#`, { kind: 'group', id: device }],
    [`devices/$group/${device}`, { kind: 'group', id: device }],
    [`devices/$broadcast/${tenant}/#`, { kind: 'tenant' }],
    ['devices/$broadcast/${tenant.id}/news', { kind: 'tenant' }],
    [`verified/${tenant}/#`, { kind: 'tenant' }],
    ['verified/${tenant.id}/+/telemetry', { kind: 'tenant' }],
    [`t/${tenant}/+/+`, { kind: 'tenant' }],
    ['t/${tenant.id}/${device.id}/#', { kind: 'tenant' }],
  ])('%p lies within %j', (filter, root) => {
    expect(tenantRootOf(filter, home)).toEqual(root);
  });

  it.each([
    '#', '+', '+/#', '+/+/#', 'devices', 'devices/#', 'devices/+', 'devices/+/telemetry', `+/${device}/#`,
    'devices/$group/#', 'devices/$group', 'devices/$group/+/#', 'devices/$group/${tenant.id}/#', 'devices/$group/g1/#',
    'devices/$broadcast', 'devices/$broadcast/#', 'devices/$broadcast/+', `devices/$broadcast/${other}/#`,
    'verified', 'verified/#', 'verified/+/x', `verified/${other}/#`, `t/${other}/#`, 't/#', `T/${tenant}/#`,
    'devices/${device.slug}/#', 'devices/${tenant.id}/#', 'devices/x${device.id}/#', 'devices/not-a-uuid/#',
    `devices/${device.toUpperCase().replace(/3/g, 'A')}/#`, `devices/${device} /#`, `devices//${device}/#`,
    `/devices/${device}/#`, `elsewhere/${tenant}/#`, `devices/${device}/#/x`, `$SYS/devices/${device}`, '',
  ])('%p lies within no root', (filter) => {
    expect(tenantRootOf(filter, home)).toBeNull();
  });

  it('holds for a prefix of several levels', () => {
    const deep = { prefix: 'acme/iot', tenantId: tenant };
    expect(tenantRootOf(`acme/iot/${device}/#`, deep)).toEqual({ kind: 'device', id: device });
    expect(tenantRootOf(`acme/+/${device}/#`, deep)).toBeNull();
    expect(tenantRootOf(`acme/${device}/#`, deep)).toBeNull();
    expect(tenantRootOf('acme/#', deep)).toBeNull();
  });

  it('lets a filter pass exactly if brute force finds all of its topics under one root', () => {
    const tenantWide = [`d/$broadcast/${tenant}/#`, `verified/${tenant}/#`, `t/${tenant}/#`];
    const roots = [`d/${device}/#`, `d/$group/${device}/#`, ...tenantWide];
    const alphabet = ['d', 't', 'verified', '$group', '$broadcast', device, tenant];
    const filters = allFilters(alphabet, 3);
    const sets = new TopicSets([...filters, ...roots], allTopics([...alphabet, 'z'], 4));
    const wrong = filters.filter((filter) => {
      // The tenant's id has the form of a device's and of a group's: the caller asks the database about those.
      const found = tenantRootOf(filter, { prefix: 'd', tenantId: tenant });
      const named = found !== null && 'id' in found && found.id === tenant;
      return !named && (found !== null) !== roots.some((root) => sets.isSubset(filter, root));
    });
    expect(wrong).toEqual([]);
  });
});
