import net from 'node:net';
import type { IClientOptions } from 'mqtt';
import { EmbeddedBroker } from '../../src/embedded/broker.js';
import type { BrokerOptions, DeniedPublish } from '../../src/embedded/broker-types.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { connectPacket, packet, publishPacket, RawClient, TestClient } from '../fakes/mqtt-client.js';
import { ScriptedCallbacks } from '../fakes/scripted-callbacks.js';

const DEVICE = '7f3d6f8e-6f0e-4f3a-9d35-0d8d5a1b2c3d';
const ACL = [
  { permission: 'allow', action: 'publish', topics: [`devices/${DEVICE}/telemetry`, `devices/${DEVICE}/status`] },
  { permission: 'allow', action: 'subscribe', topics: [`devices/${DEVICE}/commands`, `devices/${DEVICE}/config/#`] },
];
const ATTRS = { tenant: 't1', device: DEVICE, status: 'ACTIVE', cred: 'c1', ver: '7' };
const WATCHER = { permission: 'allow', action: 'all', topics: ['#'] };

let callbacks: ScriptedCallbacks;
let broker: EmbeddedBroker;
let denied: DeniedPublish[];
let log: string[];
const opened: TestClient[] = [];

const note = (_fields: object, message: string): void => void log.push(message);
const logger = { debug: () => undefined, info: () => undefined, warn: note, error: note };

async function startBroker(options: Partial<BrokerOptions> = {}): Promise<EmbeddedBroker> {
  return EmbeddedBroker.start({
    host: '127.0.0.1',
    port: 0,
    callbackUrl: callbacks.url,
    internalSecret: 'the-internal-secret',
    logger,
    deniedPublishSink: (one) => denied.push(one),
    ...options,
  });
}

/** Puts a broker with other options in the place of the one each test begins with. */
async function restart(options: Partial<BrokerOptions>): Promise<void> {
  await broker.stop();
  broker = await startBroker(options);
}

async function connect(clientId: string, options: IClientOptions = {}): Promise<TestClient> {
  const client = await TestClient.connect(broker.port, { clientId, username: DEVICE, password: 'pcs_secret', ...options });
  opened.push(client);
  return client;
}

async function refusalOf(clientId: string, options: IClientOptions = {}): Promise<unknown> {
  return connect(clientId, options).then(
    () => 'accepted',
    (error: { code?: unknown }) => error.code,
  );
}

/** Devices get the device's list, the client `watcher` sees everything. */
function grantLists(): void {
  callbacks.onAuth = ({ clientid }) => ({
    json: { result: 'allow', acl: clientid === 'watcher' ? [WATCHER] : ACL, client_attrs: ATTRS },
  });
}

/** Resolves once everything published so far has passed through the broker to `watcher`. */
async function settled(watcher: TestClient): Promise<void> {
  const mark = `mark-${watcher.received.length}-${Math.random()}`;
  await watcher.publish('marks', mark);
  await watcher.next((message) => message.payload === mark);
}

async function watch(): Promise<TestClient> {
  const watcher = await connect('watcher');
  await watcher.subscribe(['#']);
  return watcher;
}

beforeEach(async () => {
  denied = [];
  log = [];
  callbacks = await ScriptedCallbacks.start();
  grantLists();
  broker = await startBroker();
});

afterEach(async () => {
  for (const client of opened.splice(0)) client.mqtt.end(true);
  await broker.stop();
  await callbacks.stop();
});

