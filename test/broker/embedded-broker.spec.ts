import net from 'node:net';
import { DEVICE, useBrokerBench } from '../fakes/broker-bench.js';
import { connectPacket, packet, publishPacket, RawClient } from '../fakes/mqtt-client.js';

const bench = useBrokerBench();

describe('CONNECT', () => {
  it('asks with the field names and string values of EMQX', async () => {
    const client = await bench.connect(`${DEVICE}:a1`);
    const [question] = bench.callbacks.questions;
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
    const client = await bench.connect('', { username: undefined, password: undefined, clean: true });
    const [question] = bench.callbacks.of('mqtt-auth');
    expect(question).toMatchObject({ username: '', password: '' });
    expect(question?.['clientid']).toMatch(/^[A-Za-z0-9_-]{16}$/);
    expect(await bench.broker.find(question?.['clientid'] ?? '')).toHaveLength(1);
    await client.end();
  });

  it('passes odd characters on as they are', async () => {
    await bench.connect('c-ü/3', { username: 'ü"ser\\n', password: 'pä ss+&"\\x' });
    expect(bench.callbacks.of('mqtt-auth')[0]).toMatchObject({
      clientid: 'c-ü/3',
      username: 'ü"ser\\n',
      password: 'pä ss+&"\\x',
    });
  });

  it('takes a device id under MQTT 3.1 too', async () => {
    const client = await bench.connect(DEVICE, { protocolId: 'MQIsdp', protocolVersion: 3 });
    expect(await bench.broker.find(DEVICE)).toEqual([DEVICE]);
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
    bench.callbacks.onAuth = () => reply;
    expect(await bench.refusalOf(DEVICE)).toBe(code);
    expect(await bench.broker.find(DEVICE)).toEqual([]);
  });

  it('accepts a content type with a charset', async () => {
    bench.callbacks.onAuth = () => ({ json: { result: 'allow' }, contentType: 'application/json; charset=utf-8' });
    expect(await bench.refusalOf(DEVICE)).toBe('accepted');
  });

  it('refuses when the callback server is down', async () => {
    await bench.callbacks.stop();
    expect(await bench.refusalOf(DEVICE)).toBe(5);
  });

  it('refuses when no answer comes in time', async () => {
    await bench.restart({ authTimeoutMs: 100 });
    bench.callbacks.onAuth = () => 'hang';
    expect(await bench.refusalOf(DEVICE)).toBe(5);
  });

  it('refuses a password that is not UTF-8 without asking', async () => {
    const raw = await RawClient.connect(bench.broker.port);
    raw.socket.write(connectPacket({ clientId: DEVICE, username: DEVICE, password: Buffer.from([0xff, 0xfe, 0x41]) }));
    expect(await raw.firstBytes(4)).toEqual(Buffer.from([0x20, 2, 0, 5]));
    await raw.closed;
    expect(bench.callbacks.questions).toEqual([]);
  });

  it('refuses a nameless client that wants a session kept', async () => {
    const raw = await RawClient.connect(bench.broker.port);
    raw.socket.write(connectPacket({ clientId: '', clean: false }));
    expect(await raw.firstBytes(4)).toEqual(Buffer.from([0x20, 2, 0, 2]));
    expect(bench.callbacks.questions).toEqual([]);
  });

  it('turns MQTT 5 away with "unacceptable protocol version"', async () => {
    expect(await bench.refusalOf(DEVICE, { protocolVersion: 5 })).toBe(1);
  });

  it('bounds the questions under way', async () => {
    await bench.restart({ maxPendingAuths: 1 });
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    bench.callbacks.onAuth = async () => {
      await held;
      return { json: { result: 'allow' } };
    };
    const first = bench.connect('first');
    await bench.until(() => bench.callbacks.questions.length > 0);
    expect(await bench.refusalOf('second')).toBe(3);
    release();
    await first;
    expect(bench.callbacks.questions).toHaveLength(1);
  });

  it('asks over kept connections and survives their end', async () => {
    for (let round = 0; round < 3; round += 1) await (await bench.connect(`c${round}`)).end();
    expect(bench.callbacks.connections).toBe(1);
    bench.callbacks.onAuth = ({ clientid }) => (clientid === 'dropped' ? 'drop' : { json: { result: 'allow' } });
    expect(await bench.refusalOf('dropped')).toBe(5);
    expect(await bench.refusalOf('next')).toBe('accepted');
  });
});

describe('the listener', () => {
  it('closes on a packet above the limit before the packet is complete', async () => {
    const raw = await RawClient.connect(bench.broker.port);
    raw.socket.write(connectPacket({ clientId: DEVICE, username: DEVICE, password: Buffer.from('p') }));
    await raw.firstBytes(4);
    const large = publishPacket(`devices/${DEVICE}/telemetry`, Buffer.alloc(16_384, 0x20));
    raw.socket.write(large.subarray(0, 64));
    await raw.closed;
  });

  it('takes a packet of exactly the limit', async () => {
    const watcher = await bench.watch();
    const topic = `devices/${DEVICE}/telemetry`;
    const client = await bench.connect(DEVICE);
    const payload = 'x'.repeat(16_384 - 4 - 2 - topic.length - 2);
    await client.publish(topic, payload);
    expect((await watcher.next((message) => message.topic === topic)).payload).toHaveLength(payload.length);
  });

  it('closes a connection that brings no CONNECT in time', async () => {
    await bench.restart({ connectTimeoutMs: 100 });
    const silent = await RawClient.connect(bench.broker.port);
    const slow = await RawClient.connect(bench.broker.port);
    slow.socket.write(connectPacket({ clientId: DEVICE }).subarray(0, 8));
    await Promise.all([silent.closed, slow.closed]);
    expect(bench.callbacks.questions).toEqual([]);
  });

  it('outlives rubbish, half-open ends and too many topic levels', async () => {
    const rubbish = await RawClient.connect(bench.broker.port);
    rubbish.socket.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await rubbish.closed;
    const half = await RawClient.connect(bench.broker.port);
    half.socket.write(connectPacket({ clientId: DEVICE, username: DEVICE, password: Buffer.from('p') }));
    await half.firstBytes(4);
    half.socket.end();
    await half.closed;
    const deep = await bench.connect(DEVICE);
    deep.mqtt.publish(Array(200).fill('a').join('/'), 'x');
    await deep.closed;
    const nul = await bench.connect(DEVICE);
    nul.mqtt.stream.write(packet(0x30, Buffer.from([0, 3, 0x61, 0, 0x62, 0x78])));
    await nul.closed;
    expect(await bench.refusalOf(DEVICE)).toBe('accepted');
  });

  it('says in one sentence that its port is taken', async () => {
    await expect(bench.startBroker({ port: bench.broker.port })).rejects.toThrow(
      `Port ${bench.broker.port} on 127.0.0.1 is in use; set MQTT_PORT.`,
    );
  });

  it('stops with clients connected and questions under way', async () => {
    const client = await bench.connect(DEVICE, { clean: false });
    bench.callbacks.onAuth = () => 'hang';
    const raw = await RawClient.connect(bench.broker.port);
    raw.socket.write(connectPacket({ clientId: 'waiting' }));
    await bench.until(() => bench.callbacks.questions.length >= 2);
    const { port } = bench.broker;
    await bench.broker.stop();
    await Promise.all([client.closed, raw.closed]);
    await bench.until(() => bench.callbacks.openConnections === 0);
    await expect(
      new Promise((resolve, reject) => net.connect(port, '127.0.0.1', () => resolve(null)).on('error', reject)),
    ).rejects.toThrow('ECONNREFUSED');
    await bench.broker.stop();
  });
});
