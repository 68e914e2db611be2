import { ACL, DEVICE, useBrokerBench } from '../fakes/broker-bench.js';
import { FakeClock } from '../fakes/fake-clock.js';
import type { TestClient } from '../fakes/mqtt-client.js';

const bench = useBrokerBench();

describe('wills', () => {
  const will = (topic: string) => ({ topic, payload: Buffer.from('will'), qos: 1 as const, retain: false });

  it('are published when the list grants them, without a question', async () => {
    const watcher = await bench.watch();
    const client = await bench.connect(DEVICE, { will: will(`devices/${DEVICE}/status`) });
    await client.breakOff();
    await watcher.next((message) => message.topic === `devices/${DEVICE}/status`);
    expect(bench.callbacks.of('mqtt-acl')).toEqual([]);
  });

  it('are asked about under the dead client’s name and published on allow', async () => {
    bench.callbacks.onAcl = () => ({ json: { result: 'allow' } });
    const watcher = await bench.watch();
    const client = await bench.connect(DEVICE, { will: { ...will('elsewhere'), retain: true } });
    await client.breakOff();
    await watcher.next((message) => message.topic === 'elsewhere');
    expect(bench.callbacks.of('mqtt-acl')).toEqual([
      {
        clientid: DEVICE, username: DEVICE, topic: 'elsewhere', action: 'publish', qos: '1', retain: 'true',
        access: '2', peerhost: '127.0.0.1', cert_common_name: '', mountpoint: '',
        device: DEVICE, status: 'ACTIVE', ver: '7',
      },
    ]);
  });

  it('to a forbidden topic are never delivered', async () => {
    const watcher = await bench.watch();
    const client = await bench.connect(DEVICE, { will: will('devices/another/status') });
    await client.breakOff();
    await bench.until(() => bench.denied.length > 0);
    await bench.settled(watcher);
    expect(bench.denied).toEqual([
      { clientId: DEVICE, topic: 'devices/another/status', qos: 1, retain: false, will: true },
    ]);
    expect(watcher.received.map((message) => message.payload)).not.toContain('will');
  });

  it('are not published after a clean DISCONNECT', async () => {
    const watcher = await bench.watch();
    const client = await bench.connect(DEVICE, { will: will(`devices/${DEVICE}/status`) });
    await client.end();
    await bench.until(() => bench.broker.counters.connections <= 1);
    await bench.settled(watcher);
    expect(watcher.received.map((message) => message.payload)).not.toContain('will');
  });

  it('are not published after a ban and a kick, and are after a kick alone', async () => {
    const watcher = await bench.watch();
    const banned = await bench.connect(DEVICE, { will: will(`devices/${DEVICE}/status`) });
    await bench.broker.ban(DEVICE, 60, 'suspended');
    await bench.broker.kick(DEVICE);
    await banned.closed;
    await bench.settled(watcher);
    expect(watcher.received.map((message) => message.payload)).not.toContain('will');
    await bench.connect(`${DEVICE}:b`, { will: will(`devices/${DEVICE}/status`) });
    await bench.broker.kick(`${DEVICE}:b`);
    await watcher.next((message) => message.payload === 'will');
  });

  it('of a banned client are not even asked about', async () => {
    bench.callbacks.onAcl = () => ({ json: { result: 'allow' } });
    await bench.connect(DEVICE, { will: will('elsewhere') });
    await bench.broker.ban(DEVICE, 60, 'suspended');
    await bench.broker.kick(DEVICE);
    await bench.until(() => bench.denied.length > 0);
    expect(bench.callbacks.of('mqtt-acl')).toEqual([]);
  });

  it('are dropped when the ban comes while they are judged', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    bench.callbacks.onAcl = async () => {
      await held;
      return { json: { result: 'allow' } };
    };
    const watcher = await bench.watch();
    const client = await bench.connect(DEVICE, { will: will('elsewhere') });
    await client.breakOff();
    await bench.until(() => bench.callbacks.of('mqtt-acl').length > 0);
    await bench.broker.ban(DEVICE, 60, 'suspended');
    release();
    await bench.until(() => bench.denied.length > 0);
    await bench.settled(watcher);
    expect(watcher.received.map((message) => message.topic)).toEqual(['marks']);
  });

  it('with a malformed topic end the CONNECT without a question', async () => {
    await expect(bench.connect(DEVICE, { will: will('a/#') })).rejects.toThrow();
    expect(bench.callbacks.questions).toEqual([]);
  });
});

describe('the end of a grant', () => {
  it('closes the connection at expire_at and keeps back the will', async () => {
    const watcher = await bench.watch();
    const expireAt = Math.floor(Date.now() / 1000) + 1;
    bench.callbacks.onAuth = () => ({ json: { result: 'allow', acl: ACL, expire_at: expireAt } });
    const client = await bench.connect(DEVICE, {
      will: { topic: `devices/${DEVICE}/status`, payload: Buffer.from('will'), qos: 0, retain: false },
    });
    await client.closed;
    expect(Date.now()).toBeGreaterThanOrEqual(expireAt * 1000);
    await bench.until(() => bench.broker.counters.connections <= 1);
    await bench.settled(watcher);
    expect(bench.broker.counters.expired).toBe(1);
    expect(watcher.received.map((message) => message.payload)).not.toContain('will');
  });

  it('may lie further off than a timer reaches', async () => {
    bench.callbacks.onAuth = () => ({ json: { result: 'allow', expire_at: Math.floor(Date.now() / 1000) + 10 ** 8 } });
    const timers = jest.spyOn(globalThis, 'setTimeout');
    const client = await bench.connect(DEVICE);
    await client.publish('x', 'y');
    const longest = Math.max(...timers.mock.calls.map(([, delay]) => delay ?? 0));
    timers.mockRestore();
    expect(longest).toBe(2 ** 31 - 1);
    expect(client.mqtt.connected).toBe(true);
    expect(bench.broker.counters.expired).toBe(0);
  });
});