describe('CONNECT', () => {
  it('asks with the field names and string values of EMQX', async () => {
    const client = await connect(`${DEVICE}:a1`);
    const [question] = callbacks.questions;
    expect(question).toMatchObject({ hook: 'mqtt-auth', method: 'POST' });
    expect(question?.headers).toMatchObject({
      'content-type': 'application/json',
      'x-internal-auth': 'the-internal-secret',
    });
    expect(question?.body).toEqual({
      clientid: `${DEVICE}:a1`,
      username: DEVICE,
      password: 'pcs_secret',
      peerhost: '127.0.0.1',
      peerport: expect.stringMatching(/^\d+$/),
      cert_common_name: '',
      cert_subject: '',
      cert_pem: '',
      listener_kind: 'plain',
      listener: 'tcp:default',
      zone: 'default',
      proto_name: 'mqtt',
    });
    await client.end();
  });

  it('sends empty strings for what the client left out, and the name that the broker gave it', async () => {
    const client = await connect('', { username: undefined, password: undefined, clean: true });
    const [question] = callbacks.of('mqtt-auth');
    expect(question).toMatchObject({ username: '', password: '' });
    expect(question?.['clientid']).toMatch(/^[A-Za-z0-9_-]{16}$/);
    expect(await broker.find(question?.['clientid'] ?? '')).toHaveLength(1);
    await client.end();
  });

  it('passes odd characters on as they are', async () => {
    await connect('c-ü/3', { username: 'ü"ser\\n', password: 'pä ss+&"\\x' });
    expect(callbacks.of('mqtt-auth')[0]).toMatchObject({
      clientid: 'c-ü/3',
      username: 'ü"ser\\n',
      password: 'pä ss+&"\\x',
    });
  });

  it('takes a device id under MQTT 3.1 too', async () => {
    const client = await connect(DEVICE, { protocolId: 'MQIsdp', protocolVersion: 3 });
    expect(await broker.find(DEVICE)).toEqual([DEVICE]);
    await client.end();
  });

  it.each([
    ['deny', { json: { result: 'deny' } }, 5],
    ['ignore', { json: { result: 'ignore' } }, 5],
    ['no result', { json: {} }, 5],
    ['a result in capitals', { json: { result: 'ALLOW' } }, 5],
    ['a list', { json: ['allow'] }, 5],
    ['broken JSON', { text: '{"result":"allow"' }, 5],
    ['an empty body', { text: '' }, 5],
    ['another content type', { json: { result: 'allow' }, contentType: 'text/plain' }, 5],
    ['no content type', { json: { result: 'allow' }, contentType: null }, 5],
    ['204', { status: 204, text: '' }, 5],
    ['201', { status: 201, json: { result: 'allow' } }, 5],
    ['401', { status: 401, json: { result: 'allow' } }, 5],
    ['404', { status: 404, text: '' }, 5],
    ['500', { status: 500, json: { result: 'allow' } }, 5],
    ['a closed connection', 'drop', 5],
    ['client_attrs with a number', { json: { result: 'allow', client_attrs: { ver: 7 } } }, 5],
    ['client_attrs with null', { json: { result: 'allow', client_attrs: { ver: null } } }, 5],
    ['an acl that is no list', { json: { result: 'allow', acl: {} } }, 5],
    ['an acl with a malformed rule', { json: { result: 'allow', acl: [{ permission: 'allow', topic: 'a' }] } }, 4],
    ['an end in the past', { json: { result: 'allow', expire_at: Math.floor(Date.now() / 1000) - 5 } }, 4],
    ['an end in milliseconds', { json: { result: 'allow', expire_at: Date.now() + 60_000 } }, 4],
    ['an end with a fraction', { json: { result: 'allow', expire_at: Math.floor(Date.now() / 1000) + 60.5 } }, 4],
    ['an end as a string', { json: { result: 'allow', expire_at: '4102444800' } }, 4],
  ] as const)('refuses on %s', async (_name, reply, code) => {
    callbacks.onAuth = () => reply;
    expect(await refusalOf(DEVICE)).toBe(code);
    expect(await broker.find(DEVICE)).toEqual([]);
  });

  it('accepts a content type with a charset', async () => {
    callbacks.onAuth = () => ({ json: { result: 'allow' }, contentType: 'application/json; charset=utf-8' });
    expect(await refusalOf(DEVICE)).toBe('accepted');
  });

  it('refuses when the callback server is down', async () => {
    await callbacks.stop();
    expect(await refusalOf(DEVICE)).toBe(5);
    callbacks = await ScriptedCallbacks.start();
  });

  it('refuses when no answer comes in time', async () => {
    await restart({ authTimeoutMs: 100 });
    callbacks.onAuth = () => 'hang';
    expect(await refusalOf(DEVICE)).toBe(5);
  });

  it('refuses a password that is not UTF-8 without asking', async () => {
    const raw = await RawClient.connect(broker.port);
    raw.socket.write(connectPacket({ clientId: DEVICE, username: DEVICE, password: Buffer.from([0xff, 0xfe, 0x41]) }));
    expect(await raw.firstBytes(4)).toEqual(Buffer.from([0x20, 2, 0, 5]));
    await raw.closed;
    expect(callbacks.questions).toEqual([]);
  });

  it('refuses a nameless client that wants a session kept', async () => {
    const raw = await RawClient.connect(broker.port);
    raw.socket.write(connectPacket({ clientId: '', clean: false }));
    expect(await raw.firstBytes(4)).toEqual(Buffer.from([0x20, 2, 0, 2]));
    expect(callbacks.questions).toEqual([]);
  });

  it('turns MQTT 5 away with "unacceptable protocol version"', async () => {
    expect(await refusalOf(DEVICE, { protocolVersion: 5 })).toBe(1);
  });

  it('bounds the questions under way', async () => {
    await restart({ maxPendingAuths: 1 });
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    callbacks.onAuth = async () => {
      await held;
      return { json: { result: 'allow' } };
    };
    const first = connect('first');
    while (callbacks.questions.length === 0) await new Promise(setImmediate);
    expect(await refusalOf('second')).toBe(3);
    release();
    await first;
    expect(callbacks.questions).toHaveLength(1);
  });

  it('asks over kept connections and survives their end', async () => {
    for (let round = 0; round < 3; round += 1) await (await connect(`c${round}`)).end();
    expect(callbacks.connections).toBe(1);
    callbacks.onAuth = ({ clientid }) => (clientid === 'dropped' ? 'drop' : { json: { result: 'allow' } });
    expect(await refusalOf('dropped')).toBe(5);
    expect(await refusalOf('next')).toBe('accepted');
  });
});

