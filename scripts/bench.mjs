/**
 * `npm run bench`: requests a second at the broker's door as ratios to a bare `node:http` server, measured side by side.
 *
 *   --rounds N      rounds that count, after one to warm up (5)
 *   --seconds N     length of one measurement (2)
 *   --json FILE     writes all figures
 *   --profile DIR   CPU profiles of the server, one for each kind of question, after the rounds
 */
import fs from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { prepareOrExit } from './prepare.mjs';
import { pinThisProcess, usableCores } from '../test/bench/child.mjs';
import { markdown, summarize } from '../test/bench/report.mjs';
import { onStage } from '../test/bench/stage.mjs';

const LIMIT_MS = 175_000;
const DEVICES = 512;
/** More than the verdicts that are kept, so that in turn none of them is found. */
const FRESH_TOKENS = 21_000;
const CONNECTIONS = 8;
const PIPELINING = 16;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
if (!(rounds >= 1 && seconds > 0)) {
  process.stderr.write('--rounds and --seconds must be positive numbers\n');
  process.exit(2);
}

await prepareOrExit();
let doorPort;
await onStage(LIMIT_MS, async (stage) => {
  const report = await measure(stage);
  process.stdout.write(`${markdown(report)}\n`);
  if (options.json) await fs.writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
}, refusals);

async function measure(stage) {
  const cores = usableCores();
  const [serverCore, loadCore] = cores.length > 1 ? cores : [];
  // Postgres is started from here: it shall not share the server's core.
  if (loadCore !== undefined) pinThisProcess(loadCore);
  const note = (text) => process.stderr.write(`${text}\n`);
  note('Starting Postgres, the application and the load generator…');
  const load = stage.child('load.mjs', { core: loadCore });
  const portcullis = stage.child('portcullis.mjs', { core: serverCore });
  const bare = stage.child('bare.mjs', { core: serverCore });
  const { port } = await portcullis.call('open', { env: await stage.environment(await stage.postgres()) });
  doorPort = port;
  const file = path.join(stage.folder, 'devices.json');
  await portcullis.call('register', { file, count: DEVICES, freshTokens: FRESH_TOKENS });
  await load.call('prepare', { file });
  const answer = await load.call('sample', { port, kind: 'secret' });
  const { port: barePort } = await bare.call('open', { answer });

  const servers = { bare: { child: bare, port: barePort }, portcullis: { child: portcullis, port } };
  const targets = [
    { name: 'bare, ACL question', server: 'bare', kind: 'acl' },
    { name: 'mqtt-acl', server: 'portcullis', kind: 'acl', measure: 'bare, ACL question' },
    { name: 'bare, CONNECT with secret', server: 'bare', kind: 'secret' },
    { name: 'mqtt-auth, secret', server: 'portcullis', kind: 'secret', measure: 'bare, CONNECT with secret' },
    { name: 'bare, CONNECT with token', server: 'bare', kind: 'token' },
    { name: 'mqtt-auth, ES256 token seen before', server: 'portcullis', kind: 'token', measure: 'bare, CONNECT with token' },
    { name: 'mqtt-auth, ES256 token seen for the first time', server: 'portcullis', kind: 'fresh', measure: 'bare, CONNECT with token' },
  ];
  const flood = async ({ server, kind }, length) => {
    const under = servers[server];
    const [serverCpu, loadCpu] = await Promise.all([under.child.call('cpu'), load.call('cpu')]);
    const result = await load.call('flood', { port: under.port, kind, connections: CONNECTIONS, pipelining: PIPELINING, seconds: length });
    const [serverAfter, loadAfter] = await Promise.all([under.child.call('cpu'), load.call('cpu')]);
    return {
      rps: result.answers / result.seconds,
      answers: result.answers,
      cpu: (serverAfter - serverCpu) / result.answers,
      serverBusy: (serverAfter - serverCpu) / 1e6 / result.seconds,
      loadBusy: (loadAfter - loadCpu) / 1e6 / result.seconds,
    };
  };

  note('Warming up…');
  const noted = { before: await portcullis.call('audit'), connects: 0 };
  const count = ({ server, kind }, { answers }) => {
    if (server === 'portcullis' && kind !== 'acl') noted.connects += answers;
  };
  for (const { server, kind } of targets) {
    // Gently at first: nothing is in memory yet, and a look-up that waits too long is refused.
    const { answers } = await load.call('flood', { port: servers[server].port, kind, connections: 1, pipelining: 4, seconds: seconds / 2 });
    count({ server, kind }, { answers });
  }
  for (const target of targets) count(target, await flood(target, seconds));
  const measured = new Map(targets.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round += 1) {
    note(`Round ${round} of ${rounds}…`);
    for (const target of targets) {
      const result = await flood(target, seconds);
      count(target, result);
      measured.get(target.name).push(result);
    }
  }
  const audit = await checkAudit(portcullis, noted);

  note('Latency…');
  const latencies = new Map();
  for (const { name, server, kind } of targets) {
    const { port: at } = servers[server];
    const one = { port: at, kind, connections: CONNECTIONS, pipelining: 1, seconds: seconds / 2 };
    const most = await load.call('flood', one);
    const rate = Math.round(most.answers / most.seconds / 2);
    latencies.set(name, { rate, ...(await load.call('pace', { ...one, seconds, rate })) });
  }
  if (options.profile) await profile(targets, servers, flood, note);
  return summarize({ targets, measured, latencies, audit, conditions: { rounds, seconds, cores, connections: CONNECTIONS, pipelining: PIPELINING, devices: DEVICES } });
}

/** What the door counted as refused, with its reasons. */
async function refusals() {
  if (doorPort === undefined) return '';
  const text = await fetch(`http://127.0.0.1:${doorPort}/metrics`).then((response) => response.text(), () => '');
  return text.split('\n').filter((line) => line.includes('result="deny"')).map((line) => `${line}\n`).join('');
}

/** An answer that left no trace would be cheaper: every allowed CONNECT must have been taken in by the security log. */
async function checkAudit(portcullis, { before, connects }) {
  const { written, aggregated, queued, dropped } = await portcullis.call('audit');
  const noted = written + aggregated + queued - (before.written + before.aggregated + before.queued);
  const lost = Object.values(dropped).reduce((sum, one) => sum + one, 0);
  if (noted < connects || lost > 0) throw new Error(`the security log noted ${noted} of ${connects} connects and dropped ${lost}`);
  return { connects, noted, written, aggregated };
}

async function profile(targets, servers, flood, note) {
  await fs.mkdir(options.profile, { recursive: true });
  for (const target of targets) {
    const file = path.resolve(options.profile, `${target.server}-${target.kind}.cpuprofile`);
    const { child: server } = servers[target.server];
    await server.call('startProfile');
    await flood(target, seconds);
    await server.call('stopProfile', { file });
    note(`Profile of ${target.name}: ${file}`);
  }
}
