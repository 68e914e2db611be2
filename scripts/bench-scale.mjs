/**
 * `node scripts/bench-scale.mjs`: a large fleet. Registers devices in bulk into a real Postgres, lets each connect once through the
 * real door, and compares latency with that of a small fleet; then two gate processes on one Redis with one.
 *
 *   --devices N   how many (100 000)
 *   --gates       also one and two gate processes; needs `redis-server`
 *   --json FILE   writes all figures
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { prepareOrExit } from './prepare.mjs';
import { freePorts, onStage } from '../test/bench/stage.mjs';

const LIMIT_MS = 600_000;
const FEW = 1_000;
const BULK = 2_500;
const CONNECTIONS = 8;

const { values: options } = parseArgs({ options: { devices: { type: 'string', default: '100000' }, gates: { type: 'boolean', default: false }, json: { type: 'string' } } });
const total = Number(options.devices);
if (!(Number.isInteger(total) && total >= FEW)) {
  process.stderr.write(`--devices must be a whole number of at least ${FEW}\n`);
  process.exit(2);
}

await prepareOrExit();
await onStage(LIMIT_MS, async (stage) => {
  const figures = await measure(stage);
  process.stdout.write(`${report(figures)}\n`);
  if (options.json) await fs.writeFile(options.json, `${JSON.stringify(figures, null, 2)}\n`);
});

async function measure(stage) {
  const note = (text) => process.stderr.write(`${text}\n`);
  const loadAtStart = os.loadavg()[0];
  const postgres = await stage.postgres();
  const env = await stage.environment(postgres);
  const load = stage.child('scale-load.mjs');
  const app = stage.child('scale-app.mjs');
  const opened = await app.call('open', { env });
  const idle = await app.call('memory');

  note('A small fleet…');
  const file = path.join(stage.folder, 'devices.ndjson');
  await register(app, file, 0, FEW);
  await load.call('prepare', { file, secret: opened.secret });
  await load.call('connectAll', { port: opened.port, from: 0, to: FEW, connections: CONNECTIONS });
  const few = await latency(load, opened.port, FEW);

  note('Registering the rest…');
  const started = performance.now();
  for (let from = FEW; from < total; from += BULK) {
    await register(app, file, from, Math.min(BULK, total - from));
    if ((from - FEW) % 25_000 === 0) note(`  ${from}`);
  }
  const registrationSeconds = (performance.now() - started) / 1000;
  const registered = await app.call('memory');

  note('Each connects once…');
  await load.call('prepare', { file, secret: opened.secret });
  const connects = { answers: 0, refused: 0, seconds: 0 };
  for (let from = 0; from < total; from += BULK) {
    const part = await load.call('connectAll', { port: opened.port, from, to: Math.min(total, from + BULK), connections: CONNECTIONS });
    connects.answers += part.answers;
    connects.refused += part.refused;
    connects.seconds += part.seconds;
    if (from % 25_000 === 0) note(`  ${from}, ${Math.round(part.answers / part.seconds)}/s`);
  }
  const connected = await app.call('memory');
  const many = await latency(load, opened.port, total);
  const lateMemory = await app.call('memory');
  const metrics = await (await fetch(`http://127.0.0.1:${opened.port}/metrics`)).text();
  const denials = metrics.split('\n').filter((line) => line.startsWith('portcullis_decisions_total') && line.includes('"deny"'));
  if (denials.length > 0) note(denials.join('\n'));
  const gates = options.gates ? await measureGates({ stage, postgres, env, secret: opened.secret, load, note, app }) : null;
  return {
    at: new Date().toISOString(), node: process.version, cpu: os.cpus()[0]?.model.trim(), cores: os.cpus().length, total, loadAtStart, loadAtEnd: os.loadavg()[0],
    registrationSeconds, registeredIn: total - FEW, connects, memory: { idle, registered, connected, late: lateMemory }, few, many, gates,
  };
}

/** Latency with one question under way on each connection, at half of what the door answers so. */
async function latency(load, port, devices) {
  const one = { port, devices: Math.min(devices, 10_000), connections: CONNECTIONS };
  await load.call('flood', { ...one, seconds: 2 });
  const most = await load.call('flood', { ...one, seconds: 2 });
  const rate = Math.round(most.answers / most.seconds / 2);
  const runs = [];
  for (let i = 0; i < 3; i += 1) runs.push(await load.call('pace', { ...one, seconds: 4, rate }));
  runs.sort((a, b) => a.p99 - b.p99);
  return { rate, ...runs[1] };
}

