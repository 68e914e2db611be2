import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../fakes/installation.js';
import { administer, serverUrl } from './database.js';

const run = promisify(execFile);

export type Values = Record<string, string>;

export const DATABASE_ROLES = ['migrator', 'app', 'gate', 'reader'] as const;
export type DatabaseRole = (typeof DATABASE_ROLES)[number];

/** A copy of `docker/` after `setup.sh` has run in it, and what `docker-compose.yml` then gives to Portcullis. */
export interface SetUp {
  readonly folder: string;
  readonly secrets: string;
  readonly compose: string;
  /** Variables of the service `portcullis`. */
  readonly given: Values;
  /** Runs the script once more. */
  again(): Promise<unknown>;
  remove(): Promise<void>;
}

export async function setUpContainers(): Promise<SetUp> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-docker-'));
  const filter = (name: string): boolean => !name.endsWith('/secrets');
  await fs.cp(path.join(ROOT, 'docker'), path.join(folder, 'docker'), { recursive: true, filter });
  const script = path.join(folder, 'docker', 'setup.sh');
  const words = [script, 'https://iot.example.org', 'mqtt.example.org', 'admin@example.org'];
  const again = (): Promise<unknown> => run('sh', words);
  await again();
  const secrets = path.join(folder, 'docker', 'secrets');
  const compose = await fs.readFile(path.join(ROOT, 'docker-compose.yml'), 'utf8');
  const written = await fs.readFile(path.join(secrets, 'portcullis.env'), 'utf8');
  const given = { ...environmentOf(compose), ...envFile(written) };
  return { folder, secrets, compose, given, again, remove: () => fs.rm(folder, { recursive: true, force: true }) };
}

function envFile(text: string): Values {
  const assignments = [...text.matchAll(/^(\w+)=(.*)$/gm)];
  return Object.fromEntries(assignments.map(([, name = '', value = '']) => [name, value]));
}

/** The members of `services.portcullis.environment`, by their indentation: the file keeps to one form. */
function environmentOf(compose: string): Values {
  const lines = compose.split('\n');
  const service = lines.indexOf('  portcullis:');
  const rest = lines.slice(lines.indexOf('    environment:', service) + 1);
  const end = rest.findIndex((line) => !/^ {6}\S/.test(line));
  return Object.fromEntries(rest.slice(0, end).filter((line) => !line.trim().startsWith('#')).map((line) => {
    const [, name = '', value = ''] = /^ {6}(\w+): (.+)$/.exec(line) ?? [];
    return [name, value];
  }));
}

/** An empty database with the roles of `docker/postgres/init.sh`. */
export interface ProductionDatabase {
  readonly name: string;
  urlOf(role: DatabaseRole): string;
  drop(): Promise<void>;
}

export async function createProductionDatabase(): Promise<ProductionDatabase> {
  const name = `t_docker_${randomBytes(4).toString('hex')}`;
  const [migrator = '', app = '', gate = '', reader = ''] = DATABASE_ROLES.map(() => randomBytes(12).toString('hex'));
  const passwords = { migrator, app, gate, reader };
  await administer(serverUrl(), (client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0`));
  const bin = await fs.mkdtemp(path.join(os.tmpdir(), 'portcullis-psql-'));
  const psql = path.join(ROOT, 'test', 'fakes', 'psql.cjs');
  await fs.writeFile(path.join(bin, 'psql'), `#!/bin/sh\nexec "${process.execPath}" "${psql}" "$@"\n`, { mode: 0o755 });
  const owner = new URL(serverUrl());
  owner.pathname = `/${name}`;
  const given = DATABASE_ROLES.map((role) => [`PORTCULLIS_${role.toUpperCase()}_PASSWORD`, passwords[role]]);
  const code = await exitCode('sh', [path.join(ROOT, 'docker', 'postgres', 'init.sh')], {
    PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    PSQL_FAKE_URL: owner.href,
    POSTGRES_DB: name,
    POSTGRES_USER: 'portcullis',
    ...(Object.fromEntries(given) as Values),
  });
  await fs.rm(bin, { recursive: true });
  if (code !== 0) throw new Error(`init.sh failed (exit ${code})`);
  return {
    name,
    urlOf(role) {
      const url = new URL(owner);
      url.username = `${name}_${role}_login`;
      url.password = passwords[role];
      return url.href;
    },
    drop: () => administer(serverUrl(), async (client) => {
      await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      for (const role of DATABASE_ROLES) {
        await client.query(`DROP ROLE IF EXISTS ${name}_${role}_login, ${name}_${role}`);
      }
    }),
  };
}

/** Runs a program with this environment alone (and PATH) and answers its exit code. */
export function exitCode(command: string, words: readonly string[], env: Values): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: 'ignore' });
    child.once('error', reject);
    child.once('close', resolve);
  });
}
