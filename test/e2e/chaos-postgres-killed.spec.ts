import { request, type RegisteredDevice } from '../factories/app.js';
import { OutageFleet } from '../factories/outage-fleet.js';
import { until } from '../factories/until.js';
import { BROKER_PATIENCE_MS, CallbackStream } from '../fakes/callback-stream.js';
import { PrivatePostgres } from '../fakes/private-postgres.js';
import { PrivateRedis } from '../fakes/private-redis.js';
import { ServerProcess } from '../fakes/server-process.js';

const HAS_REDIS = (process.env['TEST_REDIS_URL'] ?? '') !== '';
const KILLS = 2;

(HAS_REDIS ? describe : describe.skip)('under a stream of questions, Postgres killed and started again', () => {
  let postgres: PrivatePostgres;
  let redis: PrivateRedis;
  let server: ServerProcess;
  let fleet: OutageFleet;
  let stream: CallbackStream;

  beforeAll(async () => {
    [postgres, redis] = await Promise.all([PrivatePostgres.start(), PrivateRedis.start()]);
    server = await ServerProcess.prepare(postgres.database, { REDIS_URL: redis.url });
    await server.start();
    await server.login();
    fleet = await OutageFleet.register(server);
    stream = new CallbackStream(server.ports.internal, server.secret, fleet.next);
    stream.start(6);
  }, 90_000);

  afterAll(async () => {
    await stream?.stop();
    await server?.remove();
    await redis?.kill();
    await postgres?.remove();
  });

  const connect = async (device: RegisteredDevice): Promise<string> => (await server.ask('mqtt-auth', fleet.connect(device))).body.result;
  const ready = async (): Promise<number> => (await request(`http://127.0.0.1:${server.ports.internal}/health/ready`, 'GET', {})).status;
  const suspend = async (device: RegisteredDevice): Promise<number> =>
    (await server.call('POST', `/devices/${device.id}/suspend`, { reason: 'before the kill' })).status;
  const statusOf = async (device: RegisteredDevice): Promise<unknown> => (await server.call('GET', `/devices/${device.id}`)).body['status'];
  const rowsOf = async (device: RegisteredDevice): Promise<number> =>
    (await server.call<{ items: unknown[] }>('GET', `/audit/logs?deviceId=${device.id}&eventType=DEVICE_SUSPENDED`)).body.items.length;
  const cold = (): RegisteredDevice => fleet.cold.shift() as RegisteredDevice;

  it('nothing wrong is answered, what was acknowledged is kept, and it recovers without a restart', async () => {
    const { pid } = server;
    for (let kill = 0; kill < KILLS; kill += 1) {
      const acknowledged = fleet.warm[kill] as RegisteredDevice;
      const [asked, unasked, inFlight] = [cold(), cold(), cold()];
      expect([await connect(asked), await connect(inFlight)]).toEqual(['allow', 'allow']);
      expect(await suspend(acknowledged)).toBe(200);
      fleet.forbid(acknowledged);
      const unknown = suspend(inFlight);
      await postgres.kill();
      const told = await unknown;

      expect([await connect(asked), await connect(unasked), await connect(acknowledged)]).toEqual(['allow', 'deny', 'deny']);
      if (told === 200) expect(await connect(inFlight)).toBe('deny');
      expect([await suspend(asked), await ready()]).toEqual([503, 503]);
      const during = stream.answered;
      await until('the stream goes on without it', () => stream.answered > during + 200);

      await postgres.restart();
      await until('it is ready again', async () => (await ready()) === 200, 20_000);
      await until('Postgres tells of changes again', async () => (await server.metric('portcullis_change_notices_heard')) === 1, 20_000);
      // Each connection of the door's pool finds out by itself that its server was another one.
      await until('who was never asked about is let in', async () => (await connect(unasked)) === 'allow', 20_000);
      expect([await statusOf(acknowledged), await rowsOf(acknowledged), await connect(acknowledged)]).toEqual(['SUSPENDED', 1, 'deny']);
      // One that was under way was done whole or not at all, and is kept if it was acknowledged.
      const done = (await statusOf(inFlight)) === 'SUSPENDED';
      expect({ done, rows: await rowsOf(inFlight), answer: await connect(inFlight) }).toEqual({ done, rows: done ? 1 : 0, answer: done ? 'deny' : 'allow' });
      if (told === 200) expect(done).toBe(true);
    }
    await stream.stop();
    expect(stream.wrong.slice(0, 5)).toEqual([]);
    expect({ running: server.running, pid: server.pid }).toEqual({ running: true, pid });
    expect(stream.lost + stream.turnedAway).toBe(0);
    expect(stream.slowestMs).toBeLessThan(BROKER_PATIENCE_MS);
    expect(stream.allowed).toBeGreaterThan(0);
    process.stdout.write(`${KILLS} kills: ${stream.answered} answered, ${stream.allowed} allowed, slowest ${Math.round(stream.slowestMs)} ms\n`);
  }, 120_000);
});
