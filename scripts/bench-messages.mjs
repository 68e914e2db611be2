/**
 * `npm run bench:messages`: the verifier of signed messages as a ratio to bare `createHmac` + `JSON.parse` on the same message, and
 * what the nonce check costs over a Redis of its own, both on one thread; and the gateway end to end on a Mosquitto of its own against an
 * mqtt.js subscriber that only counts. Side by side, the median of the rounds.
 *
 *   --rounds N      rounds that count, after one to warm up (7)
 *   --seconds N     length of one measurement (0.5)
 *   --messages N    of each round through the gateway (2000); 0 leaves it out
 *   --profile FILE  CPU profile of the gateway in the last round (`node test/bench/profile.mjs FILE` reads it)
 */
import { spawn } from 'node:child_process';
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import net from 'node:net';
import { parseArgs } from 'node:util';
import { prepareOrExit } from './prepare.mjs';

const TOPIC = `devices/${randomUUID()}/telemetry`;
const IN_FLIGHT = 100;

const { values } = parseArgs({ options: {
  rounds: { type: 'string', default: '7' }, seconds: { type: 'string', default: '0.5' },
  messages: { type: 'string', default: '2000' }, profile: { type: 'string' } } });
const rounds = Number(values.rounds);
const milliseconds = Number(values.seconds) * 1000;
if (!(rounds >= 1 && milliseconds > 0)) {
  process.stderr.write('--rounds and --seconds must be positive numbers\n');
  process.exit(2);
}

await prepareOrExit();
// All of the program, as in a server: what is loaded tells on how V8 treats strings.
await import('../dist/app.module.js');
const { signMessage } = await import('../dist/messages/signed-message.js');
const { verifyMessage } = await import('../dist/messages/message.decision.js');
const { RedisStore } = await import('../dist/platform/redis/redis-store.js');

process.stdout.write('| what | a second | ratio |\n|---|---|---|\n');
verifier();
await nonces();
if (Number(values.messages) > 0) await gateway();

function verifier() {
  const key = randomBytes(32);
  const now = Date.now();
  const data = { t: 21.5, humidity: 40, unit: 'celsius', where: 'hall', samples: Array.from({ length: 16 }, (_, i) => i / 10) };
  const payload = Buffer.from(signMessage(key, TOPIC, { data }, now, randomBytes(16).toString('base64url')), 'utf8');
  const device = { status: 'ACTIVE', tenantStatus: 'ACTIVE', clockless: false };
  const keys = [{ id: 'one', key, expiresAt: null }];
  const options = { now, requireSignatures: true, rememberedSince: 0, challengeGivenAt: () => null };
  const { data: body, nonce, sig, ts } = JSON.parse(payload.toString('utf8'));
  // The same message as other devices write it: members in the order of the page, and pretty-printed with an unsorted body.
  const forms = [
    ['as it is signed', payload],
    ['its outermost members in another order', Buffer.from(JSON.stringify({ ts, nonce, data: body, sig }), 'utf8')],
    ['unsorted, with white space', Buffer.from(JSON.stringify({ ts, nonce, data, sig }, null, 1), 'utf8')],
  ];
  for (const [index, [name, bytes]] of forms.entries()) {
    const bare = () => createHmac('sha256', key).update(bytes).digest('hex').length + JSON.parse(bytes.toString('utf8')).ts > 0;
    const ours = () => verifyMessage({ topic: TOPIC, payload: bytes }, 'devices', device, keys, options).judgement.ok;
    const rates = { bare: [], ours: [] };
    for (let round = 0; round <= rounds; round += 1) {
      const [first, second] = [rate(bare), rate(ours)];
      if (round > 0) rates.bare.push(first) && rates.ours.push(second);
    }
    if (index === 0) row(`\`createHmac\` + \`JSON.parse\`, ${bytes.length} bytes`, median(rates.bare), 1);
    row(`the verifier on the same message, ${name}`, median(rates.ours), median(rates.ours.map((value, at) => value / rates.bare[at])));
  }
}

/** A second of the processor's time, garbage collection included: what else the machine does changes it little. */
function rate(work) {
  const before = process.cpuUsage();
  let count = 0;
  for (const start = performance.now(); performance.now() - start < milliseconds; count += 200) {
    for (let i = 0; i < 200; i += 1) if (!work()) throw new Error('a good message was refused');
  }
  const { user, system } = process.cpuUsage(before);
  return (count * 1_000_000) / (user + system);
}

async function nonces() {
  const port = await freePort();
  const redis = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], { stdio: 'ignore' });
  const missing = new Promise((resolve) => redis.once('error', () => resolve(true)));
  const store = new RedisStore({ url: `redis://127.0.0.1:${port}`, onEvent: () => undefined });
  try {
    const up = Promise.resolve().then(async () => {
      while (!(await store.ping().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 50));
      return false;
    });
    if (await Promise.race([missing, up])) {
      process.stdout.write('| no redis-server here: the nonce check was not measured | | |\n');
      return;
    }
    const sig = 'ab'.repeat(32);
    const ping = () => store.ping();
    const check = async () => {
      const key = `nonce:gateway:${randomUUID()}`;
      if ((await store.claim(key, sig, 'bench', 10_000, 60_000)) !== 'claimed') throw new Error('a new nonce was refused');
      await store.settle(key, sig, 60_000);
    };
    const rates = { ping: [], one: [], many: [] };
    for (let round = 0; round <= rounds; round += 1) {
      const measured = [await rateOf(ping, IN_FLIGHT), await rateOf(check, 1), await rateOf(check, IN_FLIGHT)];
      if (round > 0) Object.values(rates).forEach((list, index) => list.push(measured[index]));
    }
    const ratio = (list) => median(list.map((value, index) => value / rates.ping[index]));
    row(`PING of Redis, ${IN_FLIGHT} in flight`, median(rates.ping), 1);
    row('nonce claimed and settled, one at a time', median(rates.one), ratio(rates.one));
    row(`nonce claimed and settled, ${IN_FLIGHT} in flight (pipelined)`, median(rates.many), ratio(rates.many));
  } finally {
    await store.close();
    redis.kill('SIGTERM');
  }
}

async function rateOf(work, inFlight) {
  const start = performance.now();
  let count = 0;
  const lane = async () => {
    while (performance.now() - start < milliseconds) {
      await work();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return (count * 1000) / (performance.now() - start);
}

async function gateway() {
  const { measureGateway } = await import('../test/bench/gateway.mjs');
  const measured = await measureGateway({ rounds: Math.min(rounds, 5), messages: Number(values.messages), profile: values.profile });
  if (measured === null) {
    process.stdout.write('| no mosquitto or no redis-server here: the gateway was not measured | | |\n');
    return;
  }
  const { bare, gateway: ours } = measured;
  row('mqtt.js subscriber that only counts, QoS 1: messages a second of CPU', median(bare.perCpu), 1);
  row('the gateway, end to end: messages a second of CPU', median(ours.perCpu), median(ours.perCpu.map((value, index) => value / bare.perCpu[index])));
  row('mqtt.js subscriber: messages a second', median(bare.rates), 1);
  row('the gateway: messages a second', median(ours.rates), median(ours.rates.map((value, index) => value / bare.rates[index])));
}

function row(what, perSecond, ratio) {
  process.stdout.write(`| ${what} | ${Math.round(perSecond)} | ${ratio.toFixed(2)} |\n`);
}

function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
