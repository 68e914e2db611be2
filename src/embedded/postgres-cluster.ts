import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { type Account, type Launcher, SERVER_ENVIRONMENT } from './postgres-launcher.js';

/** Passwords of one cluster: 256 random bits each, safe in a URL and in an SQL literal. */
export interface ClusterPasswords {
  readonly superuser: string;
  readonly owner: string;
}

export const SUPERUSER = 'postgres';

/** Only this machine, only with a password. */
const ACCESS_RULES = 'host all all 127.0.0.1/32 scram-sha-256\n';

/**
 * Creates the cluster where there is none yet and gives its files to the account the server runs as.
 *
 * It is made under a passing name and renamed: an interrupted initdb leaves PG_VERSION behind, and a half-made
 * cluster must never be taken for a whole one.
 *
 * @returns the passwords, kept in `postgres.json` (0600).
 */
export async function ensureCluster(dataDir: string, cluster: string, launcher: Launcher): Promise<ClusterPasswords> {
  const secretsFile = path.join(dataDir, 'postgres.json');
  const owner = await ownerOf(cluster);
  if (owner !== undefined) {
    const uid = process.getuid?.() ?? owner;
    if (uid !== 0 && uid !== owner) {
      throw new Error(
        `The embedded PostgreSQL's data in ${cluster} belongs to another user (uid ${owner}): ` +
          'start Portcullis as that user or set PORTCULLIS_DATA_DIR.',
      );
    }
    await giveTo(cluster, launcher.owner);
    return readPasswords(secretsFile);
  }
  const passwords = { superuser: randomPassword(), owner: randomPassword() };
  const fresh = `${cluster}.new`;
  const passwordFile = path.join(dataDir, 'postgres.password');
  await fs.rm(fresh, { recursive: true, force: true });
  await fs.mkdir(fresh, { mode: 0o700 });
  try {
    await writePrivate(passwordFile, passwords.superuser);
    await giveTo(fresh, launcher.owner);
    await giveTo(passwordFile, launcher.owner);
    await initdb(launcher, fresh, passwordFile);
  } finally {
    await fs.rm(passwordFile, { force: true });
  }
  await fs.writeFile(path.join(fresh, 'pg_hba.conf'), ACCESS_RULES);
  await writePrivate(secretsFile, JSON.stringify(passwords));
  await fs.rename(fresh, cluster);
  return passwords;
}

async function initdb(launcher: Launcher, cluster: string, passwordFile: string): Promise<void> {
  const binary = path.join(launcher.binaries, 'initdb');
  const [command = binary, ...rest] = [
    ...launcher.prefix,
    binary,
    `--pgdata=${cluster}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // Code-point order with Unicode case rules, the same on every machine whatever its locales.
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
  ];
  const child = spawn(command, rest, {
    cwd: '/',
    env: SERVER_ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...launcher.spawnAs,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  if (code !== 0) {
    throw new Error(`The embedded PostgreSQL could not create its cluster in ${cluster}:\n${lastLines(output)}`);
  }
}

/** The last few lines of a log: what a person needs to see of it. */
export function lastLines(text: string, count = 12): string {
  return text.trim().split('\n').slice(-count).join('\n');
}

async function readPasswords(file: string): Promise<ClusterPasswords> {
  const text = await fs.readFile(file, 'utf8').catch(() => '');
  const { superuser, owner } = /^\{"superuser":"(?<superuser>[\w-]+)","owner":"(?<owner>[\w-]+)"\}$/.exec(text)?.groups ?? {};
  if (superuser === undefined || owner === undefined) {
    throw new Error(`The passwords of the embedded PostgreSQL in ${file} are missing: restore that file from a backup.`);
  }
  return { superuser, owner };
}

async function writePrivate(file: string, content: string): Promise<void> {
  const passing = `${file}.new`;
  await fs.rm(passing, { force: true });
  const handle = await fs.open(passing, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await fs.rename(passing, file);
}

/** Changes the owner of a file or a whole folder, where the present one is another. Only root can, and only it needs to. */
async function giveTo(target: string, owner: Account | undefined): Promise<void> {
  const found = await fs.lstat(target);
  if (owner === undefined || found.uid === owner.uid) return;
  if (found.isDirectory()) {
    for (const name of await fs.readdir(target)) await giveTo(path.join(target, name), owner);
  }
  await fs.lchown(target, owner.uid, owner.gid);
}

function randomPassword(): string {
  return randomBytes(32).toString('base64url');
}

async function ownerOf(target: string): Promise<number | undefined> {
  return fs.lstat(target).then(
    (found) => found.uid,
    () => undefined,
  );
}
