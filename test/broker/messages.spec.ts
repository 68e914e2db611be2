import { MessageGateway } from '../../src/messages/message-gateway.js';
import { bodyOf, isSignature, readMessage } from '../../src/messages/signed-message.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { endAll, mqttConnect, publishTo, subscribeTo, within, type Connected } from '../factories/mqtt-client.js';
import { nonce, signedBy, topicOf } from '../factories/signing-device.js';

interface Command {
  readonly id: string;
  readonly status: string;
  readonly error: string | null;
}

describe('signed traffic through the gateway on the embedded broker', () => {
  let app: TestApp;
  let port: number;
  let tenantId: string;
  let verified: Connected;
  const open: Connected[] = [];
  let devices = 0;

  beforeAll(async () => {
    app = await TestApp.start({ broker: true, gateway: true });
    port = app.broker?.port ?? 0;
    tenantId = (await app.call<{ tenant: { id: string } }>('GET', '/auth/me')).body.tenant.id;
    const { body: service } = await app.call<{ id: string; username: string; client_secret: string }>('POST', '/service-accounts', { name: 'reader' });
    await app.call('POST', `/service-accounts/${service.id}/rules`, { action: 'subscribe', topic: `verified/${tenantId}/#` });
    verified = await mqttConnect(port, { clientId: service.username, username: service.username, password: service.client_secret });
    expect(await subscribeTo(verified.client, `verified/${tenantId}/#`)).toBe(1);
    await eventually(async () => ((await app.broker?.find(await gatewayOf(app))) ?? []).length === 5, 'the gateway');
  });

  afterEach(() => endAll(open.splice(0)));

  afterAll(async () => {
    endAll([verified]);
    await app.stop();
  });

  const register = (): Promise<RegisteredDevice> => app.registerDevice(`signer-${(devices += 1)}`, { credentials: ['secret', 'hmac'] });
  const connectAs = async (device: RegisteredDevice): Promise<Connected> => {
    const connected = await mqttConnect(port, { clientId: device.id, username: device.id, password: device.client_secret });
    open.push(connected);
    return connected;
  };
  const copies = (text: string): number => verified.received.filter(({ payload }) => payload === text).length;
  const state = async (device: RegisteredDevice) =>
    (await app.call<{ status: string; reportedStatus: string | null; lastSeenAt: string | null }>('GET', `/devices/${device.id}`)).body;
  const command = async (device: RegisteredDevice, id: string) => (await app.call<Command>('GET', `/devices/${device.id}/commands/${id}`)).body;
  const audit = async (device: RegisteredDevice) =>
    (await app.call<{ items: { eventType: string }[] }>('GET', `/audit/logs?deviceId=${device.id}&limit=100`)).body.items.map(({ eventType }) => eventType);

  /** Whatever was published on the channel before this was dealt with: the gateway takes each channel in order. */
  const fence = async (device: RegisteredDevice, { client }: Connected, channel = 'telemetry'): Promise<void> => {
    const text = signedBy(device, channel, channel === 'status' ? { status: 'MAINTENANCE' } : { data: 'fence' });
    await publishTo(client, topicOf(device, channel), text);
    await eventually(async () => copies(text) === 1, 'the fence');
  };

  it('hands a verified message on, in canonical form, below the tenant and the device', async () => {
    const device = await register();
    const session = await connectAs(device);
    const text = signedBy(device, 'events/door/open', { data: { z: 1, a: 'ü' } });
    await publishTo(session.client, topicOf(device, 'events/door/open'), JSON.stringify(JSON.parse(text), null, 1));
    await eventually(async () => copies(text) === 1, 'the verified copy');
    expect(verified.received.find(({ payload }) => payload === text)?.topic).toBe(`verified/${tenantId}/${device.id}/events/door/open`);
    await eventually(async () => (await state(device)).lastSeenAt !== null, 'the time of the last message');
  });

  it('hands on nothing that is unsigned, changed, stale, of another topic or of another device', async () => {
    const [device, other] = [await register(), await register()];
    const session = await connectAs(device);
    const bad = [
      '{"data":1}',
      signedBy(device, 'telemetry', { data: 1 }).replace('"data":1', '"data":2'),
      signedBy(device, 'telemetry', { data: 1 }, { ts: Date.now() - 400_000 }),
      signedBy(device, 'telemetry', { data: 1 }, { ts: Date.now() + 100_000 }),
      signedBy(device, 'status', { data: 1 }),
      signedBy(other, 'telemetry', { data: 1 }),
      'no json at all',
    ];
    for (const text of bad) await publishTo(session.client, topicOf(device, 'telemetry'), text);
    await fence(device, session);
    for (const text of bad) expect(copies(text)).toBe(0);
    expect(verified.received.filter(({ topic, payload }) => topic.includes(device.id) && !payload.includes('fence'))).toEqual([]);
    await eventually(async () => {
      const types = await audit(device);
      return types.includes('HMAC_FAILURE') && types.includes('MESSAGE_REJECTED');
    }, 'the audit rows');
  });

  it('takes a nonce once: repetitions are silently known, another message under it is a replay', async () => {
    const device = await register();
    const session = await connectAs(device);
    const used = nonce();
    const text = signedBy(device, 'telemetry', { data: 'first' }, { nonce: used });
    for (let i = 0; i < 15; i += 1) await publishTo(session.client, topicOf(device, 'telemetry'), text);
    await publishTo(session.client, topicOf(device, 'telemetry'), signedBy(device, 'telemetry', { data: 'second' }, { nonce: used }));
    await fence(device, session);
    expect(copies(text)).toBe(1);
    expect(verified.received.filter(({ payload }) => payload.includes('second'))).toEqual([]);
    expect((await state(device)).status).toBe('ACTIVE');
    await eventually(async () => (await audit(device)).includes('REPLAY_DETECTED'), 'the audit row');
  });

  it('suspends after ten wrong signatures over the device\'s own link, and not for unsigned or stale messages', async () => {
    const device = await register();
    const session = await connectAs(device);
    for (let i = 0; i < 12; i += 1) await publishTo(session.client, topicOf(device, 'telemetry'), '{"data":1}');
    for (let i = 0; i < 12; i += 1) {
      await publishTo(session.client, topicOf(device, 'telemetry'), signedBy(device, 'telemetry', { data: i }, { ts: Date.now() - 400_000 }));
    }
    await fence(device, session);
    expect((await state(device)).status).toBe('ACTIVE');
    for (let i = 0; i < 10; i += 1) {
      await publishTo(session.client, topicOf(device, 'telemetry'), signedBy(device, 'telemetry', { data: i }, { secret: 'ab'.repeat(32) }));
    }
    await eventually(async () => (await state(device)).status === 'SUSPENDED', 'the suspension');
  });

  it('records the status that the device reports; an older one that comes late changes nothing', async () => {
    const device = await register();
    const session = await connectAs(device);
    const now = Date.now();
    await publishTo(session.client, topicOf(device, 'status'), signedBy(device, 'status', { status: 'ERROR' }, { ts: now }));
    await eventually(async () => (await state(device)).reportedStatus === 'ERROR', 'the status');
    const late = signedBy(device, 'status', { status: 'ONLINE' }, { ts: now - 1_000 });
    await publishTo(session.client, topicOf(device, 'status'), late);
    await eventually(async () => copies(late) === 1, 'the late copy');
    expect((await state(device)).reportedStatus).toBe('ERROR');
  });

  it('sends a signed command to a connected device and takes its signed answer', async () => {
    const device = await register();
    const session = await connectAs(device);
    await subscribeTo(session.client, topicOf(device, 'commands'));
    const heard = within(new Promise<string>((resolve) => session.client.once('message', (_, payload) => resolve(payload.toString()))), 'the command', 10_000);
    const { status, body } = await app.call<Command>('POST', `/devices/${device.id}/commands`, { type: 'reboot', payload: { delay: 5 }, ttl: 60 });
    expect({ status, body }).toMatchObject({ status: 201, body: { status: 'PENDING' } });
    const text = await heard;
    const read = readMessage({ topic: topicOf(device, 'commands'), payload: Buffer.from(text) }, 'devices');
    if ('reason' in read || read.signature === null) throw new Error('the command is not signed');
    expect(isSignature(Buffer.from(device.hmac_secret, 'hex'), read.signature.input, read.signature.sig)).toBe(true);
    expect(bodyOf(read)).toEqual({ cmdId: body.id, type: 'reboot', payload: { delay: 5 } });
    await publishTo(session.client, topicOf(device, 'ack'), signedBy(device, 'ack', { cmdId: body.id, status: 'ACKED' }));
    await eventually(async () => (await command(device, body.id)).status === 'ACKED', 'the answer');
    expect(await audit(device)).toEqual(expect.arrayContaining(['COMMAND_CREATED', 'COMMAND_SENT', 'COMMAND_ACKED']));
    const { status: cancelled } = await app.call('POST', `/devices/${device.id}/commands/${body.id}/cancel`);
    expect(cancelled).toBe(409);
  });

  it('keeps a command for a device that is away and delivers it when the device comes back', async () => {
    const device = await register();
    const { body } = await app.call<Command>('POST', `/devices/${device.id}/commands`, { type: 'update', payload: {} });
    const { body: dropped } = await app.call<Command>('POST', `/devices/${device.id}/commands`, { type: 'never', payload: {} });
    expect((await app.call<Command>('POST', `/devices/${device.id}/commands/${dropped.id}/cancel`)).body.status).toBe('CANCELLED');
    const { body: short } = await app.call<Command>('POST', `/devices/${device.id}/commands`, { type: 'short', payload: {}, ttl: 1 });
    await eventually(async () => (await command(device, short.id)).status === 'EXPIRED', 'the end of its time', 10_000);
    expect((await command(device, body.id)).status).toBe('PENDING');
    const session = await connectAs(device);
    await subscribeTo(session.client, topicOf(device, 'commands'));
    await eventually(async () => session.received.some(({ payload }) => payload.includes(body.id)), 'the command', 10_000);
    await publishTo(session.client, topicOf(device, 'ack'), signedBy(device, 'ack', { cmdId: body.id, status: 'FAILED', error: 'no room' }));
    await eventually(async () => (await command(device, body.id)).status === 'FAILED', 'the answer');
    expect(await command(device, body.id)).toMatchObject({ error: 'no room' });
    expect(session.received.filter(({ payload }) => payload.includes(dropped.id) || payload.includes(short.id))).toEqual([]);
    const { body: list } = await app.call<{ items: Command[] }>('GET', `/devices/${device.id}/commands`);
    expect(list.items.map(({ status }) => status)).toEqual(['FAILED', 'CANCELLED', 'EXPIRED']);
  });

  it('orders a command once under one Idempotency-Key, and none for who may not', async () => {
    const device = await register();
    const headers = { authorization: `Bearer ${app.adminToken}`, 'idempotency-key': nonce() };
    const order = () => app.call<Command>('POST', `/devices/${device.id}/commands`, { type: 'x', payload: {} }, headers);
    expect((await order()).body.id).toBe((await order()).body.id);
    const plain = await app.registerDevice('signer-plain');
    expect((await app.call('POST', `/devices/${plain.id}/commands`, { type: 'x', payload: {} })).body).toMatchObject({ code: 'COMMAND_UNSIGNABLE' });
    expect((await app.call('POST', `/devices/${device.id}/commands`, { type: 'x', payload: { n: '\ud800' } })).status).toBe(400);
    expect((await app.call('POST', `/devices/${device.id}/commands`, { type: 'x', payload: { n: 'x'.repeat(9_000) } })).status).toBe(400);
  });

  it('loses nothing that a device saw acknowledged, however often it is torn from the broker, and suspends nobody for it', async () => {
    const fleet = [await register(), await register(), await register()];
    const sessions = await Promise.all(fleet.map(connectAs));
    const gateway = app.app.get(MessageGateway);
    const acknowledged: string[] = [];
    let publishing = true;
    const publishers = fleet.map(async (device, index) => {
      for (let count = 0; publishing && count < 200; count += 1) {
        const text = signedBy(device, 'telemetry', { data: count });
        await publishTo(sessions[index]!.client, topicOf(device, 'telemetry'), text);
        acknowledged.push(text);
      }
    });
    for (let round = 0; round < 5; round += 1) {
      const before = acknowledged.length;
      await eventually(async () => acknowledged.length >= Math.min(before + 20, 600), 'some more messages');
      // Sockets are cut in the middle of whatever is under way; the broker keeps what was not acknowledged.
      await gateway.stop();
      await gateway.start({ url: `mqtt://127.0.0.1:${port}`, version: '3.1.1' });
    }
    await Promise.all(publishers);
    publishing = false;
    await eventually(async () => {
      const seen = new Set(verified.received.map(({ payload }) => payload));
      return acknowledged.every((text) => seen.has(text));
    }, 'all of them', 20_000);
    for (const device of fleet) expect((await state(device)).status).toBe('ACTIVE');
  });

  it('lets no device publish below verified, whatever rule is asked for', async () => {
    const device = await register();
    for (const topic of [`verified/${tenantId}/#`, '#', '+/x']) {
      const { status, body } = await app.call('POST', `/devices/${device.id}/rules`, { action: 'publish', topic });
      expect({ status, body }).toMatchObject({ status: 400, body: { code: 'RULE_INVALID' } });
    }
  });
});

async function gatewayOf(app: TestApp): Promise<string> {
  const { body } = await app.call<{ items: { id: string; name: string }[] }>('GET', '/service-accounts');
  return `svc:${body.items.find(({ name }) => name.startsWith('portcullis-gateway'))?.id ?? ''}`;
}

async function eventually(holds: () => Promise<boolean>, what: string, ms = 8_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what} did not happen within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
