import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { GENERATED_VARIABLES, type GeneratedSecrets } from './variables.js';

const FILE = 'secrets.json';

/**
 * Secrets of a development installation: made once, kept in the data directory with mode 0600, so that tokens and sealed rows
 * outlive a restart. The caller holds the directory, so nobody else writes it.
 */
export function loadGeneratedSecrets(dataDir: string): GeneratedSecrets {
  const file = path.join(dataDir, FILE);
  const known = readExisting(file);
  const missing = GENERATED_VARIABLES.filter((name) => !known[name]);
  if (missing.length === 0) return known;
  const complete = { ...known, ...Object.fromEntries(missing.map((name) => [name, generate(name)])) };
  // Written aside and renamed: a crash in between leaves the old file whole.
  writeFileSync(`${file}.new`, `${JSON.stringify(complete, null, 2)}\n`, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
  return complete;
}

function readExisting(file: string): GeneratedSecrets {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  // A broken file must stop the start: new master keys would make every sealed row unreadable.
  const parsed: unknown = JSON.parse(text);
  if (parsed === null || typeof parsed !== 'object') throw new Error(`${file} is not a secrets file`);
  return parsed;
}

function generate(name: (typeof GENERATED_VARIABLES)[number]): string {
  return name === 'SECRETS_MASTER_KEYS' ? `dev1:${randomBytes(32).toString('base64')}` : randomBytes(36).toString('base64url');
}