describe('messages', () => {
  it('cost one question per connection and none per message for a client that keeps to its list', async () => {
    const client = await connect(DEVICE);
    expect(await client.subscribe([`devices/${DEVICE}/commands`, `devices/${DEVICE}/config/#`])).toEqual([1, 1]);
    for (let i = 0; i < 20; i += 1) await client.publish(`devices/${DEVICE}/telemetry`, String(i));
    expect(callbacks.questions).toHaveLength(1);
    expect(broker.counters.callbacks).toEqual({ auth: 1, acl: 0, failed: 0 });
  });

  it('ask the callback for what the list does not speak of, with EMQX’s names and values', async () => {
    callbacks.onAcl = () => ({ json: { result: 'allow' } });
    const client = await connect(DEVICE);
    await client.publish('other/x y', '1', { qos: 2, retain: true });
    await client.subscribe(['other/+/#'], 1);
    const common = {
      clientid: DEVICE, username: DEVICE, peerhost: '127.0.0.1', cert_common_name: '', mountpoint: '',
      device: DEVICE, status: 'ACTIVE', ver: '7',
    };
    expect(callbacks.of('mqtt-acl')).toEqual([
      { ...common, topic: 'other/x y', action: 'publish', qos: '2', retain: 'true', access: '2' },
      { ...common, topic: 'other/+/#', action: 'subscribe', qos: '1', retain: 'false', access: '1' },
    ]);
    expect(callbacks.questions.at(-1)?.headers['x-internal-auth']).toBe('the-internal-secret');
  });

  it('send empty attributes where the answer gave none, and ask for every message anew', async () => {
    callbacks.onAuth = () => ({ json: { result: 'allow' } });
    const client = await connect(DEVICE);
    for (let i = 0; i < 3; i += 1) await client.publish('other', String(i), { qos: 1 });
    expect(callbacks.of('mqtt-acl')).toHaveLength(3);
    expect(callbacks.of('mqtt-acl')[0]).toMatchObject({ device: '', status: '', ver: '' });
  });

  it.each([0, 1, 2] as const)('that are denied are acknowledged and reach nobody, QoS %s', async (qos) => {
    const watcher = await watch();
    const client = await connect(DEVICE);
    await client.publish('devices/another/telemetry', 'forbidden', { qos, retain: true });
    await client.publish(`devices/${DEVICE}/telemetry`, 'granted', { qos });
    await watcher.next((message) => message.payload === 'granted');
    await settled(watcher);
    expect(watcher.received.map((message) => message.payload)).not.toContain('forbidden');
    expect(client.mqtt.connected).toBe(true);
    expect(denied).toEqual([
      { clientId: DEVICE, topic: 'devices/another/telemetry', qos, retain: true, will: false },
    ]);
    const late = await connect('watcher2', {});
    expect(await late.subscribe(['$portcullis/#', '$portcullis/denied', '#'])).toEqual([128, 128, 128]);
    expect(broker.counters.deniedPublishes).toBe(1);
  });

  it.each([
    ['500', { status: 500, json: { result: 'allow' } }],
    ['204', { status: 204, text: '' }],
    ['ignore', { json: { result: 'ignore' } }],
    ['text/plain', { json: { result: 'allow' }, contentType: 'text/plain' }],
    ['a closed connection', 'drop'],
    ['no answer in time', 'hang'],
  ] as const)('are denied when the ACL callback answers %s', async (_name, reply) => {
    await restart({ authTimeoutMs: 150 });
    callbacks.onAcl = () => reply;
    const client = await connect(DEVICE);
    expect(await client.subscribe(['elsewhere'])).toEqual([128]);
    await client.publish('elsewhere', 'x');
    expect(broker.counters).toMatchObject({ deniedPublishes: 1, deniedSubscriptions: 1, connections: 1 });
  });

  it('keep their order when one has to be asked about and the next has not', async () => {
    const watcher = await watch();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    callbacks.onAcl = async () => {
      await held;
      return { json: { result: 'allow' } };
    };
    const raw = await RawClient.connect(broker.port);
    raw.socket.write(connectPacket({ clientId: DEVICE, username: DEVICE, password: Buffer.from('p') }));
    await raw.firstBytes(4);
    raw.socket.write(
      Buffer.concat([
        publishPacket('asked', 'first', 1, 1),
        publishPacket(`devices/${DEVICE}/telemetry`, 'second', 1, 2),
        publishPacket('asked', 'third', 1, 3),
      ]),
    );
    while (callbacks.of('mqtt-acl').length === 0) await new Promise(setImmediate);
    release();
    const acks = await raw.firstBytes(16);
    expect(acks.subarray(4)).toEqual(Buffer.from([0x40, 2, 0, 1, 0x40, 2, 0, 2, 0x40, 2, 0, 3]));
    await watcher.next((message) => message.payload === 'third');
    expect(watcher.received.map((message) => message.payload)).toEqual(['first', 'second', 'third']);
    raw.socket.destroy();
  });
});

