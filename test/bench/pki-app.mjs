/** The application as an authority under load: the real one, from `dist`, and beside it the floor that its figures are ratios to. */
import { createHash, createPrivateKey, generateKeyPair, randomBytes, randomUUID, sign, verify } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { promisify } from 'node:util';
import pg from 'pg';
import { Permission } from '../../dist/access/permission.js';
import { DevicesService } from '../../dist/devices/devices.service.js';
import { IssuingService } from '../../dist/lifecycle/issuing.service.js';
import { AuthoritiesService } from '../../dist/pki/authorities.service.js';
import { authorityRequest } from '../../dist/pki/authority-request.js';
import { CertificatesService } from '../../dist/pki/certificates.service.js';
import { crlEntry } from '../../dist/pki/crl.js';
import { CrlsService } from '../../dist/pki/crls.service.js';
import { signBytes, spkiOf } from '../../dist/pki/keys.js';
import { Pools } from '../../dist/platform/database/pools.js';
import { Transactions } from '../../dist/platform/database/transactions.js';
import { startRuntime } from '../../dist/runtime.js';
import { TenantsService } from '../../dist/users/tenants.service.js';
import { serve } from './child.mjs';

const PASSWORD = 'correct horse battery staple';
const EMAIL = 'bench@example.test';
const INSERTED = 5_000;

const newKey = promisify(generateKeyPair);
const signAside = promisify(sign);
const verifyAside = promisify(verify);

let runtime;
let tenantId;
let me;
let devices = [];
let requests = [];
let next = 0;
let floor;
let background = null;

async function open({ env }) {
  runtime = await startRuntime({ ADMIN_EMAIL: EMAIL, ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', ...env }, (error) => {
    throw error;
  });
  tenantId = await runtime.app.get(TenantsService).defaultTenantId();
  const { rows } = await runtime.app.get(Pools).reader.query('SELECT id FROM users LIMIT 1');
  me = {
    kind: 'user', id: rows[0].id, tenantId, role: 'ADMIN', platformRole: null, permissions: new Set(Object.values(Permission)), sessionId: null,
    credential: 'bearer',
  };
  return { port: runtime.addresses.internal };
}

/** Registers devices, tells the load generator by `file` who they are, and makes a key and a request for each certificate to come. */
async function prepare({ file, count, csrs }) {
  const { config, addresses } = runtime;
  const api = async (path, type, headers, body) => {
    const answer = await fetch(`${addresses.rest}/api/v1${path}`, { method: 'POST', headers: { 'content-type': type, ...headers }, body });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.text();
  };
  const { access_token: bearer } = JSON.parse(await api('/auth/login', 'application/json', {}, JSON.stringify({ email: EMAIL, password: PASSWORD })));
  const lines = Array.from({ length: count }, (_, index) => JSON.stringify({ slug: `bench-${index}`, credentials: ['secret'] })).join('\n');
  const made = (await api('/devices/bulk', 'application/x-ndjson', { authorization: `Bearer ${bearer}` }, lines)).trim().split('\n').map((line) => JSON.parse(line).device);
  const { rows } = await runtime.app.get(Pools).reader.query('SELECT id, version FROM devices WHERE id = ANY($1)', [made.map(({ id }) => id)]);
  const versions = new Map(rows.map(({ id, version }) => [id, Number(version)]));
  // Half of them get and lose certificates, the other half is asked about: a device whose certificate was revoked is looked up anew,
  // and the question here is what the authority's work costs everybody else.
  const asked = made.slice(0, made.length / 2);
  devices = made.slice(made.length / 2).map(({ id }) => id);
  writeFileSync(file, JSON.stringify({
    secret: config.internal.secrets[0], fresh: [], devices: asked.map(({ id, client_secret: secret }) => ({ id, secret, token: '', version: versions.get(id) })),
  }), { mode: 0o600 });
  for (let i = 0; i < csrs; i += 1) {
    const { privateKey } = await newKey('ec', { namedCurve: 'P-256' });
    requests.push(await authorityRequest({ commonName: 'x', organization: 'y', spki: spkiOf(privateKey), algorithm: 'ecdsa-sha256' }, (bytes) => signBytes('ecdsa-sha256', privateKey, bytes)));
  }
}

/** What no authority can do without: a proof of possession checked, a signature made, a row as long as ours stored for good. */
async function openFloor({ url, certificateBytes = 700 }) {
  const pool = new pg.Pool({ connectionString: url, max: runtime.config.database.poolSize });
  await pool.query('CREATE TABLE bench_floor (id uuid PRIMARY KEY, serial text NOT NULL, certificate bytea NOT NULL, not_after timestamptz NOT NULL)');
  const { privateKey, publicKey } = await newKey('ec', { namedCurve: 'P-256' });
  const key = createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const bytes = randomBytes(500);
  const proof = await signAside('sha256', bytes, key);
  floor = {
    once: async () => {
      if (!(await verifyAside('sha256', bytes, publicKey, proof))) throw new Error('a good signature was refused');
      const signature = await signAside('sha256', bytes, key);
      await pool.query({
        name: 'floor', text: 'INSERT INTO bench_floor (id, serial, certificate, not_after) VALUES ($1, $2, $3, $4)',
        values: [randomUUID(), signature.toString('hex').slice(0, 40), Buffer.concat([randomBytes(certificateBytes - signature.length), signature]), new Date()],
      });
    },
    close: () => pool.end(),
  };
}

