/**
 * `npm run simulate -- --devices 50`: registers devices, connects them, sends signed telemetry and answers commands, until Ctrl-C or
 * for `--seconds`. The last line is a summary in JSON.
 *
 *   --devices N        how many (5)
 *   --interval MS      between two messages of one device (1000)
 *   --seconds S        how long (until Ctrl-C)
 *   --clockless N      the last N have no clock: they ask for challenges and sign those (0)
 *   --misbehave WHAT   `replay`, `bad-signature` or `stale`: every tenth message of the first device is one
 *   --api URL          http://localhost:3000
 *   --mqtt URL         of the broker; by default what the registration answers, over plain MQTT
 *   --email, --password   of an ADMIN; by default ADMIN_EMAIL and ADMIN_PASSWORD
 */
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { connect } from 'mqtt';
import { challengeMessage, challengesOf, message, sign, verify } from '../docs/examples/device.mjs';

const text = (fallback) => ({ type: 'string', default: fallback });
const { values: options } = parseArgs({
  options: {
    devices: text('5'),
    interval: text('1000'),
    seconds: text('0'),
    clockless: text('0'),
    misbehave: text(''),
    api: text('http://localhost:3000'),
    mqtt: text(''),
    email: text(process.env.ADMIN_EMAIL ?? 'admin@localhost.localdomain'),
    password: text(process.env.ADMIN_PASSWORD ?? ''),
  },
});
const MISBEHAVIOUR = ['', 'replay', 'bad-signature', 'stale'];
const summary = { devices: 0, sent: 0, acknowledged: 0, challenged: 0, misbehaved: 0, commands: 0, refusedCommands: 0, errors: 0 };

if (!MISBEHAVIOUR.includes(options.misbehave)) throw new Error(`--misbehave is one of ${MISBEHAVIOUR.slice(1).join(', ')}`);
const token = await login();
const run = randomBytes(3).toString('hex');
const fleet = [];
for (let i = 0; i < Number(options.devices); i += 1) fleet.push(await start(i));
if (Number(options.seconds) > 0) setTimeout(() => void stop(), Number(options.seconds) * 1000);
process.once('SIGINT', () => void stop());

async function call(method, path, body, headers = {}) {
  const response = await fetch(`${options.api}/api/v1${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer.code ?? ''} ${answer.detail ?? answer.title ?? ''}`);
  return answer;
}

async function login() {
  const { email, password } = options;
  return (await call('POST', '/auth/login', { email, password })).access_token;
}

async function start(index) {
  const slug = `sim-${run}-${index}`;
  const device = await call('POST', '/devices', { slug, credentials: ['secret', 'hmac'], clockless: index >= Number(options.devices) - Number(options.clockless) }, { authorization: `Bearer ${token}` });
  const url = options.mqtt || `mqtt://${device.mqtt.host}:${device.mqtt.ports.mqtt ?? 1883}`;
  const client = connect(url, {
    clientId: device.mqtt.clientId,
    username: device.mqtt.username,
    password: device.client_secret,
    protocolVersion: 4,
  });
  client.on('error', () => (summary.errors += 1));
  if (device.clockless) device.answers = new Map();
  client.on('message', (topic, payload) => hear(device, client, topic, payload.toString('utf8')));
  await new Promise((resolve) => client.once('connect', resolve));
  await client.subscribeAsync([`devices/${device.id}/commands`, `devices/${device.id}/config/challenge`], { qos: 1 });
  summary.devices += 1;
  send(device, client, 'status', { status: 'ONLINE' });
  const memory = { count: 0, last: '' };
  // Spread over the interval, so that fifty devices are not one crowd.
  const timer = setInterval(() => say(device, client, index, memory), Number(options.interval) * (0.8 + 0.4 * Math.random()));
  return { client, timer };
}

function say(device, client, index, memory) {
  memory.count += 1;
  const topic = `devices/${device.id}/telemetry`;
  if (index === 0 && options.misbehave !== '' && memory.count % 10 === 0) {
    summary.misbehaved += 1;
    return publish(client, topic, misbehave(device, topic, memory));
  }
  const body = { data: { n: memory.count, t: Math.round(Math.random() * 400) / 10 } };
  if (device.clockless) return void sayChallenged(device, client, topic, body);
  memory.last = message(device.hmac_secret, topic, body);
  publish(client, topic, memory.last);
}

/** A message that the verifier must refuse. */
function misbehave(device, topic, { count, last }) {
  const body = { data: { n: count } };
  if (options.misbehave === 'bad-signature') return message('00'.repeat(32), topic, body);
  const stale = options.misbehave === 'stale';
  const ts = stale ? Date.now() - 3_600_000 : Date.now();
  const nonce = stale || last === '' ? randomBytes(16).toString('base64url') : JSON.parse(last).nonce;
  return JSON.stringify({ ts, nonce, ...body, sig: sign(device.hmac_secret, topic, ts, nonce, body) });
}

function hear(device, client, topic, payload) {
  if (!topic.endsWith('/config/challenge')) return obey(device, client, topic, payload);
  const { nonce } = JSON.parse(payload).data;
  const answer = challengesOf(device.hmac_secret, topic, payload, nonce);
  if (answer === null) return;
  device.answers?.get(nonce)?.(answer.challenges);
  device.answers?.delete(nonce);
}

/** Without a clock: asks for a challenge, then signs it in place of the time. */
async function sayChallenged(device, client, topic, body) {
  const nonce = randomBytes(16).toString('base64url');
  const answer = new Promise((resolve) => device.answers.set(nonce, resolve));
  client.publish(`devices/${device.id}/events/challenge`, JSON.stringify({ nonce }), { qos: 1 });
  const [challenge] = await answer;
  summary.challenged += 1;
  publish(client, topic, challengeMessage(device.hmac_secret, topic, challenge, body));
}

function obey(device, client, topic, payload) {
  const command = verify(device.hmac_secret, topic, payload);
  if (command === null) {
    summary.refusedCommands += 1;
    return;
  }
  summary.commands += 1;
  send(device, client, 'ack', { cmdId: command.cmdId, status: 'ACKED' });
}

function send(device, client, channel, body) {
  const topic = `devices/${device.id}/${channel}`;
  if (device.clockless) return void sayChallenged(device, client, topic, body);
  publish(client, topic, message(device.hmac_secret, topic, body));
}

function publish(client, topic, payload) {
  summary.sent += 1;
  client.publish(topic, payload, { qos: 1 }, (error) => {
    if (error) summary.errors += 1;
    else summary.acknowledged += 1;
  });
}

async function stop() {
  for (const { timer } of fleet) clearInterval(timer);
  // What is under way is acknowledged first, if the broker is still there.
  const until = Date.now() + 3_000;
  while (summary.acknowledged + summary.errors < summary.sent && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
  for (const { client } of fleet) client.end(true);
  console.log(JSON.stringify(summary));
  process.exit(0);
}
