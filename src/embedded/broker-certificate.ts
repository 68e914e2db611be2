import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';

/** PEM. */
export interface BrokerIdentity {
  readonly certificate: string;
  readonly key: string;
}

export type ServerName = { readonly dns: string } | { readonly ip: string };

/** How a certificate for these names is made; the first name is the common name. */
export type IssueServer = (names: readonly ServerName[]) => Promise<{ certificate: string; chain: string; privateKey?: string }>;

const FOLDER = 'broker';
/** One that has less left is replaced at the next start. */
const RESERVE_MS = 30 * 86_400_000;

/**
 * The embedded broker's certificate: made at the first start, kept in the data directory (the key 0600), and made anew when it ends
 * soon, names another host, or rests on a root that is no longer ours.
 */
export async function brokerIdentity(dataDir: string, publicHost: string, root: string, now: number, issue: IssueServer): Promise<BrokerIdentity> {
  const folder = path.join(dataDir, FOLDER);
  const names: ServerName[] = [...new Set([publicHost, 'localhost', '127.0.0.1', '::1'])].map((name) => (isIP(name) === 0 ? { dns: name } : { ip: name }));
  const held = read(folder);
  if (held !== null && isGood(held, publicHost, root, now)) return held;
  const { certificate, chain, privateKey = '' } = await issue(names);
  const made = { certificate: certificate + chain, key: privateKey };
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  replace(path.join(folder, 'key.pem'), made.key, 0o600);
  replace(path.join(folder, 'certificate.pem'), made.certificate, 0o644);
  return made;
}

function read(folder: string): BrokerIdentity | null {
  try {
    return { certificate: readFileSync(path.join(folder, 'certificate.pem'), 'utf8'), key: readFileSync(path.join(folder, 'key.pem'), 'utf8') };
  } catch {
    return null;
  }
}

function isGood({ certificate }: BrokerIdentity, publicHost: string, root: string, now: number): boolean {
  try {
    const parsed = new X509Certificate(certificate);
    const named = isIP(publicHost) === 0 ? parsed.checkHost(publicHost) : parsed.checkIP(publicHost);
    return named !== undefined && Date.parse(parsed.validTo) - now > RESERVE_MS && certificate.endsWith(root);
  } catch {
    return false;
  }
}

/** Written aside and renamed: a crash in between leaves the old file whole. */
function replace(file: string, text: string, mode: number): void {
  writeFileSync(`${file}.new`, text, { mode, flush: true });
  renameSync(`${file}.new`, file);
}
