/**
 * `npm run bench:guard`: what the guard of REST (who calls, and may they) costs as a share of a request. The same route of one process is
 * asked with the guard's work and without it, in turn, batch by batch.
 *
 *   --rounds N      batches of each kind that count, after one to warm up (9)
 *   --requests N    requests of a batch (150)
 */
import http from 'node:http';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { prepareOrExit } from './prepare.mjs';
import { pinThisProcess, usableCores } from '../test/bench/child.mjs';
import { onStage } from '../test/bench/stage.mjs';

const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '9' }, requests: { type: 'string', default: '150' } } });
const rounds = Number(options.rounds);
const requests = Number(options.requests);
if (!(rounds >= 1 && requests >= 1)) {
  process.stderr.write('--rounds and --requests must be positive numbers\n');
  process.exit(2);
}
const CROWD = 8;
const LIMIT_MS = 175_000;

await prepareOrExit();
await onStage(LIMIT_MS, async (stage) => void process.stdout.write(`${await measure(stage)}\n`));

async function measure(stage) {
  const cores = usableCores();
  const [serverCore, ownCore] = cores.length > 1 ? cores : [];
  if (ownCore !== undefined) pinThisProcess(ownCore);
  const app = stage.child('guard-app.mjs', { core: serverCore });
  const { port, deviceId, credentials } = await app.call('open', { env: await stage.environment(await stage.postgres()) });
  const agent = new http.Agent({ keepAlive: true, maxSockets: CROWD });
  stage.onStop(() => agent.destroy());
  const explain = JSON.stringify({ action: 'publish', topic: `devices/${deviceId}/telemetry` });
  const routes = [
    { name: 'from memory (`POST /devices/{id}/explain`)', method: 'POST', url: `/api/v1/devices/${deviceId}/explain`, body: explain },
    { name: 'one transaction (`GET /devices/{id}`)', method: 'GET', url: `/api/v1/devices/${deviceId}` },
  ];
  const cases = routes.flatMap((route) => Object.entries(credentials).map(([credential, authorization]) => ({ route, credential, authorization })));
  const ask = ({ route, credential, authorization }, guarded) => new Promise((resolve, reject) => {
    const headers = { authorization, ...(guarded ? {} : { 'x-bench-known-as': credential }), ...(route.body === undefined ? {} : { 'content-type': 'application/json' }) };
    http.request({ agent, port, host: '127.0.0.1', method: route.method, path: route.url, headers }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${route.name}: ${answer.statusCode}`));
      answer.resume().once('end', resolve);
    }).once('error', reject).end(route.body);
  });
  const batch = async (which, guarded, lanes) => {
    let left = requests;
    const before = await app.call('cpu');
    const started = performance.now();
    const lane = async () => {
      while (left-- > 0) await ask(which, guarded);
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    return { ms: (performance.now() - started) / requests, cpu: ((await app.call('cpu')) - before) / requests };
  };

  const rows = [];
  for (const which of cases) {
    process.stderr.write(`${which.route.name}, ${which.credential}…\n`);
    for (const guarded of [true, false]) await batch(which, guarded, CROWD);
    const runs = { alone: [], crowd: [] };
    for (let round = 0; round < rounds; round += 1) {
      for (const [kind, lanes] of [['alone', 1], ['crowd', CROWD]]) {
        const order = round % 2 === 0 ? [true, false] : [false, true];
        const pair = {};
        for (const guarded of order) pair[guarded ? 'with' : 'without'] = await batch(which, guarded, lanes);
        runs[kind].push(pair);
      }
    }
    rows.push({ ...which, alone: shares(runs.alone), crowd: shares(runs.crowd) });
  }
  return table(rows, cores.length > 1);
}

/** Medians over the rounds; a share is of its own round's pair. */
function shares(pairs) {
  const of = (pick) => median(pairs.map(pick));
  return {
    with: of((pair) => pair.with.ms),
    without: of((pair) => pair.without.ms),
    share: of((pair) => 1 - pair.without.ms / pair.with.ms),
    cpu: of((pair) => pair.with.cpu - pair.without.cpu),
    cpuShare: of((pair) => 1 - pair.without.cpu / pair.with.cpu),
  };
}

function table(rows, pinned) {
  const percent = (share) => `${Math.round(share * 100)} %`;
  return [
    '| route | credential | one at a time: without, with the guard | share | CPU of the guard | share of CPU | requests/s of eight at once: without, with | share |',
    '|---|---|---:|---:|---:|---:|---:|---:|',
    ...rows.map(({ route, credential, alone, crowd }) => `| ${[
      route.name, credential, `${alone.without.toFixed(2)}, ${alone.with.toFixed(2)} ms`, `**${percent(alone.share)}**`,
      `${Math.round(crowd.cpu)} µs`, percent(crowd.cpuShare), `${Math.round(1000 / crowd.without)}, ${Math.round(1000 / crowd.with)}`, `**${percent(crowd.share)}**`,
    ].join(' | ')} |`),
    '',
    `Medians of ${rounds} pairs of batches of ${requests} requests, with and without in turn; Node ${process.version}, `
      + `${pinned ? 'server on a core of its own, Postgres and generator on another' : 'cores not pinned'}, load at the end ${os.loadavg()[0].toFixed(1)}.`,
  ].join('\n');
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