describe('subscriptions', () => {
  it('are refused filter by filter while the others in the packet stand', async () => {
    const client = await connect(DEVICE);
    const filters = [`devices/${DEVICE}/commands`, '#', `devices/${DEVICE}/config/#`, 'devices/+/telemetry'];
    expect(await client.subscribe(filters)).toEqual([1, 128, 1, 128]);
    const watcher = await watch();
    await watcher.publish('devices/another/telemetry', 'not for you');
    await watcher.publish(`devices/${DEVICE}/config/a`, 'for you');
    await client.next((message) => message.payload === 'for you');
    expect(client.received.map((message) => message.payload)).toEqual(['for you']);
  });

  it('that were denied queue nothing for a kept session', async () => {
    const client = await connect(DEVICE, { clean: false });
    expect(await client.subscribe([`devices/${DEVICE}/commands`, 'secret/#'])).toEqual([1, 128]);
    await client.end();
    const watcher = await watch();
    await watcher.publish('secret/x', 'not for you');
    await watcher.publish(`devices/${DEVICE}/commands`, 'queued');
    const back = await connect(DEVICE, { clean: false });
    expect(back.sessionPresent).toBe(true);
    await back.next((message) => message.payload === 'queued');
    await settled(watcher);
    expect(back.received.map((message) => message.payload)).toEqual(['queued']);
  });

  it('of a kept session are judged again when it is resumed, its queue with them', async () => {
    const client = await connect(DEVICE, { clean: false });
    await client.subscribe([`devices/${DEVICE}/commands`, `devices/${DEVICE}/config/#`]);
    await client.end();
    const watcher = await watch();
    await watcher.publish(`devices/${DEVICE}/config/x`, 'narrowed away');
    await watcher.publish(`devices/${DEVICE}/commands`, 'still granted');
    callbacks.onAuth = () => ({
      json: { result: 'allow', acl: [{ permission: 'allow', action: 'all', topics: [`devices/${DEVICE}/commands`] }] },
    });
    const back = await connect(DEVICE, { clean: false });
    await back.next((message) => message.payload === 'still granted');
    await watcher.publish(`devices/${DEVICE}/config/y`, 'narrowed away too');
    await watcher.publish(`devices/${DEVICE}/commands`, 'last');
    await back.next((message) => message.payload === 'last');
    expect(back.received.map((message) => message.payload)).toEqual(['still granted', 'last']);
  });

  it('with $share are asked about with the prefix cut off, refused, and spoken of once in the log', async () => {
    callbacks.onAcl = () => ({ json: { result: 'allow' } });
    const client = await connect(DEVICE);
    const own = `devices/${DEVICE}/commands`;
    expect(await client.subscribe([`$share/g/${own}`, '$share/g/t/#', '$queue/q', own])).toEqual([128, 128, 128, 1]);
    expect(callbacks.of('mqtt-acl').map((question) => question['topic'])).toEqual(['t/#', 'q']);
    expect(log.filter((line) => line.includes('shared'))).toHaveLength(1);
  });

  it('to the broker’s own topics are refused whatever the callback says', async () => {
    callbacks.onAcl = () => ({ json: { result: 'allow' } });
    const client = await connect(DEVICE);
    expect(await client.subscribe(['$SYS/#', '$SYS/+/new/clients', '$portcullis/denied'])).toEqual([128, 128, 128]);
  });

  it('get retained messages of granted filters only', async () => {
    const watcher = await watch();
    await watcher.publish(`devices/${DEVICE}/config/a`, 'kept', { retain: true });
    await watcher.publish('secret', 'kept secret', { retain: true });
    const client = await connect(DEVICE);
    await client.subscribe(['#', `devices/${DEVICE}/config/#`]);
    const message = await client.next(() => true);
    expect(message).toEqual({ topic: `devices/${DEVICE}/config/a`, payload: 'kept', retain: true });
    await settled(watcher);
    expect(client.received).toHaveLength(1);
  });
});

