import type { DeviceStatus } from './device.js';
import { renderRules } from './topic-rule.js';
import type { TopicRule } from './topic-rule.js';

export type TopicProfile = 'directional' | 'namespace';

/** What the topics of a device depend on. `status` is the device's state of life. */
export interface DeviceTopicFacts {
  readonly profile: TopicProfile;
  readonly prefix: string;
  readonly deviceId: string;
  readonly tenantId: string;
  readonly groupIds: readonly string[];
  readonly status: DeviceStatus;
}

/** The rules that a device has by its profile and state alone. Suspended and decommissioned devices have none. */
export function profileRules(device: DeviceTopicFacts): TopicRule[] {
  const root = `${device.prefix}/${device.deviceId}`;
  switch (device.status) {
    case 'PENDING':
      return channelPair(`${root}/provision`);
    case 'QUARANTINED':
      return channelPair(`${root}/remediation`);
    case 'ACTIVE':
      return device.profile === 'namespace' ? [{ action: 'all', topic: `${root}/#` }] : directional(device, root);
    default:
      return [];
  }
}

/**
 * All rules of a device, rendered: its profile's, then the extra ones of the device and its groups. The extra ones
 * count in ACTIVE alone: a device that waits or is quarantined reaches nothing but its own two topics.
 */
export function deviceRules(device: DeviceTopicFacts & { slug: string }, extra: readonly TopicRule[]): TopicRule[] {
  const rules = profileRules(device);
  if (device.status !== 'ACTIVE') return rules;
  const values = { 'device.id': device.deviceId, 'device.slug': device.slug, 'tenant.id': device.tenantId };
  return [...rules, ...renderRules(extra, values)];
}

function directional(device: DeviceTopicFacts, root: string): TopicRule[] {
  const { prefix } = device;
  return [
    ...['telemetry', 'status', 'ack', 'events/#'].map((channel) => publish(`${root}/${channel}`)),
    subscribe(`${root}/commands`),
    subscribe(`${root}/config/#`),
    subscribe(`${prefix}/$broadcast/${device.tenantId}/#`),
    ...device.groupIds.map((groupId) => subscribe(`${prefix}/$group/${groupId}/#`)),
  ];
}

function channelPair(root: string): TopicRule[] {
  return [publish(`${root}/up`), subscribe(`${root}/down`)];
}

function publish(topic: string): TopicRule {
  return { action: 'publish', topic };
}

function subscribe(topic: string): TopicRule {
  return { action: 'subscribe', topic };
}
