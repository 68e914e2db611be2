import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { issueAuthority, issueCertificate } from './pki/certificate-issue.js';
import { toPem } from './pki/der.js';
import type { AltName } from './pki/extensions.js';
import { identityUri } from './pki/identity-uri.js';
import { issuerOf, type Issuer } from './pki/issuer.js';
import { algorithmOf, generateKey, privatePem, signBytes, spkiOf, type KeyType } from './pki/keys.js';
import { PROFILES, type CertificateProfile } from './pki/profiles.js';
import { SystemClock } from './platform/clock/clock.js';
import { isCanonicalUuid } from './platform/http/uuid-param.js';

export const CERT_HELP = `  cert ca --out DIR [--name CN] [--type EC|RSA]
                       an authority on this machine: ca.pem, and ca-key.pem that only its owner may read
  cert broker --ca FILE --key FILE --host NAME[,NAME] --out DIR
                       a broker's certificate: broker.pem, broker-key.pem
  cert device --ca FILE --key FILE --device-id UUID [--tenant UUID] [--days N] --out DIR
                       a device's certificate: client.pem, client-key.pem
  cert show FILE       what a certificate says
  cert verify --ca FILE CERT
                       whether the authority signed it and it is in its time
`;

const DAY_MS = 86_400_000;
const CA_DAYS = 3_650;
/** Of an installation without tenants, such as Mosquitto alone. */
const NO_TENANT = '00000000-0000-0000-0000-000000000000';

type Options = Readonly<Record<string, string | undefined>>;

class UsageError extends Error {}

/** `portcullis cert …`: the authority's own code on files, without a database. Answers an exit code. */
export async function runCert(args: string[], print: (text: string) => void): Promise<number> {
  try {
    const text = { type: 'string' } as const;
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { ca: text, key: text, host: text, out: text, name: text, type: text, tenant: text, days: text, 'device-id': text },
    });
    const [command = '', file = ''] = positionals;
    switch (command) {
      case 'ca':
        return await makeAuthority(values, print);
      case 'broker':
        return await makeBroker(values, print);
      case 'device':
        return await makeDevice(values, print);
      case 'show':
        print(new X509Certificate(readFileSync(file)).toString() + describe(file));
        return 0;
      case 'verify':
        return verify(needed(values, 'ca'), file, print);
      default:
        throw new UsageError(`portcullis cert: ca, broker, device, show or verify, not "${command}"`);
    }
  } catch (error) {
    if (!(error instanceof UsageError) && (error as NodeJS.ErrnoException).code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION') throw error;
    print(`${(error as Error).message}\n\n${CERT_HELP}`);
    return 2;
  }
}

async function makeAuthority(options: Options, print: (text: string) => void): Promise<number> {
  const out = needed(options, 'out');
  const type = options['type'] ?? 'EC';
  if (type !== 'EC' && type !== 'RSA') throw new UsageError('--type is EC or RSA');
  const key = await generateKey(type satisfies KeyType);
  const algorithm = algorithmOf(key);
  const issued = await issueAuthority(
    { algorithm, self: (bytes) => signBytes(algorithm, key, bytes) },
    { commonName: options['name'] ?? 'Portcullis local CA', organization: 'Portcullis', spki: spkiOf(key), lifeMs: CA_DAYS * DAY_MS, now: new SystemClock().now() },
  );
  write(out, 'ca', toPem('CERTIFICATE', issued.der), privatePem(key), print);
  return 0;
}

async function makeBroker(options: Options, print: (text: string) => void): Promise<number> {
  const hosts = needed(options, 'host').split(',').map((host) => host.trim()).filter((host) => host !== '');
  const [first] = hosts;
  if (first === undefined) throw new UsageError('--host names at least one host');
  const names = hosts.map((host): AltName => (isIP(host) === 0 ? { dns: host } : { ip: host }));
  return make(options, PROFILES.server, first, names, 'broker', print);
}

async function makeDevice(options: Options, print: (text: string) => void): Promise<number> {
  const id = needed(options, 'device-id');
  const tenantId = options['tenant'] ?? NO_TENANT;
  if (!isCanonicalUuid(id) || !isCanonicalUuid(tenantId)) throw new UsageError('--device-id and --tenant are UUIDs in lower case');
  return make(options, PROFILES.device, id, [{ uri: identityUri({ kind: 'device', tenantId, id }) }], 'client', print);
}

async function make(
  options: Options,
  profile: CertificateProfile,
  commonName: string,
  altNames: readonly AltName[],
  name: string,
  print: (text: string) => void,
): Promise<number> {
  const out = needed(options, 'out');
  const days = Number(options['days'] ?? profile.defaultMs / DAY_MS);
  if (!(days >= 1 && days * DAY_MS <= profile.maxMs)) throw new UsageError(`--days is 1 to ${profile.maxMs / DAY_MS}`);
  const issuer = readIssuer(needed(options, 'ca'), needed(options, 'key'));
  const key = await generateKey('EC');
  const issued = await issueCertificate(issuer, {
    profile, commonName, altNames, spki: spkiOf(key), ttlMs: days * DAY_MS, now: new SystemClock().now(),
  });
  write(out, name, toPem('CERTIFICATE', issued.der), privatePem(key), print);
  return 0;
}

function readIssuer(certificate: string, keyFile: string): Issuer {
  const parsed = new X509Certificate(readFileSync(certificate));
  const key = createPrivateKey(readFileSync(keyFile));
  if (!parsed.checkPrivateKey(key)) throw new UsageError(`${keyFile} is not the key of ${certificate}`);
  return issuerOf(parsed.raw, null, (algorithm, bytes) => signBytes(algorithm, key, bytes));
}

function verify(ca: string, file: string, print: (text: string) => void): number {
  const authority = new X509Certificate(readFileSync(ca));
  const certificate = new X509Certificate(readFileSync(file));
  const now = new SystemClock().now();
  const signed = certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  const timely = Date.parse(certificate.validFrom) <= now && now < Date.parse(certificate.validTo);
  print(!signed ? `${file}: not signed by ${ca}\n` : timely ? `${file}: OK\n` : `${file}: outside its validity\n`);
  return signed && timely ? 0 : 1;
}

function describe(file: string): string {
  const { subject, issuer, serialNumber, validFrom, validTo, subjectAltName = '', fingerprint256, ca } = new X509Certificate(readFileSync(file));
  return [
    `subject      ${subject.replaceAll('\n', ', ')}`, `names        ${subjectAltName}`, `issuer       ${issuer.replaceAll('\n', ', ')}`,
    `serial       ${serialNumber.toLowerCase()}`, `valid        ${validFrom} to ${validTo}`, `authority    ${ca ? 'yes' : 'no'}`,
    `SHA-256      ${fingerprint256}`, '',
  ].join('\n');
}

/** The key is never readable for others, not even for a moment; nothing that exists is overwritten. */
function write(folder: string, name: string, certificate: string, key: string, print: (text: string) => void): void {
  mkdirSync(folder, { recursive: true });
  const keyFile = path.join(folder, `${name}-key.pem`);
  const file = path.join(folder, `${name}.pem`);
  writeFileSync(keyFile, key, { mode: 0o600, flag: 'wx' });
  chmodSync(keyFile, 0o600);
  writeFileSync(file, certificate, { flag: 'wx' });
  print(`${file}\n${keyFile}\n`);
}

function needed(options: Options, name: string): string {
  const value = options[name];
  if (value === undefined || value === '') throw new UsageError(`--${name} is needed`);
  return value;
}
