/**
 * `npm run bench:pki`: what certificates cost, as ratios measured side by side in one run.
 *
 *   certificates issued and stored from requests, to the floor of one P-256 verification, one signature and one INSERT
 *   `mqtt-acl` while certificates are issued and lists are made as fast as it goes, to the same while nothing else is done
 *   a list of 100 000 entries, to `openssl ca -gencrl` on the same entries
 *
 *   --rounds N      rounds that count, after one to warm up (5)
 *   --seconds N     length of one measurement (2)
 *   --entries N     entries of the large list (100000)
 *   --unbound       no process is kept to one core: the kernel shares them out
 *   --json FILE     writes all figures
 *   --profile DIR   CPU profile of issuing, after the rounds
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { prepareOrExit } from './prepare.mjs';
import { mayGoFirst, pinThisProcess, usableCores } from '../test/bench/child.mjs';
import { onStage } from '../test/bench/stage.mjs';

const LIMIT_MS = 600_000;
const DEVICES = 512;
const CSRS = 8_000;
const WARM = 2_500;
const LANES = 32;
const CONNECTIONS = 8;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    entries: { type: 'string', default: '100000' },
    unbound: { type: 'boolean', default: false },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const entries = Number(options.entries);
if (!(rounds >= 1 && seconds > 0 && entries >= 1)) {
  process.stderr.write('--rounds, --seconds and --entries must be positive numbers\n');
  process.exit(2);
}

await prepareOrExit();
await onStage(LIMIT_MS, async (stage) => {
  const report = await measure(stage);
  process.stdout.write(markdown(report));
  if (options.json) await fs.writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
});

async function measure(stage) {
  const cores = usableCores();
  const [serverCore, loadCore] = cores.length > 1 && !options.unbound ? cores : [];
  // Postgres, openssl and the load generator share the other core.
  if (loadCore !== undefined) pinThisProcess(loadCore);
  const note = (text) => process.stderr.write(`${text}\n`);
  const loadBefore = os.loadavg()[0];
  note('Starting Postgres and the application, making requests…');
  const postgres = await stage.postgres();
  // Postgres is on its core too, and much at work: an answer that is there must not wait for that to be looked at.
  const goesFirst = mayGoFirst();
  const load = stage.child('load.mjs', { core: loadCore, first: goesFirst });
  // V8 counts the machine's cores, not those that the process may use: four helpers would share the one core with the event loop.
  const app = stage.child('pki-app.mjs', { core: serverCore, ...(serverCore === undefined ? {} : { env: { NODE_OPTIONS: '--v8-pool-size=1' } }) });
  const { port } = await app.call('open', { env: await stage.environment(postgres) });
  const file = path.join(stage.folder, 'devices.json');
  await app.call('prepare', { file, count: DEVICES, csrs: CSRS });
  await app.call('openFloor', { url: postgres.url });
  await load.call('prepare', { file });

  // Code that ran a few hundred times is not yet what runs in the end.
  note('Warming up…');
  for (let issued = 0; issued < WARM;) issued += (await app.call('issueRate', { lanes: LANES, seconds: 2 })).count;
  const issuing = [];
  for (let round = 0; round <= rounds; round += 1) {
    note(`Issuing, round ${round} of ${rounds}…`);
    const floor = await app.call('floorRate', { lanes: LANES, seconds });
    const ours = await app.call('issueRate', { lanes: LANES, seconds });
    if (round > 0) issuing.push({ floor, ours, ratio: ours.perSecond / floor.perSecond, cpuRatio: floor.cpu / ours.cpu });
  }
  if (options.profile) {
    await fs.mkdir(options.profile, { recursive: true });
    await app.call('startProfile');
    await app.call('issueRate', { lanes: LANES, seconds });
    await app.call('stopProfile', { file: path.resolve(options.profile, 'issuing.cpuprofile') });
  }

  const one = { port, kind: 'acl', connections: CONNECTIONS, pipelining: 1, seconds: seconds / 2 };
  await load.call('flood', one);
  const most = await load.call('flood', one);
  // Well below what the door answers alone: what is asked for is how long a question waits, not how many are answered.
  const paceRate = Math.max(50, Math.round(most.answers / most.seconds / 20));
  const latency = [];
  for (let round = 0; round <= rounds; round += 1) {
    note(`Door beside the authority, round ${round} of ${rounds}…`);
    const idle = await load.call('pace', { ...one, seconds, rate: paceRate, sleeps: true });
    await app.call('startBackground', { lanes: LANES });
    const busy = await load.call('pace', { ...one, seconds, rate: paceRate, sleeps: true });
    const background = await app.call('stopBackground');
    if (round > 0) latency.push({ idle, busy, background, ratio: busy.p99 / idle.p99 });
  }
  // A hundredth of one round is a handful of answers that came at a bad moment: the answers of all rounds are looked at together.
  const [idle, busy] = ['idle', 'busy'].map((state) => shares(latency.flatMap((round) => round[state].latencies)));
  for (const round of latency) for (const state of ['idle', 'busy']) delete round[state].latencies;
  const waits = { idle, busy, ratio: busy.p99 / idle.p99 };

  note(`A list of ${entries} entries…`);
  const filled = await app.call('fill', { url: postgres.url, count: entries });
  const first = await app.call('list');
  const openssl = await gencrl(stage.folder, filled);
  const lists = [];
  for (let round = 1; round <= rounds; round += 1) {
    await app.call('revokeOne');
    lists.push({ ours: await app.call('list'), openssl: round === 1 ? openssl : await gencrl(stage.folder, filled) });
  }
  return {
    at: new Date().toISOString(), node: process.version, cores: cores.length, load: { before: loadBefore, after: os.loadavg()[0] },
    conditions: { rounds, seconds, entries, lanes: LANES, paceRate, goesFirst }, issuing, latency, waits, first, lists,
  };
}

/** `openssl ca -gencrl` on a database of the same entries: milliseconds and the most memory that it had. */
async function gencrl(folder, { at, serials }) {
  const ca = path.join(folder, 'ca');
  await fs.rm(ca, { recursive: true, force: true });
  await fs.mkdir(ca);
  const stamp = (time) => `${new Date(time).toISOString().slice(2, 19).replace(/[-:T]/g, '')}Z`;
  const end = stamp(Date.parse(at) + 90 * 86_400_000);
  await fs.writeFile(path.join(ca, 'index.txt'), serials.map((serial) => `R\t${end}\t${stamp(at)},keyCompromise\t${serial.toUpperCase()}\tunknown\t/CN=device\n`).join(''));
  await fs.writeFile(path.join(ca, 'crlnumber'), '01\n');
  await fs.writeFile(path.join(ca, 'ca.cnf'), `[ca]\ndefault_ca=own\n[own]\ndatabase=${ca}/index.txt\ncrlnumber=${ca}/crlnumber\ndefault_md=sha256\ndefault_crl_days=7\ncrl_extensions=crl\n[crl]\nauthorityKeyIdentifier=keyid:always\n[req]\ndistinguished_name=dn\n[dn]\n`);
  await run(['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', path.join(ca, 'key.pem')]);
  await run(['req', '-x509', '-new', '-config', path.join(ca, 'ca.cnf'), '-key', path.join(ca, 'key.pem'), '-subj', '/CN=bench', '-days', '30', '-addext', 'basicConstraints=critical,CA:TRUE',
    '-addext', 'subjectKeyIdentifier=hash', '-out', path.join(ca, 'ca.pem')]);
  return run(['ca', '-gencrl', '-config', path.join(ca, 'ca.cnf'), '-keyfile', path.join(ca, 'key.pem'), '-cert', path.join(ca, 'ca.pem'), '-out', path.join(ca, 'crl.pem')]);
}

