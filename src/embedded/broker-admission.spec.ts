import { Socket } from 'node:net';
import type { AuthenticateError, Client } from 'aedes';
import { SystemClock } from '../platform/clock/clock.js';
import { Admission } from './broker-admission.js';
import { Bans } from './broker-bans.js';
import { SessionRegistry } from './broker-session.js';
import type { Session } from './broker-session.js';
import type { BrokerCounters } from './broker-types.js';
import { CallbackClient } from './callback-client.js';

const nothing = (): void => undefined;
const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

describe('the admission of a client', () => {
  const sessions = new SessionRegistry();
  const admitted: Session[] = [];
  const peers = new Map<Client, Socket>();
  const callbacks = new CallbackClient({ url: 'http://127.0.0.1:1', secret: 's', timeoutMs: 1_000, logger });
  const ask = jest.spyOn(callbacks, 'ask').mockResolvedValue({ ok: true, body: { result: 'allow' } });
  const counters = { accepted: 0, refused: 0, callbacks: { auth: 0, acl: 0, failed: 0 } } as BrokerCounters;
  const clock = new SystemClock();
  const admission = new Admission({
    callbacks, sessions, counters, logger, clock,
    bans: new Bans(clock),
    maxPendingAuths: 10,
    peerOf: (client) => ({ socket: peers.get(client) as Socket, host: '127.0.0.1', port: '1', listener: 'plain', certificate: null }),
    onAdmitted: (session) => {
      admitted.push(session);
      void session.ended.then(() => sessions.remove(session));
    },
  });

  function arrive(): { client: Client; socket: Socket } {
    const client = { id: 'd1', clean: true, closed: false, close: nothing } as unknown as Client;
    const socket = new Socket();
    peers.set(client, socket);
    return { client, socket };
  }

  function authenticate(client: Client): Promise<number> {
    return new Promise((resolve) => {
      const done = (error: AuthenticateError | null): void => resolve(error ? error.returnCode : 0);
      admission.authenticate(client, 'd1', undefined, done);
    });
  }

  it('waits until the connection that holds its client id is gone, one newcomer at a time', async () => {
    const first = arrive();
    expect(await authenticate(first.client)).toBe(0);
    const gone: string[] = [];
    first.socket.once('close', () => gone.push('first'));
    const [second, third] = [arrive(), arrive()];
    second.socket.once('close', () => gone.push('second'));
    expect(await Promise.all([authenticate(second.client), authenticate(third.client)])).toEqual([0, 0]);
    expect(gone).toEqual(['first', 'second']);
    expect(admitted.map((session) => session.client)).toEqual([first.client, second.client, third.client]);
    expect(sessions.get('d1')?.client).toBe(third.client);
    third.socket.destroy();
    await sessions.get('d1')?.ended;
  });

  it('does not register a client that left while its answer was under way', async () => {
    const before = admitted.length;
    for (const leave of ['closed', 'destroyed']) {
      const { client, socket } = arrive();
      ask.mockImplementationOnce(async () => {
        if (leave === 'closed') Object.assign(client, { closed: true });
        else socket.destroy();
        return { ok: true, body: { result: 'allow' } };
      });
      await authenticate(client);
    }
    expect(admitted).toHaveLength(before);
    expect(sessions.size).toBe(0);
  });
});
