import { randomBytes, randomUUID } from 'node:crypto';
import type { StreamQuestion } from '../fakes/callback-stream.js';
import type { ServerProcess } from '../fakes/server-process.js';
import type { RegisteredDevice } from './app.js';

type Make = () => Omit<StreamQuestion, 'mayAllow'>;

/** Devices in every state, and the reference model of what they may: right and wrong proofs, own and other topics. */
export class OutageFleet {
  /** Asked about all the time. */
  readonly warm: RegisteredDevice[] = [];
  /** Asked about by nobody yet: no cache knows them. Whoever takes one takes it out. */
  readonly cold: RegisteredDevice[] = [];
  readonly coldPending: RegisteredDevice[] = [];
  pending!: RegisteredDevice;
  suspended!: RegisteredDevice;
  private readonly may: Make[] = [];
  private readonly never: Make[] = [];
  private readonly cut = new Set<string>();

  static async register(server: ServerProcess): Promise<OutageFleet> {
    const fleet = new OutageFleet();
    for (let i = 0; i < 12; i += 1) fleet.warm.push(await server.registerDevice(`warm-${i}`));
    for (let i = 0; i < 30; i += 1) fleet.cold.push(await server.registerDevice(`cold-${i}`));
    for (let i = 0; i < 10; i += 1) fleet.coldPending.push(await server.registerDevice(`cold-pending-${i}`, { status: 'PENDING' }));
    fleet.pending = await server.registerDevice('pending', { status: 'PENDING' });
    fleet.suspended = await server.registerDevice('suspended');
    await server.call('POST', `/devices/${fleet.suspended.id}/suspend`, { reason: 'before the outage' });
    const decommissioned = await server.registerDevice('gone');
    await server.call('DELETE', `/devices/${decommissioned.id}?reason=gone`);
    fleet.fill(decommissioned);
    return fleet;
  }

  /** From now on nothing of this device may be allowed. */
  forbid(device: RegisteredDevice): void {
    this.cut.add(device.id);
  }

  next = (): StreamQuestion => {
    const may = Math.random() < 0.6;
    const { door, body, what } = one(may ? this.may : this.never)();
    return { door, body, what, mayAllow: may && !this.cut.has(body['clientid'] ?? '') };
  };

  connect(device: RegisteredDevice, password = device.client_secret, clientid = device.id): Record<string, string> {
    return { clientid, username: clientid, password, peerhost: '192.0.2.1', listener_kind: 'plain' };
  }

  topic(device: RegisteredDevice, owner: { readonly id: string } = device, action = 'publish'): Record<string, string> {
    return { clientid: device.id, username: device.id, action, topic: `devices/${owner.id}/telemetry`, qos: '1', retain: 'false', peerhost: '192.0.2.1' };
  }

  private fill(decommissioned: RegisteredDevice): void {
    const { warm, suspended, pending } = this;
    this.may.push(
      () => ({ door: 'mqtt-auth', what: 'a right secret', body: this.connect(one(warm)) }),
      () => one(warm.map((device): Make => () => ({ door: 'mqtt-auth', what: 'a right token', body: this.connect(device, device.access_token) })))(),
      () => ({ door: 'mqtt-acl', what: 'an own topic', body: this.topic(one(warm)) }),
      () => ({ door: 'mqtt-auth', what: 'a pending device', body: this.connect(pending) }),
    );
    const pair = (): readonly [RegisteredDevice, RegisteredDevice] => {
      const at = Math.floor(Math.random() * warm.length);
      return [warm[at] as RegisteredDevice, warm[(at + 1) % warm.length] as RegisteredDevice];
    };
    this.never.push(
      () => ({ door: 'mqtt-auth', what: 'a wrong secret', body: this.connect(one(warm), `pcs_${randomBytes(32).toString('base64url')}`) }),
      () => {
        const [mine, other] = pair();
        return { door: 'mqtt-auth', what: 'the secret of another', body: this.connect(mine, other.client_secret) };
      },
      () => ({ door: 'mqtt-auth', what: 'a suspended device', body: this.connect(suspended) }),
      () => ({ door: 'mqtt-auth', what: 'a suspended device by token', body: this.connect(suspended, suspended.access_token) }),
      () => ({ door: 'mqtt-acl', what: 'a topic of a suspended device', body: this.topic(suspended) }),
      () => ({ door: 'mqtt-auth', what: 'a decommissioned device', body: this.connect(decommissioned) }),
      () => ({ door: 'mqtt-auth', what: 'an unknown device', body: this.connect(one(warm), undefined, randomUUID()) }),
      () => {
        const [mine, other] = pair();
        return { door: 'mqtt-acl', what: 'a topic of another', body: this.topic(mine, other) };
      },
      () => ({ door: 'mqtt-acl', what: 'a filter too wide', body: { ...this.topic(one(warm), { id: '+' }, 'subscribe') } }),
      () => ({ door: 'mqtt-acl', what: 'a topic of a pending device', body: this.topic(pending) }),
    );
  }
}

function one<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)] as T;
}
