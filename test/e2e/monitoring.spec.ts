import fs from 'node:fs/promises';
import { ALL_REASONS } from '../../src/broker/reason-catalogue.js';
import { TestApp } from '../factories/app.js';

const DASHBOARD = 'docker/grafana/portcullis.json';
const ALERTS = 'docker/prometheus/alerts.yml';

/** Series of an exposition (text format 0.0.4), by name, with the labels that are seen on it. */
function seriesOf(text: string): Map<string, Set<string>> {
  const series = new Map<string, Set<string>>();
  for (const [, name = '', type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    for (const suffix of type === 'histogram' || type === 'summary' ? ['_bucket', '_sum', '_count'] : ['']) series.set(`${name}${suffix}`, new Set());
  }
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)\{([^}]*)\}/gm)) {
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) series.get(name)?.add(label);
  }
  return series;
}

describe('the dashboard and the alert rules', () => {
  let series: Map<string, Set<string>>;
  const texts = new Map<string, string>();

  beforeAll(async () => {
    const app = await TestApp.start();
    try {
      // Labels are seen once something was counted.
      await app.ask('mqtt-auth', { clientid: 'nobody' });
      await app.ask('mqtt-acl', { clientid: 'nobody' });
      const device = await app.registerDevice('seen');
      await app.ask('mqtt-auth', { clientid: device.id, username: device.id, password: device.client_secret, listener_kind: 'token' });
      series = seriesOf(await (await fetch(`http://127.0.0.1:${app.internalPort}/metrics`)).text());
    } finally {
      await app.stop();
    }
    for (const file of [DASHBOARD, ALERTS]) texts.set(file, await fs.readFile(file, 'utf8'));
  });

  const text = (file: string): string => texts.get(file) ?? '';

  it.each([DASHBOARD, ALERTS])('%s uses only metrics that exist', (file) => {
    const used = new Set([...text(file).matchAll(/\bportcullis_\w+/g)].map(([name]) => name));
    expect(used.size).toBeGreaterThan(5);
    expect([...used].filter((name) => !series.has(name))).toEqual([]);
  });

  it.each([DASHBOARD, ALERTS])('%s asks only for labels that its metrics have', (file) => {
    const foreign = [...text(file).replaceAll('\\"', '"').matchAll(/\b(portcullis_\w+)\{([^}]*)\}/g)].flatMap(([, name = '', labels = '']) =>
      [...labels.matchAll(/(\w+)(?:=~|!=|=)"/g)].map(([, label = '']) => label)
        .filter((label) => !['job', 'instance'].includes(label) && series.get(name)?.has(label) !== true)
        .map((label) => `${name}{${label}}`));
    expect(foreign).toEqual([]);
  });

  it.each([DASHBOARD, ALERTS])('%s names only reasons that exist', (file) => {
    const reasons = [...text(file).replaceAll('\\"', '"').matchAll(/reason=~?"([^"]+)"/g)].flatMap(([, list = '']) => list.split('|'));
    expect(reasons.length).toBeGreaterThan(0);
    expect(reasons.filter((reason) => !Object.hasOwn(ALL_REASONS, reason))).toEqual([]);
  });

  it('show every metric that is our own, somewhere', () => {
    const own = [...series.keys()].map((name) => name.replace(/_(sum|count)$/, '_bucket')).filter((name) => !/^portcullis_(process|nodejs)_/.test(name));
    expect(own.length).toBeGreaterThan(8);
    expect(own.filter((name) => !text(DASHBOARD).includes(name))).toEqual([]);
  });

  it('are a dashboard that Grafana can import: panels with ids of their own, none over another', () => {
    const { panels } = JSON.parse(text(DASHBOARD)) as { panels: { id: number; gridPos: { x: number; y: number; w: number; h: number } }[] };
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`));
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...panels.map(({ gridPos }) => gridPos.x + gridPos.w))).toBeLessThanOrEqual(24);
  });

  it('say with every alert how bad it is and what it means', () => {
    const alerts = text(ALERTS).split(/^ {6}- alert: /m).slice(1);
    expect(alerts.length).toBeGreaterThan(5);
    for (const alert of alerts) expect(alert).toMatch(/^\w+\n {8}expr: [^]+ {8}labels: \{ severity: (critical|warning) \}\n {8}annotations:\n {10}summary: ".+"\n {10}description: ".+"/);
    expect(new Set(alerts.map((alert) => alert.split('\n')[0])).size).toBe(alerts.length);
  });
});