/** As the REST route does it: who may ask, the request judged, the certificate signed and stored, the security log written. */
async function issueOne() {
  const at = next;
  next = (next + 1) % requests.length;
  await runtime.app.get(IssuingService).issue(me, devices[at % devices.length], { csr: requests[at] });
}

/** `work` in `lanes` lanes for so long. @returns how many a second, and CPU microseconds of this process each */
async function rate(work, lanes, seconds) {
  const cpu = process.cpuUsage();
  const started = performance.now();
  let count = 0;
  const lane = async () => {
    while (performance.now() - started < seconds * 1000) {
      await work();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const spent = process.cpuUsage(cpu);
  return { perSecond: (count * 1000) / (performance.now() - started), cpu: (spent.user + spent.system) / count, count };
}

/** Revoked certificates that are on no list yet, as if each had been issued and revoked here. */
async function fill({ url, count }) {
  const { authority } = await runtime.app.get(AuthoritiesService).issuing(tenantId);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const at = new Date(Math.floor(Date.now() / 1000) * 1000);
  const entries = [];
  for (let done = 0; done < count; done += INSERTED) {
    const serials = Array.from({ length: Math.min(INSERTED, count - done) }, () => {
      const bytes = randomBytes(20);
      bytes[0] = (bytes[0] & 0x3f) | 0x40;
      return bytes.toString('hex');
    });
    await client.query(
      `INSERT INTO certificates (tenant_id, id, authority_id, serial, profile, certificate, fingerprint, public_key_hash, not_before, not_after,
         revoked_at, revoke_reason, crl_entry)
       SELECT $1, gen_random_uuid(), $2, serial, 'server', '\\x00', 'bench', '\\x00', $3::timestamptz, $3::timestamptz + interval '90 days', $3, 'keyCompromise', entry
         FROM unnest($4::text[], $5::bytea[]) AS r(serial, entry)`,
      [tenantId, authority.id, at, serials, serials.map((serial) => crlEntry(serial, at, 'keyCompromise'))],
    );
    entries.push(...serials);
  }
  await client.query('ANALYZE certificates');
  await client.end();
  return { authority: authority.id, at: at.toISOString(), serials: entries };
}

/** One list, made and ready to be served: milliseconds, the longest stall of the event loop, and how much more memory there was. */
async function list() {
  const crls = runtime.app.get(CrlsService);
  const { authority } = await runtime.app.get(AuthoritiesService).issuing(tenantId);
  globalThis.gc?.();
  const rest = process.memoryUsage().rss;
  let most = rest;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 5);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const started = performance.now();
  await crls.publish(authority.id, tenantId);
  const built = performance.now();
  const { der } = await crls.current(authority.id, tenantId);
  const served = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 20));
  delay.disable();
  clearInterval(watch);
  return {
    ms: served - started, builtMs: built - started, stallMs: delay.max / 1e6, memory: Math.max(most, process.memoryUsage().rss) - rest, bytes: der.length,
    hash: createHash('sha256').update(der).digest('hex'),
  };
}

/** A further revocation, so that the next list has something new to say. */
async function revokeOne() {
  const { app } = runtime;
  const certificates = app.get(CertificatesService);
  const at = next;
  next = (next + 1) % requests.length;
  const { key, authority } = await certificates.prepare(tenantId, { csr: requests[at] });
  const deviceId = devices[at % devices.length];
  await app.get(Transactions).run({ tenantId }, async (tx) => {
    await app.get(DevicesService).lockStates(tx, [deviceId]);
    const { serial } = await certificates.issue(tx, { owner: { kind: 'device', id: deviceId, tenantId }, key, authority });
    await certificates.revoke(tx, [await certificates.revocable(tx, serial)], 'superseded');
  });
}

/** Issues and makes lists as fast as it can until it is told to stop. */
function startBackground({ lanes }) {
  const done = { stop: false, issued: 0, lists: 0 };
  const crls = runtime.app.get(CrlsService);
  const issuing = async () => {
    while (!done.stop) {
      await issueOne();
      done.issued += 1;
    }
  };
  const listing = async () => {
    const { authority } = await runtime.app.get(AuthoritiesService).issuing(tenantId);
    while (!done.stop) {
      await revokeOne();
      await crls.publish(authority.id, tenantId);
      done.lists += 1;
    }
  };
  background = { done, ended: Promise.all([...Array.from({ length: lanes }, issuing), listing()]), since: performance.now() };
}

async function stopBackground() {
  const { done, ended, since } = background;
  done.stop = true;
  const seconds = (performance.now() - since) / 1000;
  await ended;
  return { issuedPerSecond: done.issued / seconds, listsPerSecond: done.lists / seconds };
}

serve({
  open,
  prepare,
  openFloor,
  floorRate: ({ lanes, seconds }) => rate(floor.once, lanes, seconds),
  issueRate: ({ lanes, seconds }) => rate(issueOne, lanes, seconds),
  fill,
  list,
  revokeOne,
  startBackground,
  stopBackground,
}, async () => {
  await floor?.close();
  await runtime?.stop();
});
