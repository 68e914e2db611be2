import { deviceRules, profileRules } from './topic-profile.js';
import type { DeviceTopicFacts } from './topic-profile.js';
import { topicLists } from './topic-rule.js';

const device: DeviceTopicFacts & { slug: string } = {
  profile: 'directional',
  prefix: 'devices',
  deviceId: 'd1',
  slug: 'pump',
  tenantId: 't1',
  groupIds: ['g1', 'g2'],
  status: 'ACTIVE',
};

describe('the topics of a device', () => {
  it('part by direction in the directional profile', () => {
    expect(topicLists(profileRules(device))).toEqual({
      publish: ['devices/d1/telemetry', 'devices/d1/status', 'devices/d1/ack', 'devices/d1/events/#'],
      subscribe: [
        'devices/d1/commands', 'devices/d1/config/#', 'devices/$broadcast/t1/#', 'devices/$group/g1/#',
        'devices/$group/g2/#',
      ],
    });
  });

  it('are its own subtree in both directions in the namespace profile', () => {
    expect(profileRules({ ...device, profile: 'namespace' })).toEqual([{ action: 'all', topic: 'devices/d1/#' }]);
  });

  const extra = [{ action: 'subscribe' as const, topic: 'x/${tenant.id}/${device.slug}' }];

  it('grow by the extra rules, rendered for the device', () => {
    expect(deviceRules(device, extra)).toEqual([
      ...profileRules(device),
      { action: 'subscribe', topic: 'x/t1/pump' },
    ]);
  });

  it.each([
    ['PENDING', 'provision'],
    ['QUARANTINED', 'remediation'],
  ] as const)('%s: its %s pair and nothing else, whatever the profile, groups and extra rules', (status, channel) => {
    for (const profile of ['directional', 'namespace'] as const) {
      expect(deviceRules({ ...device, status, profile }, extra)).toEqual([
        { action: 'publish', topic: `devices/d1/${channel}/up` },
        { action: 'subscribe', topic: `devices/d1/${channel}/down` },
      ]);
    }
  });

  it.each(['SUSPENDED', 'DECOMMISSIONED'] as const)('%s: none at all', (status) => {
    expect(deviceRules({ ...device, status }, extra)).toEqual([]);
  });
});