describe('bans and kicks', () => {
  it('refuse a banned client id before anything is asked, until the ban ends', async () => {
    const clock = new FakeClock(Date.now());
    await bench.restart({ clock });
    await bench.broker.ban(DEVICE, 30, 'test');
    expect(await bench.refusalOf(DEVICE)).toBe(5);
    expect(bench.callbacks.questions).toEqual([]);
    expect(await bench.broker.bans(DEVICE)).toEqual([DEVICE]);
    clock.advance(30_001);
    expect(await bench.broker.bans(DEVICE)).toEqual([]);
    expect(await bench.refusalOf(DEVICE)).toBe('accepted');
  });

  it('are lifted by unban', async () => {
    await bench.broker.ban(`${DEVICE}:a`, 30, 'test');
    expect(await bench.broker.bans(DEVICE)).toEqual([`${DEVICE}:a`]);
    await bench.broker.unban(`${DEVICE}:a`);
    expect(await bench.refusalOf(`${DEVICE}:a`)).toBe('accepted');
  });

  it('hold against a CONNECT whose answer was under way', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    bench.callbacks.onAuth = async () => {
      await held;
      return { json: { result: 'allow' } };
    };
    const connecting = bench.refusalOf(DEVICE);
    await bench.until(() => bench.callbacks.questions.length > 0);
    expect(await bench.broker.find(DEVICE)).toEqual([]);
    await bench.broker.ban(DEVICE, 30, 'test');
    release();
    expect(await connecting).toBe(5);
    expect(await bench.broker.find(DEVICE)).toEqual([]);
  });

  it('find the sessions of a subject: its id and its suffixes, nothing that merely begins alike', async () => {
    for (const id of [DEVICE, `${DEVICE}:a`, `${DEVICE}:b`, `${DEVICE}a`]) await bench.connect(id);
    expect((await bench.broker.find(DEVICE)).sort()).toEqual([DEVICE, `${DEVICE}:a`, `${DEVICE}:b`]);
  });

  it('end the kept session too, connected or not', async () => {
    const watcher = await bench.watch();
    for (const connected of [true, false]) {
      const client = await bench.connect(DEVICE, { clean: false });
      expect(client.sessionPresent).toBe(false);
      await client.subscribe([`devices/${DEVICE}/commands`]);
      if (!connected) await client.end();
      await watcher.publish(`devices/${DEVICE}/commands`, 'before the kick');
      await bench.broker.kick(DEVICE);
      expect(await bench.broker.find(DEVICE)).toEqual([]);
    }
    const back = await bench.connect(DEVICE, { clean: false });
    expect(back.sessionPresent).toBe(false);
    await bench.settled(watcher);
    expect(back.received).toEqual([]);
  });

  it('close two hundred clients at once', async () => {
    const clients: TestClient[] = [];
    for (let i = 0; i < 200; i += 1) clients.push(await bench.connect(`${DEVICE}:${i}`, { clean: i % 2 === 0 }));
    const found = await bench.broker.find(DEVICE);
    expect(found).toHaveLength(200);
    await Promise.all(found.map((clientId) => bench.broker.ban(clientId, 30, 'test')));
    await Promise.all(found.map((clientId) => bench.broker.kick(clientId)));
    expect(await bench.broker.find(DEVICE)).toEqual([]);
    expect(bench.broker.counters).toMatchObject({ connections: 0, kicked: 200 });
    await Promise.all(clients.map((client) => client.closed));
    expect(await bench.refusalOf(`${DEVICE}:1`)).toBe(5);
  });
});

describe('the same client id again', () => {
  it('takes the kept session over and closes the earlier connection', async () => {
    const watcher = await bench.watch();
    const first = await bench.connect(DEVICE, { clean: false });
    await first.subscribe([`devices/${DEVICE}/commands`]);
    const second = await bench.connect(DEVICE, { clean: false });
    await first.closed;
    expect(second.sessionPresent).toBe(true);
    expect(await bench.broker.find(DEVICE)).toEqual([DEVICE]);
    await watcher.publish(`devices/${DEVICE}/commands`, 'to the second');
    await second.next((message) => message.payload === 'to the second');
    expect(first.received).toEqual([]);
    await bench.broker.kick(DEVICE);
    await second.closed;
  });

  it('leaves one living, findable connection however many come at once', async () => {
    const results = await Promise.allSettled(Array.from({ length: 12 }, () => bench.connect(DEVICE, { clean: false })));
    await bench.connect(DEVICE, { clean: false });
    expect(results.length).toBe(12);
    await bench.until(() => bench.opened.filter((client) => client.mqtt.connected).length <= 1);
    expect(await bench.broker.find(DEVICE)).toEqual([DEVICE]);
    expect(bench.broker.counters.connections).toBe(1);
    const [living] = bench.opened.filter((client) => client.mqtt.connected);
    await bench.broker.kick(DEVICE);
    await living?.closed;
    expect(bench.broker.counters.connections).toBe(0);
  });
});
