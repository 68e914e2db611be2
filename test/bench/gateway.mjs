/**
 * The message gateway end to end (hear, verify, nonce in Redis, verified copy acknowledged, device recorded, acknowledge) against an mqtt.js
 * subscriber that only counts: the same Mosquitto, messages of the same bytes, QoS 1, round by round in turn.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { connectAsync } from 'mqtt';
import { Child } from './child.mjs';

const DEVICES = 200;
const PUBLISHERS = 8;
const IN_FLIGHT = 50;
const LIMIT_MS = 60_000;
const MOSQUITTO = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/opt/homebrew/sbin/mosquitto'].find((file) => existsSync(file));

/**
 * @param rounds that count, after one to warm up
 * @param messages of each round; a tenant may send 1000 a second, with room for 5000 at once
 * @returns for each of the two: messages a second, and a second of CPU, of each round; null without Mosquitto or Redis
 */
export async function measureGateway({ rounds, messages, profile }) {
  const redisHere = await new Promise((resolve) => spawn('redis-server', ['--version'], { stdio: 'ignore' }).once('error', () => resolve(false)).once('exit', () => resolve(true)));
  if (MOSQUITTO === undefined || !redisHere) return null;
  const { signMessage } = await import('../../dist/messages/signed-message.js');
  const { startEmbeddedPostgres } = await import('../../dist/embedded/postgres.js');
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-gateway-'));
  const ends = [() => fs.rm(folder, { recursive: true, force: true })];
  try {
    const [brokerPort, redisPort, rest, internal] = await freePorts(4);
    const redis = spawn('redis-server', ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--maxmemory-policy', 'noeviction'], { stdio: 'ignore' });
    ends.push(() => redis.kill('SIGTERM'));
    const conf = path.join(folder, 'mosquitto.conf');
    await fs.writeFile(conf, `listener ${brokerPort} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\nmax_inflight_messages 100\n`);
    const broker = spawn(MOSQUITTO, ['-c', conf], { stdio: 'ignore' });
    ends.push(() => broker.kill('SIGTERM'));
    const postgres = await startEmbeddedPostgres({ dataDir: path.join(folder, 'database'), fast: false });
    ends.push(() => postgres.stop());
    const url = `mqtt://127.0.0.1:${brokerPort}`;
    const app = new Child('gateway-app.mjs');
    ends.push(() => app.stop());
    await app.call('open', { env: {
      PORTCULLIS_DATA_DIR: path.join(folder, 'data'), DATABASE_URL: postgres.url, REDIS_URL: `redis://127.0.0.1:${redisPort}`, MQTT_URL: url,
      PORT: String(rest), INTERNAL_PORT: String(internal),
    } });
    const devices = await app.call('register', { count: DEVICES });
    const bare = new Child('gateway-bare.mjs');
    ends.push(() => bare.stop());
    await bare.call('open', { url, filter: 'bare/#' });
    const publishers = await Promise.all(Array.from({ length: PUBLISHERS }, () => connectAsync(url, { protocolVersion: 5 })));
    ends.push(() => Promise.all(publishers.map((client) => client.endAsync(true))));
    const sides = {
      bare: { root: 'bare', child: bare, done: () => bare.call('heard') },
      gateway: { root: 'devices', child: app, done: () => app.call('outcomes').then(verifiedOf) },
    };
    const sign = ({ id, secret }) => signMessage(Buffer.from(secret, 'hex'), `devices/${id}/telemetry`, bodyOf(), Date.now(), randomBytes(16).toString('base64url'));
    // Until the gateway has subscribed a message reaches nobody.
    while ((await sides.gateway.done()) === 0) {
      await publishers[0].publishAsync(`devices/${devices[0].id}/telemetry`, sign(devices[0]), { qos: 1 });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const results = { bare: { rates: [], perCpu: [] }, gateway: { rates: [], perCpu: [] } };
    for (let round = 0; round <= rounds; round += 1) {
      for (const [name, side] of Object.entries(sides)) {
        const batch = Array.from({ length: messages }, (_, index) => {
          const device = devices[index % DEVICES];
          return [`${side.root}/${device.id}/telemetry`, sign(device)];
        });
        // The tenant's bucket fills again.
        await new Promise((resolve) => setTimeout(resolve, messages));
        const recorded = profile !== undefined && name === 'gateway' && round === rounds;
        if (recorded) await app.call('startProfile');
        const { rate, perCpu } = await measureRound(side, publishers, batch);
        if (recorded) await app.call('stopProfile', { file: profile });
        if (round > 0) results[name].rates.push(rate) && results[name].perCpu.push(perCpu);
      }
    }
    return results;
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function measureRound({ child, done }, publishers, batch) {
  const before = await done();
  const cpu = await child.call('cpu');
  const start = performance.now();
  let next = 0;
  const lane = async (client) => {
    while (next < batch.length) await client.publishAsync(...batch[next++], { qos: 1 });
  };
  await Promise.all(publishers.flatMap((client) => Array.from({ length: IN_FLIGHT }, () => lane(client))));
  while ((await done()) - before < batch.length) {
    if (performance.now() - start > LIMIT_MS) throw new Error(`only ${(await done()) - before} of ${batch.length} messages arrived`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const seconds = (performance.now() - start) / 1000;
  return { rate: batch.length / seconds, perCpu: batch.length / (((await child.call('cpu')) - cpu) / 1e6) };
}

function verifiedOf({ verified = 0, ...others }) {
  const { known: _, ...bad } = others;
  if (Object.keys(bad).length > 0) throw new Error(`the gateway refused messages: ${JSON.stringify(bad)}`);
  return verified;
}

function bodyOf() {
  return { data: { t: Math.round(Math.random() * 400) / 10, humidity: 40, unit: 'celsius', where: 'hall', samples: Array.from({ length: 16 }, (_, i) => i / 10) } };
}

async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject).listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