function run(words) {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const openssl = spawn('openssl', words, { stdio: ['ignore', 'ignore', 'pipe'] });
    let memory = 0;
    let said = '';
    openssl.stderr.on('data', (chunk) => (said += chunk));
    const watch = setInterval(() => (memory = Math.max(memory, residentOf(openssl.pid))), 5);
    openssl.once('error', reject);
    openssl.once('exit', (code) => {
      clearInterval(watch);
      if (code === 0) resolve({ ms: performance.now() - started, memory });
      else reject(new Error(`openssl ${words[0]}: ${said}`));
    });
  });
}

function residentOf(pid) {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

function markdown({ issuing, latency, waits, first, lists, load, conditions }) {
  const of = (list, pick) => median(list.map(pick));
  const span = (list, pick) => `${Math.min(...list.map(pick)).toFixed(2)}–${Math.max(...list.map(pick)).toFixed(2)}`;
  const mib = (bytes) => `${Math.round(bytes / 1024 / 1024)} MiB`;
  return [
    `Load of the machine ${load.before.toFixed(1)} before, ${load.after.toFixed(1)} after; ${conditions.rounds} rounds of ${conditions.seconds} s, ${conditions.lanes} at once.`,
    '',
    '| | a second | CPU µs each | ratio | of the rounds | ratio of CPU |',
    '|---|---:|---:|---:|---:|---:|',
    `| floor: a P-256 verification, a signature, an INSERT | ${Math.round(of(issuing, ({ floor }) => floor.perSecond))} | ${Math.round(of(issuing, ({ floor }) => floor.cpu))} | 1 | | 1 |`,
    `| request in, certificate out, stored and audited | ${Math.round(of(issuing, ({ ours }) => ours.perSecond))} | ${Math.round(of(issuing, ({ ours }) => ours.cpu))} | **${of(issuing, ({ ratio }) => ratio).toFixed(2)}** | ${span(issuing, ({ ratio }) => ratio)} | ${of(issuing, ({ cpuRatio }) => cpuRatio).toFixed(2)} |`,
    '',
    `| \`mqtt-acl\`, ${conditions.paceRate} questions a second | p50 ms | p99 ms | ratio of p99 | of the rounds |`,
    '|---|---:|---:|---:|---:|',
    `| nothing else | ${waits.idle.p50.toFixed(2)} | ${waits.idle.p99.toFixed(2)} | 1 | |`,
    `| issuing ${Math.round(of(latency, ({ background }) => background.issuedPerSecond))} and making ${of(latency, ({ background }) => background.listsPerSecond).toFixed(1)} lists a second | ${waits.busy.p50.toFixed(2)} | ${waits.busy.p99.toFixed(2)} | **${waits.ratio.toFixed(2)}** | ${span(latency, ({ ratio }) => ratio)} |`,
    '',
    `| a list of ${conditions.entries} entries | ms | memory | longest stall of the event loop |`,
    '|---|---:|---:|---:|',
    `| \`openssl ca -gencrl\` | ${Math.round(of(lists, ({ openssl }) => openssl.ms))} | ${mib(of(lists, ({ openssl }) => openssl.memory))} | |`,
    `| ours, every entry new, ready to be served | ${Math.round(first.ms)} | ${mib(first.memory)} more | ${first.stallMs.toFixed(0)} ms |`,
    `| ours, one entry more than before | ${Math.round(of(lists, ({ ours }) => ours.ms))} | ${mib(Math.max(...lists.map(({ ours }) => ours.memory)))} more | ${Math.max(...lists.map(({ ours }) => ours.stallMs)).toFixed(0)} ms |`,
    '',
  ].join('\n');
}

function shares(list) {
  const sorted = list.sort((a, b) => a - b);
  const at = (share) => sorted[Math.floor(sorted.length * share)];
  return { p50: at(0.5), p99: at(0.99) };
}

function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
