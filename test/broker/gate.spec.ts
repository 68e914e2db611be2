import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { closed, endAll, mqttConnect, publishTo, subscribeTo, within, type Connected } from '../factories/mqtt-client.js';

const run = promisify(execFile);
const MOSQUITTO = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'].map((folder) => `${folder}/mosquitto_pub`).find((file) => existsSync(file));
const NOT_AUTHORIZED = /Not authorized|closed/i;

describe('a fleet on the embedded broker', () => {
  let app: TestApp;
  let port: number;
  let device: RegisteredDevice;
  let other: RegisteredDevice;
  let service: { id: string; username: string; client_secret: string };
  const open: Connected[] = [];

  beforeAll(async () => {
    app = await TestApp.start({ broker: true });
    port = app.broker?.port ?? 0;
    device = await app.registerDevice('pump-1');
    other = await app.registerDevice('pump-2');
    ({ body: service } = await app.call<typeof service>('POST', '/service-accounts', { name: 'collector' }));
    // Reading all devices is wider than any one tenant's roots: the platform admin grants it.
    for (const rule of [
      { action: 'subscribe', topic: 'devices/+/telemetry' },
      { action: 'subscribe', topic: 'devices/+/status' },
      { action: 'publish', topic: 'devices/+/commands' },
    ]) {
      const { status, body } = await app.call('POST', `/service-accounts/${service.id}/rules`, rule);
      expect({ status, body: status === 201 ? {} : body }).toEqual({ status: 201, body: {} });
    }
  });

  afterEach(() => endAll(open.splice(0)));

  afterAll(() => app.stop());

  const connectAs = async (who: RegisteredDevice, options: Record<string, unknown> = {}): Promise<Connected> => {
    const connected = await mqttConnect(port, { clientId: who.id, username: who.id, password: who.client_secret, ...options });
    open.push(connected);
    return connected;
  };

  const collector = async (): Promise<Connected> => {
    const connected = await mqttConnect(port, { clientId: `${service.username}:test`, username: service.username, password: service.client_secret });
    open.push(connected);
    return connected;
  };

  /** Everything published before this has been delivered or dropped when it resolves. */
  const fence = async (watcher: Connected, publisher: Connected, topic: string): Promise<void> => {
    const mark = `fence-${Math.random()}`;
    const seen = new Promise<void>((resolve) => watcher.client.on('message', (_, payload) => payload.toString() === mark && resolve()));
    await publishTo(publisher.client, topic, mark);
    await within(seen, 'the fence');
  };

  it('connects by secret and by token, and with a suffix beside it', async () => {
    await connectAs(device);
    await connectAs(device, { clientId: `${device.id}:b`, password: device.access_token });
    await connectAs(other, { password: other.access_token, username: other.id });
  });

  it('delivers what a device may say, to who may hear it', async () => {
    const watcher = await collector();
    expect(await subscribeTo(watcher.client, 'devices/+/telemetry')).toBe(1);
    const { client } = await connectAs(device);
    const heard = within(new Promise<string>((resolve) => watcher.client.once('message', (topic) => resolve(topic))), 'telemetry');
    await publishTo(client, `devices/${device.id}/telemetry`, '{"t":1}');
    expect(await heard).toBe(`devices/${device.id}/telemetry`);
  });

  it('acknowledges but never delivers what a device may not say, and keeps its connection', async () => {
    const watcher = await collector();
    await subscribeTo(watcher.client, 'devices/+/telemetry');
    await subscribeTo(watcher.client, 'devices/+/status');
    const sender = await connectAs(device);
    await publishTo(sender.client, `devices/${other.id}/telemetry`, 'stolen voice');
    await publishTo(sender.client, `devices/${other.id}/telemetry`, 'stolen voice', { qos: 0 });
    await publishTo(sender.client, `devices/${other.id}/status`, 'stolen voice', { qos: 2, retain: true });
    await fence(watcher, sender, `devices/${device.id}/telemetry`);
    expect(watcher.received.map(({ payload }) => payload)).not.toContain('stolen voice');
    expect(sender.client.connected).toBe(true);
  });

  it('refuses filters that reach beyond what is granted, one by one', async () => {
    const { client } = await connectAs(device);
    expect(await subscribeTo(client, `devices/${device.id}/commands`)).toBe(1);
    expect(await subscribeTo(client, `devices/${device.id}/config/#`)).toBe(1);
    expect(await subscribeTo(client, `devices/${device.id}/config/a/+`)).toBe(1);
    for (const filter of [
      '#', '+/#', 'devices/#', 'devices/+/commands', `devices/${other.id}/commands`, `devices/${device.id}/#`, `devices/${device.id}/+`,
      `devices/${device.id}/telemetry`, '$SYS/#', `$share/g/devices/${other.id}/commands`, 'devices/$broadcast/#',
    ]) {
      expect({ filter, code: await subscribeTo(client, filter) }).toEqual({ filter, code: 128 });
    }
  });

  it('sends a command to one device and no other', async () => {
    const mine = await connectAs(device);
    const theirs = await connectAs(other);
    await subscribeTo(mine.client, `devices/${device.id}/commands`);
    await subscribeTo(theirs.client, `devices/${other.id}/commands`);
    const boss = await collector();
    const heard = within(new Promise<void>((resolve) => mine.client.once('message', () => resolve())), 'the command');
    await publishTo(boss.client, `devices/${device.id}/commands`, 'open');
    await heard;
    expect(theirs.received).toEqual([]);
  });

  it('drops a will on a forbidden topic and publishes one on an allowed topic', async () => {
    const watcher = await collector();
    await subscribeTo(watcher.client, 'devices/+/status');
    const forbidden = await connectAs(device, { will: { topic: `devices/${other.id}/status`, payload: Buffer.from('forged'), qos: 1, retain: false } });
    const allowed = await connectAs(other, { will: { topic: `devices/${other.id}/status`, payload: Buffer.from('gone'), qos: 1, retain: false } });
    const gone = within(new Promise<string>((resolve) => watcher.client.on('message', (_, payload) => payload.toString() === 'gone' && resolve('gone'))), 'the will');
    forbidden.client.stream.destroy();
    await closed(forbidden.client);
    allowed.client.stream.destroy();
    await gone;
    expect(watcher.received.map(({ payload }) => payload)).not.toContain('forged');
  });

  it.each<[string, () => Record<string, unknown>]>([
    ['a wrong secret', () => ({ password: device.client_secret.slice(0, -2) + 'xx' })],
    ['the secret of another device', () => ({ password: other.client_secret })],
    ['the client id of another device', () => ({ clientId: other.id })],
    ['the token of another device', () => ({ password: other.access_token })],
    ['no password', () => ({ password: '' })],
    ['an id in capitals', () => ({ clientId: device.id.toUpperCase(), username: device.id.toUpperCase() })],
  ])('refuses %s', async (_, options) => {
    await expect(connectAs(device, options())).rejects.toThrow(NOT_AUTHORIZED);
  });

  it('takes over no session of another device: the client id is bound to the proof', async () => {
    const victim = await connectAs(other);
    await expect(connectAs(device, { clientId: other.id })).rejects.toThrow(NOT_AUTHORIZED);
    expect(victim.client.connected).toBe(true);
  });

  it('costs one callback a connection and none a message, while a device keeps to its topics', async () => {
    const before = { ...app.broker?.counters.callbacks };
    const { client } = await connectAs(device);
    await subscribeTo(client, `devices/${device.id}/commands`);
    await subscribeTo(client, `devices/${device.id}/config/#`);
    for (let i = 0; i < 50; i += 1) await publishTo(client, `devices/${device.id}/telemetry`, String(i));
    await publishTo(client, `devices/${device.id}/events/door/open`, '1', { retain: true });
    const after = { ...app.broker?.counters.callbacks };
    expect({ auth: (after.auth ?? 0) - (before.auth ?? 0), acl: (after.acl ?? 0) - (before.acl ?? 0) }).toEqual({ auth: 1, acl: 0 });
  });

  it('is cut off at once when an admin suspends it, and let in again when reactivated', async () => {
    const target = await app.registerDevice('pump-suspended');
    const sessions = [await connectAs(target), await connectAs(target, { clientId: `${target.id}:b`, password: target.access_token })];
    const ends = Promise.all(sessions.map(({ client }) => closed(client)));
    const { status, body } = await app.call<{ status: string; ejection: { confirmed: boolean; steps: { step: string }[]; sweepAt: string } }>(
      'POST', `/devices/${target.id}/suspend`, { reason: 'lost in the field' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: 'SUSPENDED', ejection: { confirmed: true } });
    expect(body.ejection.steps.map(({ step }) => step)).toEqual(['state', 'invalidate', 'resetCaches', 'find', 'ban', 'kick']);
    expect(Date.parse(body.ejection.sweepAt)).toBeGreaterThan(Date.now());
    await ends;
    await expect(connectAs(target)).rejects.toThrow(NOT_AUTHORIZED);
    await expect(connectAs(target, { password: target.access_token })).rejects.toThrow(NOT_AUTHORIZED);
    expect((await app.call('POST', `/devices/${target.id}/activate`, { reason: 'found' })).body).toMatchObject({ status: 'ACTIVE' });
    await connectAs(target);
  });

  it('confines a quarantined device to its remediation topics, and gives all back on release', async () => {
    const target = await app.registerDevice('pump-quarantined');
    const session = await connectAs(target);
    await app.call('POST', `/devices/${target.id}/quarantine`, { reason: 'odd traffic' });
    await closed(session.client);
    const confined = await connectAs(target);
    expect(await subscribeTo(confined.client, `devices/${target.id}/remediation/down`)).toBe(1);
    expect(await subscribeTo(confined.client, `devices/${target.id}/commands`)).toBe(128);
    await app.call('POST', `/devices/${target.id}/release`, { reason: 'clean' });
    await closed(confined.client);
    const free = await connectAs(target);
    expect(await subscribeTo(free.client, `devices/${target.id}/commands`)).toBe(1);
  });

  it('lets a pending device say no more than how to provision it', async () => {
    const pending = await app.registerDevice('pump-pending', { status: 'PENDING' });
    const { client } = await connectAs(pending);
    expect(await subscribeTo(client, `devices/${pending.id}/provision/down`)).toBe(1);
    expect(await subscribeTo(client, `devices/${pending.id}/commands`)).toBe(128);
  });

  it('ends for good when decommissioned', async () => {
    const target = await app.registerDevice('pump-old');
    const session = await connectAs(target);
    const { body } = await app.call('DELETE', `/devices/${target.id}?reason=scrapped`);
    expect(body).toMatchObject({ status: 'DECOMMISSIONED', ejection: { confirmed: true } });
    await closed(session.client);
    await expect(connectAs(target)).rejects.toThrow(NOT_AUTHORIZED);
    expect((await app.call('POST', `/devices/${target.id}/activate`, { reason: 'x' })).status).toBe(409);
  });

  it('connects with the old and the new secret while a rotation overlaps', async () => {
    const target = await app.registerDevice('pump-rotated');
    const { body } = await app.call<{ client_secret: string; previousValidUntil: string }>('POST', `/devices/${target.id}/rotate-client-secret`);
    expect(Date.parse(body.previousValidUntil) - Date.now()).toBeGreaterThan(3_500_000);
    await connectAs(target);
    await connectAs(target, { clientId: `${target.id}:new`, password: body.client_secret });
  });

  it('is cut off when the credential is revoked, together with what came from it', async () => {
    const target = await app.registerDevice('pump-revoked', { credentials: ['secret'] });
    const basic = `Basic ${Buffer.from(`${target.id}:${target.client_secret}`).toString('base64')}`;
    const { body: token } = await app.call<{ access_token: string }>('POST', `/devices/${target.id}/token`, {}, { authorization: basic });
    const session = await connectAs(target, { password: token.access_token });
    const { body: list } = await app.call<{ items: { id: string; kind: string }[] }>('GET', `/devices/${target.id}/credentials`);
    const secret = list.items.find(({ kind }) => kind === 'secret');
    const { body } = await app.call<{ revoked: string[] }>('DELETE', `/devices/${target.id}/credentials/${secret?.id}?reason=leaked`);
    expect(body.revoked).toHaveLength(2);
    await closed(session.client);
    await expect(connectAs(target)).rejects.toThrow(NOT_AUTHORIZED);
    await expect(connectAs(target, { password: token.access_token })).rejects.toThrow(NOT_AUTHORIZED);
  });

  it('cuts a service account off when it is disabled', async () => {
    const { body: account } = await app.call<typeof service>('POST', '/service-accounts', { name: 'short-lived' });
    const session = await mqttConnect(port, { clientId: account.username, username: account.username, password: account.client_secret });
    open.push(session);
    const { body } = await app.call('POST', `/service-accounts/${account.id}/disable`, { reason: 'done' });
    expect(body).toMatchObject({ status: 'DISABLED', ejection: { confirmed: true } });
    await closed(session.client);
  });

  it('explains what the door would answer, by the same reasons', async () => {
    const explain = async (body: object) => (await app.call('POST', `/devices/${device.id}/explain`, body)).body;
    expect(await explain({ action: 'connect' })).toMatchObject({ result: 'allow' });
    expect(await explain({ action: 'publish', topic: `devices/${device.id}/telemetry` })).toMatchObject({ result: 'allow', rule: { action: 'publish' } });
    expect(await explain({ action: 'publish', topic: `devices/${device.id}/commands` })).toMatchObject({ result: 'deny', reason: 'TOPIC_NOT_GRANTED', nearest: { why: expect.any(String) } });
    expect(await explain({ action: 'subscribe', topic: '$SYS/#' })).toMatchObject({ result: 'deny', reason: 'TOPIC_RESERVED' });
  });

  it('leaves all of it in the security log', async () => {
    const target = await app.registerDevice('pump-logged');
    await connectAs(target);
    await expect(connectAs(target, { password: 'pcs_wrong' })).rejects.toThrow(NOT_AUTHORIZED);
    const session = await connectAs(target);
    await subscribeTo(session.client, 'devices/#');
    await app.call('POST', `/devices/${target.id}/suspend`, { reason: 'end of the test' });
    await expect(connectAs(target, { clientId: `${target.id}:z` })).rejects.toThrow(NOT_AUTHORIZED);
    const wanted = ['DEVICE_REGISTERED', 'AUTH_SUCCESS', 'AUTH_FAILURE', 'ACL_DENIED', 'DEVICE_SUSPENDED', 'DEVICE_EJECTED'];
    await within((async () => {
      for (;;) {
        const { body } = await app.call<{ items: { eventType: string; severity: string; details: { reason?: string } }[] }>('GET', `/audit/logs?deviceId=${target.id}&limit=100`);
        const types = new Set(body.items.map(({ eventType }) => eventType));
        const reasons = body.items.map(({ details }) => details.reason);
        if (wanted.every((type) => types.has(type)) && reasons.includes('SECRET_UNKNOWN') && reasons.includes('DEVICE_SUSPENDED')) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })(), 'the audit trail');
  });

  (MOSQUITTO ? describe : describe.skip)('with the tools of Mosquitto', () => {
    const pub = (args: string[]) => run(MOSQUITTO ?? '', ['-h', '127.0.0.1', '-p', String(port), '-V', '311', '-q', '1', ...args], { timeout: 5_000 });

    it('publishes with what it was given', async () => {
      const watcher = await collector();
      await subscribeTo(watcher.client, 'devices/+/telemetry');
      const heard = within(new Promise<void>((resolve) => watcher.client.once('message', () => resolve())), 'telemetry');
      await pub(['-i', device.id, '-u', device.id, '-P', device.client_secret, '-t', `devices/${device.id}/telemetry`, '-m', '{}']);
      await heard;
    });

    it('is refused with a wrong secret', async () => {
      await expect(pub(['-i', device.id, '-u', device.id, '-P', 'pcs_wrong', '-t', 'x', '-m', 'x'])).rejects.toThrow(/not authori[sz]ed/i);
    });
  });
});
