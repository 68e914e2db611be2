import net from 'node:net';
import tls from 'node:tls';
import pg from 'pg';
import { TestApp } from '../factories/app.js';
import { administer, ROLE_PREFIX } from '../factories/database.js';
import { until } from '../factories/until.js';
import { openDeviceListener } from '../../src/device-listener.js';

/** Well below the time that requests in flight are given. */
const AT_ONCE_MS = 3_000;

async function silentConnection(port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

const closed = (socket: net.Socket): Promise<void> => until('the connection is closed', () => socket.closed, AT_ONCE_MS);

describe('an application that closes', () => {
  let app: TestApp;

  beforeEach(async () => {
    app = await TestApp.start();
  });

  afterEach(() => app.stop());

  it('is held up by nobody who has connected and asks nothing, and answers what is in flight', async () => {
    const { id } = await app.registerDevice('in-flight');
    const silent = await Promise.all([silentConnection(Number(new URL(app.url).port)), silentConnection(app.internalPort)]);
    const other = new pg.Client({ connectionString: app.database.url });
    other.on('error', () => undefined);
    await other.connect();
    await other.query(`SET ROLE ${ROLE_PREFIX}_migrator`);
    await other.query('BEGIN');
    await other.query('SELECT 1 FROM devices WHERE id = $1 FOR UPDATE', [id]);
    let answered = false;
    const inFlight = app.call('PATCH', `/devices/${id}`, { name: 'after all' }).finally(() => (answered = true));
    let waiting = 0;
    await until('the request waits', async () => {
      await administer(app.database.url, async (client) => {
        const waits = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
        waiting = (await client.query(waits)).rowCount ?? 0;
      });
      return waiting === 1;
    });

    const ended = app.app.close();
    await Promise.all(silent.map(closed));
    expect(answered).toBe(false);
    await other.query('ROLLBACK');
    await other.end();
    const { status, body } = await inFlight;
    expect({ status, name: body['name'] }).toEqual({ status: 200, name: 'after all' });
    await ended;
  });

  it('waits for half a request, which is still answered', async () => {
    const socket = await silentConnection(app.internalPort);
    let said = '';
    socket.on('data', (bytes) => (said += String(bytes)));
    const asked = 'GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
    socket.write(asked.slice(0, 20));
    // A question on another connection comes after it, so the half has arrived.
    await app.ask('mqtt-auth', {});
    const witness = await silentConnection(app.internalPort);
    const ended = app.app.close();
    await closed(witness);
    socket.write(asked.slice(20));
    await until('the answer', () => /^HTTP\/1\.1 200 /.test(said));
    await ended;
  });

  it('is held up by no device that has shaken hands, or not even that, and asks nothing', async () => {
    const listener = await openDeviceListener(app.app, app.config, 0);
    const bare = await silentConnection(listener.port);
    const refused = tls.connect({ port: listener.port, host: '127.0.0.1', rejectUnauthorized: false });
    refused.on('error', () => undefined);
    const ended = listener.close();
    await Promise.all([closed(bare), closed(refused)]);
    await ended;
  });
});
