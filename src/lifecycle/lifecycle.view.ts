import type { DeviceRecord } from '../devices/device.js';
import type { LifecycleResult } from './lifecycle.service.js';
import type { ConnectHints, DeviceView, LifecycleAnswer, RegisteredDevice } from './lifecycle.dto.js';
import type { Registration } from './registration.service.js';

/** A device as answers show it: field by field, so that a new column is never shown by accident. */
export function showDevice(device: DeviceRecord): DeviceView {
  return {
    id: device.id,
    slug: device.slug,
    name: device.name,
    status: device.status,
    statusReason: device.statusReason,
    groups: [...device.groups],
    metadata: { ...device.metadata },
    allowedProofs: device.allowedProofs === null ? null : [...device.allowedProofs],
    reportedStatus: device.reportedStatus,
    lastSeenAt: device.lastSeenAt?.toISOString() ?? null,
    createdAt: device.createdAt.toISOString(),
    updatedAt: device.updatedAt.toISOString(),
  };
}

export function showRegistered(registered: Registration, mqtt: ConnectHints): RegisteredDevice {
  return {
    ...showDevice(registered.device),
    ...(registered.clientSecret === undefined ? {} : { client_secret: registered.clientSecret }),
    ...(registered.accessToken === undefined ? {} : { access_token: registered.accessToken }),
    mqtt,
  };
}

export function showLifecycle({ device, ejection }: LifecycleResult): LifecycleAnswer {
  return { ...showDevice(device), ejection };
}
