import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { TenantPurge } from '../../src/lifecycle/tenant-purge.js';
import { AuthoritiesService } from '../../src/pki/authorities.service.js';
import { CrlKeeper } from '../../src/pki/crl-keeper.js';
import { CrlsService } from '../../src/pki/crls.service.js';
import { partsOf, readOne } from '../../src/pki/der-reader.js';
import { Signer } from '../../src/pki/signer.js';
import { TenantsService } from '../../src/users/tenants.service.js';
import { ADMIN, TestApp, type RegisteredDevice } from '../factories/app.js';
import { administer } from '../factories/database.js';
import { OpenSsl } from '../factories/openssl.js';
import { FakeClock } from '../fakes/fake-clock.js';

const DAY_MS = 86_400_000;
const run = promisify(execFile);

interface Issued {
  readonly serial: string;
}

describe('certificates, where something goes wrong in the middle', () => {
  let app: TestApp;
  let clock: FakeClock;
  let folder: string;
  let crlFile: string;
  let tenantId: string;

  beforeAll(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'pki-edges-'));
    crlFile = path.join(folder, 'lists', 'crl.pem');
    clock = new FakeClock(Date.now());
    app = await TestApp.start({ clock, env: { PKI_CRL_FILE: crlFile } });
    tenantId = await app.app.get(TenantsService).defaultTenantId();
  });

  afterAll(async () => {
    await app.stop();
    rmSync(folder, { recursive: true });
  });

  const issue = async (slug: string): Promise<{ device: RegisteredDevice; serial: string }> => {
    const device = await app.registerDevice(slug);
    const { body } = await app.call<Issued>('POST', `/devices/${device.id}/certificates`, { generate: true });
    return { device, serial: body.serial };
  };
  const revoke = (serial: string) => app.call('POST', `/certs/${serial}/revoke`, { reason: 'superseded' });
  const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  /** How many a list names; it throws for one that is not whole. */
  const entriesOf = (der: Buffer): number => {
    const parts = partsOf(partsOf(readOne(der))[0]);
    const list = parts.at(-2);
    return list?.tag === 0x30 ? partsOf(list).length : 0;
  };

  it('the file of lists is whole whenever somebody reads it, and newer from time to time', async () => {
    // Large enough that it is not written in one go.
    const { authority } = await app.app.get(AuthoritiesService).issuing(tenantId);
    await administer(app.database.url, (client) => client.query(
      `INSERT INTO certificates (tenant_id, id, authority_id, serial, profile, certificate, fingerprint, public_key_hash, not_before, not_after, revoked_at, revoke_reason, crl_entry)
       SELECT $1, gen_random_uuid(), $2, s, 'server', '\\x00', '', '\\x00', now(), now() + interval '90 days', now(), 'superseded',
         decode('3025' || '0214' || s || '170d' || encode('260101000000Z', 'hex') , 'hex')
         FROM (SELECT '4' || substr(md5(n::text) || md5((n + 1)::text), 1, 39) AS s FROM generate_series(1, 4000) n) serials`,
      [tenantId, authority.id],
    ));
    await app.app.get(CrlKeeper, { strict: false }).tick();
    let done = false;
    let last = '';
    const seen = new Set<number>();
    const reading = (async () => {
      while (!done) {
        const text = readFileSync(crlFile, 'utf8');
        if (text !== last) seen.add(Math.max(...text.split(/(?<=-----END X509 CRL-----\n)/).map((list) => entriesOf(derOf(list)))));
        last = text;
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let i = 0; i < 6; i += 1) {
      const { serial } = await issue(`filed-${i}`);
      await revoke(serial);
      await app.app.get(CrlKeeper, { strict: false }).tick();
    }
    done = true;
    await reading;
    expect([...seen].sort()).toEqual([4_000, 4_001, 4_002, 4_003, 4_004, 4_005, 4_006].filter((count) => seen.has(count)));
    expect(seen.size).toBeGreaterThan(2);
    expect(Math.max(...readFileSync(crlFile, 'utf8').split(/(?<=-----END X509 CRL-----\n)/).map((list) => entriesOf(derOf(list))))).toBe(4_006);
  });

  it('the list before is served whole when its successor’s builder is killed in the middle of its transaction', async () => {
    const { authority } = await app.app.get(AuthoritiesService).issuing(tenantId);
    const crls = app.app.get(CrlsService);
    const { serial } = await issue('killed');
    const before = await crls.current(authority.id, tenantId);
    const signer = app.app.get(Signer, { strict: false });
    const sign = signer.sign.bind(signer);
    // The list is put together and about to be stored: now the server loses its builder, as by a kill.
    const signing = jest.spyOn(signer, 'sign').mockImplementation(async (key, algorithm, bytes) => {
      const signature = await sign(key, algorithm, bytes);
      if (bytes.length < 10_000) return signature;
      await administer(app.database.url, (client) => client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()`,
      ));
      return signature;
    });
    // The revocation itself has committed; only its list is missing.
    const revoked = await revoke(serial);
    expect([500, 503]).toContain(revoked.status);
    signing.mockRestore();
    const { body } = await app.call<{ status: string }>('GET', `/certs/${serial}`);
    expect(body.status).toBe('revoked');
    expect((await crls.current(authority.id, tenantId))?.der).toEqual(before?.der);
    await app.app.get(CrlKeeper, { strict: false }).tick();
    const after = await crls.current(authority.id, tenantId);
    expect(after?.number).toBe((before?.number ?? 0n) + 1n);
    expect(entriesOf(after?.der ?? Buffer.alloc(0))).toBe(entriesOf(before?.der ?? Buffer.alloc(0)) + 1);
  });

  it('a tenant goes with its authorities, certificates, requests and lists, and takes nothing of another with it', async () => {
    const { body: tenant } = await app.call<{ id: string }>('POST', '/tenants', { slug: 'doomed', name: 'Doomed' });
    const inside = async () => ({ ...(await app.loginAs(ADMIN.email, ADMIN.password)), 'x-tenant': 'doomed' });
    const headers = await inside();
    const { body: device } = await app.call<RegisteredDevice>('POST', '/devices', { slug: 'pump' }, headers);
    const { body: issued } = await app.call<Issued>('POST', `/devices/${device.id}/certificates`, { generate: true }, headers);
    await app.call('POST', '/authorities/roll-over', {}, headers);
    await app.call('POST', '/authorities/requests', {}, headers);
    await app.call('POST', `/devices/${device.id}/certificates`, { generate: true }, headers);
    await app.call('POST', `/certs/${issued.serial}/revoke`, { reason: 'superseded' }, headers);
    const { body: listed } = await app.call<{ items: { id: string; kind: string }[] }>('GET', '/authorities', undefined, headers);
    const own = listed.items.filter(({ kind }) => kind === 'issuing').map(({ id }) => id);
    expect(own).toHaveLength(2);
    expect((await fetch(`${app.url}/pki/${own[1]}/crl.pem`)).status).toBe(200);
    const others = await count('certificates');
    const gone = await app.call('DELETE', `/tenants/${tenant.id}?reason=gone&grace=1h`);
    expect({ status: gone.status, body: gone.status === 200 ? {} : gone.body }).toEqual({ status: 200, body: {} });
    clock.advance(DAY_MS);
    await app.app.get(TenantPurge, { strict: false }).purge();
    for (const table of ['certificates', 'certificate_authorities', 'authority_requests', 'certified_keys']) {
      expect({ table, rows: await count(table, tenant.id) }).toEqual({ table, rows: 0 });
    }
    expect(await count('crls WHERE authority_id = ANY($1::uuid[])', own)).toBe(0);
    expect(await count('certificates')).toBe(others - 2);
    expect(await app.app.get(AuthoritiesService).issuing(tenantId)).toBeDefined();
  });

  it('the scripts make an authority, a broker’s and a device’s certificate that openssl accepts', async () => {
    const openssl = await OpenSsl.open();
    const id = '0f0e0d0c-0b0a-4908-8706-050403020100';
    const script = (name: string, ...words: string[]) => run('sh', [`scripts/pki/${name}`, ...words, '--out', openssl.folder], { timeout: 60_000 });
    const by = ['--ca', openssl.file('ca.pem'), '--key', openssl.file('ca-key.pem')];
    try {
      await script('init-ca.sh', '--name', 'Bench CA');
      await script('generate-broker-cert.sh', ...by, '--host', 'mqtt.example.test,127.0.0.1');
      await script('generate-device-cert.sh', ...by, '--device-id', id);
      expect(await openssl.must('verify', '-x509_strict', '-CAfile', 'ca.pem', '-purpose', 'sslserver', '-verify_hostname', 'mqtt.example.test', 'broker.pem')).toBe('broker.pem: OK\n');
      expect(await openssl.must('verify', '-x509_strict', '-CAfile', 'ca.pem', '-purpose', 'sslclient', 'client.pem')).toBe('client.pem: OK\n');
      expect(await openssl.must('x509', '-in', 'client.pem', '-noout', '-subject')).toContain(id);
      for (const key of ['ca-key.pem', 'broker-key.pem', 'client-key.pem']) expect(statSync(openssl.file(key)).mode & 0o777).toBe(0o600);
    } finally {
      await openssl.close();
    }
  });

  async function count(from: string, argument?: unknown): Promise<number> {
    const text = argument === undefined ? `SELECT count(*)::int AS count FROM ${from}` : `SELECT count(*)::int AS count FROM ${from.includes('WHERE') ? from : `${from} WHERE tenant_id = $1`}`;
    let found = 0;
    await administer(app.database.url, async (client) => {
      const { rows } = await client.query<{ count: number }>(text, argument === undefined ? [] : [argument]);
      found = rows[0]?.count ?? 0;
    });
    return found;
  }
});