describe('wills', () => {
  const will = (topic: string) => ({ topic, payload: Buffer.from('will'), qos: 1 as const, retain: false });

  it('are published when the list grants them, without a question', async () => {
    const watcher = await watch();
    const client = await connect(DEVICE, { will: will(`devices/${DEVICE}/status`) });
    await client.breakOff();
    await watcher.next((message) => message.topic === `devices/${DEVICE}/status`);
    expect(callbacks.of('mqtt-acl')).toEqual([]);
  });

  it('are asked about under the dead client’s name and published on allow', async () => {
    callbacks.onAcl = () => ({ json: { result: 'allow' } });
    const watcher = await watch();
    const client = await connect(DEVICE, { will: { ...will('elsewhere'), retain: true } });
    await client.breakOff();
    await watcher.next((message) => message.topic === 'elsewhere');
    expect(callbacks.of('mqtt-acl')).toEqual([
      {
        clientid: DEVICE, username: DEVICE, topic: 'elsewhere', action: 'publish', qos: '1', retain: 'true', access: '2',
        peerhost: '127.0.0.1', cert_common_name: '', mountpoint: '', device: DEVICE, status: 'ACTIVE', ver: '7',
      },
    ]);
  });

  it('to a forbidden topic are never delivered', async () => {
    const watcher = await watch();
    const client = await connect(DEVICE, { will: will('devices/another/status') });
    await client.breakOff();
    while (denied.length === 0) await new Promise(setImmediate);
    await settled(watcher);
    expect(denied).toEqual([
      { clientId: DEVICE, topic: 'devices/another/status', qos: 1, retain: false, will: true },
    ]);
    expect(watcher.received.map((message) => message.payload)).not.toContain('will');
  });

  it('are not published after a clean DISCONNECT', async () => {
    const watcher = await watch();
    const client = await connect(DEVICE, { will: will(`devices/${DEVICE}/status`) });
    await client.end();
    while (broker.counters.connections > 1) await new Promise(setImmediate);
    await settled(watcher);
    expect(watcher.received.map((message) => message.payload)).not.toContain('will');
  });

  it('are not published after a ban and a kick, and are after a kick alone', async () => {
    const watcher = await watch();
    const banned = await connect(DEVICE, { will: will(`devices/${DEVICE}/status`) });
    await broker.ban(DEVICE, 60, 'suspended');
    await broker.kick(DEVICE);
    await banned.closed;
    await settled(watcher);
    expect(watcher.received.map((message) => message.payload)).not.toContain('will');
    await connect(`${DEVICE}:b`, { will: will(`devices/${DEVICE}/status`) });
    await broker.kick(`${DEVICE}:b`);
    await watcher.next((message) => message.payload === 'will');
  });

  it('with a malformed topic end the CONNECT without a question', async () => {
    await expect(connect(DEVICE, { will: will('a/#') })).rejects.toThrow();
    expect(callbacks.questions).toEqual([]);
  });
});

