/** From measurements to a table. */
import os from 'node:os';

/** Medians by target, and the ratio of each to its measure: the median of the rounds' own ratios. */
export function summarize({ targets, measured, latencies, audit, conditions }) {
  const rows = targets.map(({ name, measure }) => {
    const runs = measured.get(name);
    const ratios = measure === undefined ? null : runs.map(({ rps }, round) => rps / measured.get(measure)[round].rps);
    const cpuRatios = measure === undefined ? null : runs.map(({ cpu }, round) => measured.get(measure)[round].cpu / cpu);
    return {
      name,
      measure: measure ?? null,
      ratio: ratios && median(ratios),
      ratios,
      cpuRatio: cpuRatios && median(cpuRatios),
      rps: median(runs.map(({ rps }) => rps)),
      cpuMicroseconds: median(runs.map(({ cpu }) => cpu)),
      serverBusy: median(runs.map(({ serverBusy }) => serverBusy)),
      loadBusy: median(runs.map(({ loadBusy }) => loadBusy)),
      latency: latencies.get(name),
      runs,
    };
  });
  const [processor] = os.cpus();
  const machine = { node: process.version, processor: processor?.model.trim() ?? 'unknown', cores: conditions.cores };
  return { at: new Date().toISOString(), conditions, machine, audit, rows };
}

export function markdown({ conditions, machine, audit, rows }) {
  const header = ['', 'ratio', 'of the rounds', 'ratio of CPU', 'requests/s', 'server CPU µs', 'server busy', 'p50 ms', 'p99 ms', 'at requests/s'];
  const table = [
    header,
    header.map((_, index) => (index === 0 ? '---' : '---:')),
    ...rows.map(({ name, ratio, ratios, cpuRatio, rps, cpuMicroseconds, serverBusy, latency }) => [
      name,
      ratio === null ? '1' : `**${ratio.toFixed(2)}**`,
      ratios === null ? '' : `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`,
      cpuRatio === null ? '1' : cpuRatio.toFixed(2),
      thousands(rps),
      cpuMicroseconds.toFixed(1),
      percent(serverBusy),
      latency.p50.toFixed(2),
      latency.p99.toFixed(2),
      thousands(latency.rate),
    ]),
  ].map((cells) => `| ${cells.join(' | ')} |`);
  const { rounds, seconds, connections, pipelining, devices } = conditions;
  return [
    ...table,
    '',
    `Medians of ${rounds} rounds of ${seconds} s; ${connections} connections, ${pipelining} questions under way on each, ${devices} devices.`
      + ` Node ${machine.node}, ${machine.processor}, ${machine.cores.length > 1 ? 'server and generator on a core each' : 'cores not pinned'}.`
      + ` The security log took in ${thousands(audit.noted)} connects and wrote ${thousands(audit.written)} rows meanwhile.`,
  ].join('\n');
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function thousands(value) {
  return Math.round(value).toLocaleString('en-US').replaceAll(',', ' ');
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}