async function register(app, file, from, count) {
  await app.call('register', { file, from, count });
}

/** The same fleet behind one gate process and behind two, each a process of its own on one Redis and one Postgres. */
async function measureGates({ stage, postgres, env, secret, load, note, app }) {
  note('Gate processes…');
  await app.stop();
  const [redisPort] = await freePorts(1);
  const redis = spawn('redis-server', ['--port', String(redisPort), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', stage.folder], { stdio: 'ignore' });
  const ended = new Promise((resolve) => redis.once('exit', resolve).once('error', resolve));
  stage.onStop(async () => (redis.kill('SIGTERM'), void (await ended)));
  await reachable(redisPort);
  const gates = [];
  // The same secrets, each in a data directory of its own.
  for (let index = 0; index < 2; index += 1) await fs.cp(env.PORTCULLIS_DATA_DIR, `${env.PORTCULLIS_DATA_DIR}-${index}`, { recursive: true });
  for (let index = 0; index < 2; index += 1) {
    const [internalPort] = await freePorts(1);
    const gate = stage.child('scale-app.mjs');
    const shared = { ...env, DATABASE_URL: postgres.url, PORTCULLIS_ROLE: 'gate', PORTCULLIS_DATA_DIR: `${env.PORTCULLIS_DATA_DIR}-${index}`, REDIS_URL: `redis://127.0.0.1:${redisPort}`, INTERNAL_PORT: String(internalPort), MQTT_URL: 'mqtt://127.0.0.1:1' };
    gates.push(await gate.call('open', { env: shared }));
  }
  const other = stage.child('scale-load.mjs');
  await other.call('prepare', { file: path.join(stage.folder, 'devices.ndjson'), secret });
  const run = (generator, port) => generator.call('flood', { port, devices: FEW, connections: 4, pipelining: 16, seconds: 3 });
  const rounds = [];
  for (let round = 0; round < 4; round += 1) {
    const alone = await run(load, gates[0].port);
    const both = await Promise.all([run(load, gates[0].port), run(other, gates[1].port)]);
    const sum = both.reduce((rate, { answers, seconds }) => rate + answers / seconds, 0);
    rounds.push({ one: alone.answers / alone.seconds, two: sum, each: both.map(({ answers, seconds }) => answers / seconds) });
  }
  return { rounds: rounds.slice(1) };
}

function report({ total, registeredIn, registrationSeconds, connects, memory, few, many, gates, loadAtStart, loadAtEnd, cpu, node }) {
  const mib = (bytes) => `${Math.round(bytes / 1_048_576)} MiB`;
  const ms = (value) => value.toFixed(2);
  const rows = [
    ['registered in bulk, with a secret each', `${registeredIn} in ${registrationSeconds.toFixed(1)} s (${Math.round(registeredIn / registrationSeconds)}/s)`],
    ['connected once each', `${connects.answers} in ${connects.seconds.toFixed(1)} s (${Math.round(connects.answers / connects.seconds)}/s)`],
    ['… refused at first, and let in a second later', String(connects.refused)],
    ['memory of the process (RSS): started', mib(memory.idle.rss)],
    ['… after the registrations', mib(memory.registered.rss)],
    [`… after ${total} connects`, `${mib(memory.connected.rss)} (most ever: ${mib(memory.late.mostRss)})`],
    [`mqtt-acl with ${FEW} devices, ${few.rate}/s`, `p50 ${ms(few.p50)} ms, p99 ${ms(few.p99)} ms`],
    [`mqtt-acl with ${total} devices, ${many.rate}/s`, `p50 ${ms(many.p50)} ms, p99 ${ms(many.p99)} ms`],
    ...(gates ? [['answers a second of two gate processes to one, load generators on the same cores', gates.rounds.map(({ one, two }) => `${(two / one).toFixed(2)} (${Math.round(two)}/${Math.round(one)})`).join(', ')]] : []),
  ];
  return ['| | |', '|---|---|', ...rows.map((row) => `| ${row.join(' | ')} |`), '', `Node ${node}, ${cpu}. Load of the machine at the start ${loadAtStart.toFixed(1)}, at the end ${loadAtEnd.toFixed(1)}.`].join('\n');
}

async function reachable(port) {
  for (let i = 0; i < 100; i += 1) {
    const open = await new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1').once('connect', () => (socket.destroy(), resolve(true))).once('error', () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('redis-server did not start: is it installed?');
}