describe('the end of a grant', () => {
  it('closes the connection at expire_at and keeps back the will', async () => {
    const watcher = await watch();
    const expireAt = Math.floor(Date.now() / 1000) + 1;
    callbacks.onAuth = () => ({ json: { result: 'allow', acl: ACL, expire_at: expireAt } });
    const client = await connect(DEVICE, {
      will: { topic: `devices/${DEVICE}/status`, payload: Buffer.from('will'), qos: 0, retain: false },
    });
    await client.closed;
    expect(Date.now()).toBeGreaterThanOrEqual(expireAt * 1000);
    while (broker.counters.connections > 1) await new Promise(setImmediate);
    await settled(watcher);
    expect(broker.counters.expired).toBe(1);
    expect(watcher.received.map((message) => message.payload)).not.toContain('will');
  });

  it('may lie further off than a timer reaches', async () => {
    callbacks.onAuth = () => ({ json: { result: 'allow', expire_at: Math.floor(Date.now() / 1000) + 10 ** 8 } });
    const client = await connect(DEVICE);
    await client.publish('x', 'y');
    expect(client.mqtt.connected).toBe(true);
    expect(broker.counters.expired).toBe(0);
  });
});

describe('bans and kicks', () => {
  it('refuse a banned client id before anything is asked, until the ban ends', async () => {
    const clock = new FakeClock(Date.now());
    await restart({ clock });
    await broker.ban(DEVICE, 30, 'test');
    expect(await refusalOf(DEVICE)).toBe(5);
    expect(callbacks.questions).toEqual([]);
    expect(await broker.bans(DEVICE)).toEqual([DEVICE]);
    clock.advance(30_001);
    expect(await broker.bans(DEVICE)).toEqual([]);
    expect(await refusalOf(DEVICE)).toBe('accepted');
  });

  it('are lifted by unban', async () => {
    await broker.ban(`${DEVICE}:a`, 30, 'test');
    expect(await broker.bans(DEVICE)).toEqual([`${DEVICE}:a`]);
    await broker.unban(`${DEVICE}:a`);
    expect(await refusalOf(`${DEVICE}:a`)).toBe('accepted');
  });

  it('hold against a CONNECT whose answer was under way', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    callbacks.onAuth = async () => {
      await held;
      return { json: { result: 'allow' } };
    };
    const connecting = refusalOf(DEVICE);
    while (callbacks.questions.length === 0) await new Promise(setImmediate);
    expect(await broker.find(DEVICE)).toEqual([]);
    await broker.ban(DEVICE, 30, 'test');
    release();
    expect(await connecting).toBe(5);
    expect(await broker.find(DEVICE)).toEqual([]);
  });

  it('find the sessions of a subject: its id and its suffixes, nothing that merely begins alike', async () => {
    for (const id of [DEVICE, `${DEVICE}:a`, `${DEVICE}:b`, `${DEVICE}a`]) await connect(id);
    expect((await broker.find(DEVICE)).sort()).toEqual([DEVICE, `${DEVICE}:a`, `${DEVICE}:b`]);
  });

  it('end the kept session too, connected or not', async () => {
    const watcher = await watch();
    for (const connected of [true, false]) {
      const client = await connect(DEVICE, { clean: false });
      expect(client.sessionPresent).toBe(false);
      await client.subscribe([`devices/${DEVICE}/commands`]);
      if (!connected) await client.end();
      await watcher.publish(`devices/${DEVICE}/commands`, 'before the kick');
      await broker.kick(DEVICE);
      expect(await broker.find(DEVICE)).toEqual([]);
    }
    const back = await connect(DEVICE, { clean: false });
    expect(back.sessionPresent).toBe(false);
    await settled(watcher);
    expect(back.received).toEqual([]);
  });

  it('close two hundred clients at once', async () => {
    const clients: TestClient[] = [];
    for (let i = 0; i < 200; i += 1) clients.push(await connect(`${DEVICE}:${i}`, { clean: i % 2 === 0 }));
    const found = await broker.find(DEVICE);
    expect(found).toHaveLength(200);
    await Promise.all(found.map((clientId) => broker.ban(clientId, 30, 'test')));
    await Promise.all(found.map((clientId) => broker.kick(clientId)));
    expect(await broker.find(DEVICE)).toEqual([]);
    expect(broker.counters).toMatchObject({ connections: 0, kicked: 200 });
    await Promise.all(clients.map((client) => client.closed));
    expect(await refusalOf(`${DEVICE}:1`)).toBe(5);
  });
});

