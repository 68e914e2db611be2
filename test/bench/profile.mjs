/**
 * `node test/bench/profile.mjs FILE.cpuprofile…`: where the server's time went, by part and by function. Time of a built-in
 * (`hash`, `JSON.parse`, a write to a socket) counts for the function that calls it.
 */
import { readFileSync } from 'node:fs';

const TOP = 40;

for (const file of process.argv.slice(2)) {
  const { parts, functions, total } = readProfile(JSON.parse(readFileSync(file, 'utf8')));
  process.stdout.write(`\n${file}\n${table(parts, total)}\n\n${table(functions.slice(0, TOP), total)}\n`);
}

/** Shares of the time in which the process did something; the profiler's own work is left out. */
function readProfile({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])));
  const parts = new Map();
  const functions = new Map();
  let total = 0;
  samples.forEach((id, index) => {
    const { callFrame } = byId.get(id);
    if (callFrame.functionName === '(idle)' || callFrame.functionName === 'dispatch') return;
    const time = timeDeltas[index];
    total += time;
    add(functions, nameOf(callFrame), time);
    add(parts, partOf(id, byId, parents), time);
  });
  const sorted = (map) => [...map].sort((a, b) => b[1] - a[1]);
  return { parts: sorted(parts), functions: sorted(functions), total };
}

/** The room of the nearest function on the stack that is ours, or the part of Node that ran without one. */
function partOf(id, byId, parents) {
  for (let at = id; at !== undefined; at = parents.get(at)) {
    const { functionName, url } = byId.get(at).callFrame;
    if (functionName === '(garbage collector)') return 'garbage collector';
    const own = /\/dist\/([^/]+(?:\/[^/]+)?)\.js$/.exec(url);
    if (own) return own[1];
    if (url.endsWith('/test/bench/bare.mjs')) return 'bare server';
    if (url.startsWith('node:_http') || url.startsWith('node:internal/http')) return 'node:http';
    const library = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url);
    if (library) return library[1];
  }
  const { functionName, url } = byId.get(id).callFrame;
  return url.startsWith('node:') ? 'node: streams, sockets, timers' : functionName;
}

function nameOf({ functionName, url, lineNumber }) {
  const place = url === '' ? '' : ` ${url.replace(/^.*\/(dist|node_modules)\//, '')}:${lineNumber + 1}`;
  return `${functionName || '(anonymous)'}${place}`;
}

function add(map, key, value) {
  map.set(key, (map.get(key) ?? 0) + value);
}

function table(entries, total) {
  return entries.map(([name, time]) => `${((time / total) * 100).toFixed(1).padStart(6)} %  ${name}`).join('\n');
}
