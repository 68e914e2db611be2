import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = process.cwd();
const CRUISER = path.join(ROOT, 'node_modules', 'dependency-cruiser', 'bin', 'dependency-cruise.mjs');
const RULES = path.join(ROOT, '.dependency-cruiser.cjs');

interface Breach {
  readonly from: string;
  readonly to: string;
  readonly rule: string;
}

/** Every breach of the import rules below `src` of a folder. */
async function breachesIn(folder: string): Promise<Breach[]> {
  const words = [CRUISER, '--config', RULES, '--output-type', 'json', 'src'];
  const stdout = await run(process.execPath, words, { cwd: folder, maxBuffer: 64_000_000 }).then(
    (done) => done.stdout,
    (failed: { stdout: string }) => failed.stdout,
  );
  const report = JSON.parse(stdout) as {
    summary: { violations: { from: string; to: string; rule: { name: string } }[]; totalCruised: number };
  };
  expect(report.summary.totalCruised).toBeGreaterThan(0);
  return report.summary.violations.map(({ from, to, rule }) => ({ from, to, rule: rule.name }));
}

async function filesBelow(folder: string): Promise<string[]> {
  const names = await fs.readdir(path.join(ROOT, folder), { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(ROOT, path.join(entry.parentPath, entry.name)));
}

/** One planted file each: what it imports, and the rule that must catch it (none: it is allowed). */
const PLANTED: readonly (readonly [file: string, imports: string, rule: string | undefined])[] = [
  ['src/platform/clock/upward.ts', '../../access/permission.js', 'floor-0-imports-upward'],
  ['src/access/upward.ts', '../devices/device.js', 'floor-1-imports-upward'],
  ['src/audit/upward.ts', '../users/users.service.js', 'floor-2-imports-upward'],
  ['src/devices/upward.ts', '../pki/pki.service.js', 'floor-3-imports-upward'],
  ['src/pki/upward.ts', '../lifecycle/lifecycle.service.js', 'floor-4-imports-upward'],
  ['src/lifecycle/upward.ts', '../embedded/broker.js', 'floor-5-imports-upward'],
  ['src/broker/upward.ts', '../app.module.js', 'floor-6-imports-upward'],
  ['src/lifecycle/upward-migrations.ts', '../migrations/migrations.js', 'floor-5-imports-upward'],
  ['src/audit/sideways.ts', '../rate-limit/rate-limit.service.js', 'strangers-audit-rate-limit-idempotency'],
  ['src/users/sideways.ts', '../devices/devices.service.js', 'strangers-users-devices'],
  ['src/auth/sideways.ts', '../pki/pki.service.js', 'strangers-auth-credentials-device-secrets-pki'],
  ['src/embedded/sideways.ts', '../broker/broker.module.js', 'strangers-broker-messages-embedded-broker-lint'],
  ['src/pki/inside-repository.ts', '../devices/devices.repository.js', 'rooms-have-insides'],
  ['src/pki/inside-entity.ts', '../devices/group.entity.js', 'rooms-have-insides'],
  ['src/pki/inside-dto.ts', '../devices/devices.dto.js', 'rooms-have-insides'],
  ['src/pki/inside-controller.ts', '../devices/devices.controller.js', 'rooms-have-insides'],
  ['src/broker/service.ts', '../devices/devices.service.js', 'broker-takes-gates-only'],
  ['src/broker/audit-service.ts', '../audit/audit.service.js', 'broker-takes-gates-only'],
  ['src/messages/service.ts', '../pki/pki.service.js', 'messages-takes-gates-only'],
  ['src/drawer/new-room.ts', '../platform/clock/clock.js', 'unknown-room-imports'],
  ['src/app.drawer.ts', './drawer/new-room.js', 'unknown-room'],
  ['src/devices/circle-a.ts', './circle-b.js', 'no-circular'],
  ['src/devices/tests.ts', '../../test/factory.js', 'src-stands-alone'],
  ['src/devices/nowhere.ts', './nowhere-at-all.js', 'no-unresolvable'],
  ['src/broker/gate.ts', '../devices/devices.gate.js', undefined],
  ['src/broker/order.ts', '../lifecycle/lifecycle.service.js', undefined],
  ['src/messages/off-path.ts', '../audit/audit.service.js', undefined],
  ['src/pki/plain.ts', '../devices/device.js', undefined],
  ['src/pki/service.ts', '../devices/devices.service.js', undefined],
  ['src/devices/own-repository.ts', './devices.repository.js', undefined],
  ['src/main.ts', './embedded/broker.js', undefined],
];

/** What the planted files import: empty modules. */
const EMPTY = [
  'src/access/permission.ts', 'src/audit/audit.service.ts', 'src/rate-limit/rate-limit.service.ts',
  'src/users/users.service.ts', 'src/devices/device.ts', 'src/devices/group.entity.ts', 'src/devices/devices.dto.ts',
  'src/devices/devices.controller.ts', 'src/devices/devices.repository.ts', 'src/devices/devices.service.ts',
  'src/devices/devices.gate.ts', 'src/pki/pki.service.ts', 'src/lifecycle/lifecycle.service.ts',
  'src/broker/broker.module.ts', 'src/embedded/broker.ts', 'src/app.module.ts', 'src/migrations/migrations.ts',
  'src/platform/clock/clock.ts', 'test/factory.ts',
];

describe('the architecture', () => {
  it('has no import that goes up, sideways, in a circle or into the inside of another room', async () => {
    expect(await breachesIn(ROOT)).toEqual([]);
  });

  it('is held by rules that do catch a breach of each kind, and forbid nothing else', async () => {
    const folder = await fs.mkdtemp(path.join(await fs.realpath(os.tmpdir()), 'pc-architecture-'));
    try {
      const plant = async (file: string, text: string): Promise<void> => {
        await fs.mkdir(path.dirname(path.join(folder, file)), { recursive: true });
        await fs.writeFile(path.join(folder, file), text);
      };
      for (const file of EMPTY) await plant(file, 'export type Nothing = never;\n');
      for (const [file, imports] of PLANTED) {
        await plant(file, `import type { Nothing } from '${imports}';\nexport type Again = Nothing;\n`);
      }
      // A circle is reported once, at its first file.
      await plant('src/devices/circle-b.ts', `export type { Again as Nothing } from './circle-a.js';\n`);
      const caught = await breachesIn(folder);
      for (const [file, , rule] of PLANTED) {
        const rules = caught.filter((breach) => breach.from === file).map((breach) => breach.rule);
        expect([file, ...rules]).toEqual(rule === undefined ? [file] : [file, rule]);
      }
    } finally {
      await fs.rm(folder, { recursive: true, force: true });
    }
  });

  it('has no barrel files and no drawers', async () => {
    const files = [...(await filesBelow('src')), ...(await filesBelow('test'))];
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((file) => /(^|\/)index\.[cm]?[jt]s$/.test(file))).toEqual([]);
    expect(files.filter((file) => /(^|\/)(utils?|common|shared|helpers?|misc|lib)\//.test(file))).toEqual([]);
  });

  it('has no file so long that it must be two', async () => {
    const files = (await Promise.all(['src', 'test', 'scripts'].map(filesBelow))).flat();
    const lengths = await Promise.all(
      files
        .filter((file) => /\.[cm]?[jt]s$/.test(file))
        .map(async (file) => ({ file, lines: (await fs.readFile(path.join(ROOT, file), 'utf8')).split('\n').length - 1 })),
    );
    expect(lengths.filter(({ lines }) => lines > 400)).toEqual([]);
  });

  it('reads the environment in one file only', async () => {
    const readers: string[] = [];
    for (const file of await filesBelow('src')) {
      if (!file.endsWith('.ts') || file.endsWith('.spec.ts')) continue;
      if (/process\s*(\.|\[['"])\s*env\b/.test(await fs.readFile(path.join(ROOT, file), 'utf8'))) readers.push(file);
    }
    expect(readers).toEqual(['src/platform/config/environment.ts']);
  });
});
