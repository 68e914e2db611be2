import type { AedesPublishPacket, Subscription } from 'aedes';
import { SessionStore } from './broker-store.js';

const D1 = { id: 'd1', closed: false, clean: false };
let counter = 0;

function message(topic: string, fields: Partial<AedesPublishPacket> = {}): AedesPublishPacket {
  counter += 1;
  return {
    cmd: 'publish', brokerId: 'b', brokerCounter: counter, topic, payload: Buffer.from(String(counter)),
    qos: 1, retain: false, dup: false, ...fields,
  };
}

async function queueOf(store: SessionStore, id = 'd1'): Promise<AedesPublishPacket[]> {
  return store.outgoingStream({ id }).toArray();
}

async function subscribed(store: SessionStore, client: { id: string }, ...subs: Subscription[]): Promise<void> {
  subs.forEach((sub) => store.grant(sub));
  await store.addSubscriptions(client, subs);
}

async function publish(store: SessionStore, packet: AedesPublishPacket): Promise<void> {
  await store.outgoingEnqueueCombi(await store.subscriptionsByTopic(packet.topic), packet);
}

describe('the session store', () => {
  let store: SessionStore;
  beforeEach(() => {
    store = new SessionStore();
  });

  it('keeps the granted filters of a packet and no other', async () => {
    const [good, bad]: Subscription[] = [{ topic: 'a', qos: 1 }, { topic: 'b', qos: 1 }];
    store.grant(good as Subscription);
    await store.addSubscriptions(D1, [good, bad] as Subscription[]);
    expect(await store.subscriptionsByClient(D1)).toEqual([{ topic: 'a', qos: 1 }]);
    expect(await store.subscriptionsByTopic('b')).toEqual([]);
  });

  it('queues a message once per session, at the better QoS of overlapping filters, not above its own', async () => {
    await subscribed(store, D1, { topic: 'a/#', qos: 1 }, { topic: 'a/+', qos: 2 }, { topic: '#', qos: 0 });
    await publish(store, message('a/b', { qos: 1 }));
    await publish(store, message('a/b/c', { qos: 2 }));
    expect((await queueOf(store)).map(({ topic, qos }) => [topic, qos])).toEqual([['a/b', 1], ['a/b/c', 1]]);
  });

  it('queues nothing for QoS 0 filters, $ topics under a leading wildcard, or denied ones', async () => {
    await subscribed(store, D1, { topic: '#', qos: 1 }, { topic: '$portcullis/#', qos: 1 }, { topic: 'zero', qos: 0 });
    for (const topic of ['$SYS/x', '$portcullis/denied']) await publish(store, message(topic));
    expect(await queueOf(store)).toEqual([]);
    const other = { id: 'd2' };
    await subscribed(store, other, { topic: 'zero', qos: 0 });
    await publish(store, message('zero'));
    expect(await queueOf(store, 'd2')).toEqual([]);
  });

  it('drops the oldest message that is not under way when a queue is full', async () => {
    await subscribed(store, D1, { topic: 'a', qos: 1 });
    const first = message('a');
    await publish(store, first);
    await store.outgoingUpdate(D1, { ...first, messageId: 9 });
    for (let i = 0; i < 1000; i += 1) await publish(store, message('a'));
    const queue = await queueOf(store);
    expect(queue).toHaveLength(1000);
    expect(queue[0]).toMatchObject({ messageId: 9, brokerCounter: first.brokerCounter });
    expect(queue[1]?.brokerCounter).toBe(first.brokerCounter + 2);
    expect(queue.at(-1)?.brokerCounter).toBe(counter);
  });

  it('lets a message go by its packet id, through PUBREL for QoS 2', async () => {
    await subscribed(store, D1, { topic: 'a', qos: 2 });
    const packet = message('a', { qos: 2 });
    await publish(store, packet);
    await store.outgoingUpdate(D1, { ...packet, messageId: 5 });
    expect(await store.outgoingClearMessageId(D1, {})).toBeUndefined();
    await store.outgoingUpdate(D1, { cmd: 'pubrel', messageId: 5 });
    expect(await queueOf(store)).toEqual([{ cmd: 'pubrel', messageId: 5 }]);
    await store.outgoingClearMessageId(D1, { messageId: 5 });
    expect(await queueOf(store)).toEqual([]);
  });

  it('remembers packet ids of QoS 2 until released', async () => {
    await store.incomingStorePacket(D1, { messageId: 3 });
    await expect(store.incomingGetPacket(D1, { messageId: 3 })).resolves.toBe(true);
    await store.incomingDelPacket(D1, { messageId: 3 });
    await expect(store.incomingGetPacket(D1, { messageId: 3 })).rejects.toThrow('no such packet');
    await store.incomingStorePacket({ id: 'gone', closed: true, clean: true }, { messageId: 3 });
    await expect(store.incomingGetPacket({ id: 'gone' }, { messageId: 3 })).rejects.toThrow('no such packet');
  });

  it('forgets a session on purge and on a clean CONNECT', async () => {
    for (const end of [async () => store.purge('d1'), () => store.cleanSubscriptions(D1)]) {
      await subscribed(store, D1, { topic: 'a', qos: 1 });
      await publish(store, message('a'));
      expect(await queueOf(store)).toHaveLength(1);
      await end();
      expect(await store.subscriptionsByClient(D1)).toEqual([]);
      expect(await queueOf(store)).toEqual([]);
    }
  });

  it('ends sessions that nobody came back to', async () => {
    await subscribed(store, D1, { topic: 'a', qos: 1 });
    await subscribed(store, { id: 'live' }, { topic: 'a', qos: 1 });
    store.leave('d1', 1_000);
    const isLive = (id: string): boolean => id === 'live';
    store.expire(1_000 + 500, 500, isLive);
    expect(store.expects('d1', 'a')).toBe(true);
    store.expire(1_000 + 501, 500, isLive);
    expect([store.expects('d1', 'a'), store.expects('live', 'a')]).toEqual([false, true]);
  });

  it('keeps one retained message per topic until an empty one comes', async () => {
    await store.storeRetained(message('a/b', { payload: Buffer.from('old') }));
    await store.storeRetained(message('a/b', { payload: Buffer.from('new') }));
    await store.storeRetained(message('$x/b'));
    const found = async (): Promise<string[]> =>
      (await store.createRetainedStreamCombi(['+/b', 'a/#']).toArray()).map(({ payload }) => String(payload));
    expect(await found()).toEqual(['new']);
    await store.storeRetained(message('a/b', { payload: Buffer.alloc(0) }));
    expect(await found()).toEqual([]);
  });
});