describe('the same client id again', () => {
  it('takes the kept session over and closes the earlier connection', async () => {
    const watcher = await watch();
    const first = await connect(DEVICE, { clean: false });
    await first.subscribe([`devices/${DEVICE}/commands`]);
    const second = await connect(DEVICE, { clean: false });
    await first.closed;
    expect(second.sessionPresent).toBe(true);
    expect(await broker.find(DEVICE)).toEqual([DEVICE]);
    await watcher.publish(`devices/${DEVICE}/commands`, 'to the second');
    await second.next((message) => message.payload === 'to the second');
    expect(first.received).toEqual([]);
    await broker.kick(DEVICE);
    await second.closed;
  });

  it('leaves one living, findable connection however many come at once', async () => {
    const results = await Promise.allSettled(Array.from({ length: 12 }, () => connect(DEVICE, { clean: false })));
    await connect(DEVICE, { clean: false });
    expect(results.length).toBe(12);
    while (opened.filter((client) => client.mqtt.connected).length > 1) await new Promise(setImmediate);
    expect(await broker.find(DEVICE)).toEqual([DEVICE]);
    expect(broker.counters.connections).toBe(1);
    const [living] = opened.filter((client) => client.mqtt.connected);
    await broker.kick(DEVICE);
    await living?.closed;
    expect(broker.counters.connections).toBe(0);
  });
});

describe('the listener', () => {
  it('closes on a packet above the limit before the packet is complete', async () => {
    const raw = await RawClient.connect(broker.port);
    raw.socket.write(connectPacket({ clientId: DEVICE, username: DEVICE, password: Buffer.from('p') }));
    await raw.firstBytes(4);
    const large = publishPacket(`devices/${DEVICE}/telemetry`, Buffer.alloc(16_384, 0x20));
    raw.socket.write(large.subarray(0, 64));
    await raw.closed;
  });

  it('takes a packet of exactly the limit', async () => {
    const watcher = await watch();
    const topic = `devices/${DEVICE}/telemetry`;
    const client = await connect(DEVICE);
    const payload = 'x'.repeat(16_384 - 4 - 2 - topic.length - 2);
    await client.publish(topic, payload);
    expect((await watcher.next((message) => message.topic === topic)).payload).toHaveLength(payload.length);
  });

  it('closes a connection that brings no CONNECT in time', async () => {
    await restart({ connectTimeoutMs: 100 });
    const silent = await RawClient.connect(broker.port);
    const slow = await RawClient.connect(broker.port);
    slow.socket.write(connectPacket({ clientId: DEVICE }).subarray(0, 8));
    await Promise.all([silent.closed, slow.closed]);
    expect(callbacks.questions).toEqual([]);
  });

  it('outlives rubbish, half-open ends and too many topic levels', async () => {
    const rubbish = await RawClient.connect(broker.port);
    rubbish.socket.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await rubbish.closed;
    const half = await RawClient.connect(broker.port);
    half.socket.write(connectPacket({ clientId: DEVICE, username: DEVICE, password: Buffer.from('p') }));
    await half.firstBytes(4);
    half.socket.end();
    await half.closed;
    const deep = await connect(DEVICE);
    deep.mqtt.publish(Array(200).fill('a').join('/'), 'x');
    await deep.closed;
    const nul = await connect(DEVICE);
    nul.mqtt.stream.write(packet(0x30, Buffer.from([0, 3, 0x61, 0, 0x62, 0x78])));
    await nul.closed;
    expect(await refusalOf(DEVICE)).toBe('accepted');
  });

  it('says in one sentence that its port is taken', async () => {
    await expect(startBroker({ port: broker.port })).rejects.toThrow(
      `Port ${broker.port} on 127.0.0.1 is in use; set MQTT_PORT.`,
    );
  });

  it('stops with clients connected and questions under way', async () => {
    const client = await connect(DEVICE, { clean: false });
    callbacks.onAuth = () => 'hang';
    const raw = await RawClient.connect(broker.port);
    raw.socket.write(connectPacket({ clientId: 'waiting' }));
    while (callbacks.questions.length < 2) await new Promise(setImmediate);
    const { port } = broker;
    await broker.stop();
    await Promise.all([client.closed, raw.closed]);
    await expect(
      new Promise((resolve, reject) => net.connect(port, '127.0.0.1', () => resolve(null)).on('error', reject)),
    ).rejects.toThrow('ECONNREFUSED');
    await broker.stop();
  });
});
