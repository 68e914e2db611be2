import { DEVICE, useBrokerBench } from '../fakes/broker-bench.js';
import { connectPacket, publishPacket, RawClient } from '../fakes/mqtt-client.js';

const bench = useBrokerBench();

describe('messages', () => {
  it('cost one question per connection and none per message for a client that keeps to its list', async () => {
    const client = await bench.connect(DEVICE);
    expect(await client.subscribe([`devices/${DEVICE}/commands`, `devices/${DEVICE}/config/#`])).toEqual([1, 1]);
    for (let i = 0; i < 20; i += 1) await client.publish(`devices/${DEVICE}/telemetry`, String(i));
    expect(bench.callbacks.questions).toHaveLength(1);
    expect(bench.broker.counters.callbacks).toEqual({ auth: 1, acl: 0, failed: 0 });
  });

  it('ask the callback for what the list does not speak of, with EMQX’s names and values', async () => {
    bench.callbacks.onAcl = () => ({ json: { result: 'allow' } });
    const client = await bench.connect(DEVICE);
    await client.publish('other/x y', '1', { qos: 2, retain: true });
    await client.subscribe(['other/+/#'], 1);
    const common = {
      clientid: DEVICE, username: DEVICE, peerhost: '127.0.0.1', cert_common_name: '', mountpoint: '',
      device: DEVICE, status: 'ACTIVE', ver: '7',
    };
    expect(bench.callbacks.of('mqtt-acl')).toEqual([
      { ...common, topic: 'other/x y', action: 'publish', qos: '2', retain: 'true', access: '2' },
      { ...common, topic: 'other/+/#', action: 'subscribe', qos: '1', retain: 'false', access: '1' },
    ]);
    expect(bench.callbacks.questions.at(-1)?.headers['x-internal-auth']).toBe('the-internal-secret');
  });

  it('send empty attributes where the answer gave none, and ask for every message anew', async () => {
    bench.callbacks.onAuth = () => ({ json: { result: 'allow' } });
    const client = await bench.connect(DEVICE);
    for (let i = 0; i < 3; i += 1) await client.publish('other', String(i), { qos: 1 });
    expect(bench.callbacks.of('mqtt-acl')).toHaveLength(3);
    expect(bench.callbacks.of('mqtt-acl')[0]).toMatchObject({ device: '', status: '', ver: '' });
  });

  it.each([0, 1, 2] as const)('that are denied are acknowledged and reach nobody, QoS %s', async (qos) => {
    const watcher = await bench.watch();
    const client = await bench.connect(DEVICE);
    await client.publish('devices/another/telemetry', 'forbidden', { qos, retain: true });
    await client.publish(`devices/${DEVICE}/telemetry`, 'granted', { qos });
    await watcher.next((message) => message.payload === 'granted');
    await bench.settled(watcher);
    const topics = watcher.received.map((message) => message.topic).filter((topic) => topic !== 'marks');
    expect(topics).toEqual([`devices/${DEVICE}/telemetry`]);
    expect(client.mqtt.connected).toBe(true);
    expect(bench.denied).toEqual([
      { clientId: DEVICE, topic: 'devices/another/telemetry', qos, retain: true, will: false },
    ]);
    const late = await bench.connect('watcher2', {});
    expect(await late.subscribe(['$portcullis/#', '$portcullis/denied', '#'])).toEqual([128, 128, 128]);
    expect(bench.broker.counters.deniedPublishes).toBe(1);
  });

  it.each([
    ['500', { status: 500, json: { result: 'allow' } }],
    ['204', { status: 204, text: '' }],
    ['ignore', { json: { result: 'ignore' } }],
    ['text/plain', { json: { result: 'allow' }, contentType: 'text/plain' }],
    ['a closed connection', 'drop'],
    ['no answer in time', 'hang'],
  ] as const)('are denied when the ACL callback answers %s', async (_name, reply) => {
    await bench.restart({ authTimeoutMs: 150 });
    bench.callbacks.onAcl = () => reply;
    const client = await bench.connect(DEVICE);
    expect(await client.subscribe(['elsewhere'])).toEqual([128]);
    await client.publish('elsewhere', 'x');
    expect(bench.broker.counters).toMatchObject({ deniedPublishes: 1, deniedSubscriptions: 1, connections: 1 });
  });

  it('keep their order when one has to be asked about and the next has not', async () => {
    const watcher = await bench.watch();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    bench.callbacks.onAcl = async () => {
      await held;
      return { json: { result: 'allow' } };
    };
    const raw = await RawClient.connect(bench.broker.port);
    raw.socket.write(connectPacket({ clientId: DEVICE, username: DEVICE, password: Buffer.from('p') }));
    await raw.firstBytes(4);
    raw.socket.write(
      Buffer.concat([
        publishPacket('asked', 'first', 1, 1),
        publishPacket(`devices/${DEVICE}/telemetry`, 'second', 1, 2),
        publishPacket('asked', 'third', 1, 3),
      ]),
    );
    await bench.until(() => bench.callbacks.of('mqtt-acl').length > 0);
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
    const client = await bench.connect(DEVICE);
    const filters = [`devices/${DEVICE}/commands`, '#', `devices/${DEVICE}/config/#`, 'devices/+/telemetry'];
    expect(await client.subscribe(filters)).toEqual([1, 128, 1, 128]);
    const watcher = await bench.watch();
    await watcher.publish('devices/another/telemetry', 'not for you');
    await watcher.publish(`devices/${DEVICE}/config/a`, 'for you');
    await client.next((message) => message.payload === 'for you');
    expect(client.received.map((message) => message.payload)).toEqual(['for you']);
  });

  it('that were denied queue nothing for a kept session', async () => {
    const client = await bench.connect(DEVICE, { clean: false });
    expect(await client.subscribe([`devices/${DEVICE}/commands`, 'secret/#'])).toEqual([1, 128]);
    await client.end();
    const watcher = await bench.watch();
    await watcher.publish('secret/x', 'not for you');
    await watcher.publish(`devices/${DEVICE}/commands`, 'queued');
    const back = await bench.connect(DEVICE, { clean: false });
    expect(back.sessionPresent).toBe(true);
    await back.next((message) => message.payload === 'queued');
    await bench.settled(watcher);
    expect(back.received.map((message) => message.payload)).toEqual(['queued']);
  });

  it('of a kept session are judged again when it is resumed, its queue with them', async () => {
    const client = await bench.connect(DEVICE, { clean: false });
    await client.subscribe([`devices/${DEVICE}/commands`, `devices/${DEVICE}/config/#`]);
    await client.end();
    const watcher = await bench.watch();
    await watcher.publish(`devices/${DEVICE}/config/x`, 'narrowed away');
    await watcher.publish(`devices/${DEVICE}/commands`, 'still granted');
    bench.callbacks.onAuth = () => ({
      json: { result: 'allow', acl: [{ permission: 'allow', action: 'all', topics: [`devices/${DEVICE}/commands`] }] },
    });
    const back = await bench.connect(DEVICE, { clean: false });
    await back.next((message) => message.payload === 'still granted');
    await watcher.publish(`devices/${DEVICE}/config/y`, 'narrowed away too');
    await watcher.publish(`devices/${DEVICE}/commands`, 'last');
    await back.next((message) => message.payload === 'last');
    expect(back.received.map((message) => message.payload)).toEqual(['still granted', 'last']);
  });

  it('of a client that broke off while they were judged do not disturb its next connection', async () => {
    bench.callbacks.onAcl = () => ({ json: { result: 'allow' } });
    const client = await bench.connect(DEVICE, { clean: false });
    await client.subscribe(['asked']);
    await client.end();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    bench.callbacks.onAcl = async () => {
      await held;
      return { json: { result: 'deny' } };
    };
    const asked = bench.callbacks.of('mqtt-acl').length;
    const raw = await RawClient.connect(bench.broker.port);
    raw.socket.write(connectPacket({ clientId: DEVICE, username: DEVICE, password: Buffer.from('p'), clean: false }));
    await bench.until(() => bench.callbacks.of('mqtt-acl').length > asked);
    raw.socket.destroy();
    await bench.until(() => bench.broker.counters.connections === 0);
    const next = await bench.connect(DEVICE);
    release();
    const watcher = await bench.watch();
    await next.subscribe([`devices/${DEVICE}/commands`]);
    await watcher.publish(`devices/${DEVICE}/commands`, 'still here');
    await next.next((message) => message.payload === 'still here');
    expect(await bench.broker.find(DEVICE)).toEqual([DEVICE]);
  });

  it('with $share are asked about with the prefix cut off, refused, and spoken of once in the log', async () => {
    bench.callbacks.onAcl = () => ({ json: { result: 'allow' } });
    const client = await bench.connect(DEVICE);
    const own = `devices/${DEVICE}/commands`;
    expect(await client.subscribe([`$share/g/${own}`, '$share/g/t/#', '$queue/q', own])).toEqual([128, 128, 128, 1]);
    expect(bench.callbacks.of('mqtt-acl').map((question) => question['topic'])).toEqual(['t/#', 'q']);
    expect(bench.log.filter((line) => line.includes('shared'))).toHaveLength(1);
  });

  it('to the broker’s own topics are refused whatever the callback says', async () => {
    bench.callbacks.onAcl = () => ({ json: { result: 'allow' } });
    const client = await bench.connect(DEVICE);
    expect(await client.subscribe(['$SYS/#', '$SYS/+/new/clients', '$portcullis/denied'])).toEqual([128, 128, 128]);
  });

  it('get retained messages of granted filters only', async () => {
    const watcher = await bench.watch();
    await watcher.publish(`devices/${DEVICE}/config/a`, 'kept', { retain: true });
    await watcher.publish('secret', 'kept secret', { retain: true });
    const client = await bench.connect(DEVICE);
    await client.subscribe(['#', `devices/${DEVICE}/config/#`]);
    const message = await client.next(() => true);
    expect(message).toEqual({ topic: `devices/${DEVICE}/config/a`, payload: 'kept', retain: true });
    await bench.settled(watcher);
    expect(client.received).toHaveLength(1);
  });
});
