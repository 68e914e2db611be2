import { viewDevice } from '../devices/device.view.js';
import type { LifecycleResult } from './lifecycle.service.js';
import type { ConnectHints, LifecycleAnswer, RegisteredDevice } from './lifecycle.dto.js';
import type { Registration } from './registration.service.js';

export function showRegistered(registered: Registration, mqtt: ConnectHints): RegisteredDevice {
  return {
    ...viewDevice(registered.device),
    ...(registered.clientSecret === undefined ? {} : { client_secret: registered.clientSecret }),
    ...(registered.accessToken === undefined ? {} : { access_token: registered.accessToken }),
    ...(registered.hmacSecret === undefined ? {} : { hmac_secret: registered.hmacSecret }),
    mqtt,
  };
}

export function showLifecycle({ device, ejection }: LifecycleResult): LifecycleAnswer {
  return { ...viewDevice(device), ejection };
}
