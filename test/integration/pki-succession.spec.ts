import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { runPki } from '../../src/pki-cli.js';
import { AuthoritySuccessionService } from '../../src/pki/authority-succession.service.js';
import { CertificatesService } from '../../src/pki/certificates.service.js';
import { findingsOfRoot } from '../../src/pki/authority-check.js';
import { ExpiryMonitor } from '../../src/pki/expiry-monitor.js';
import { Clock } from '../../src/platform/clock/clock.js';
import { PublicationsService } from '../../src/pki/publications.service.js';
import { TenantsService } from '../../src/users/tenants.service.js';
import { ADMIN, TestApp, type Reply, type RegisteredDevice } from '../factories/app.js';
import { ISSUING_EXTENSIONS, OfflineRoot } from '../factories/offline-root.js';
import { OpenSsl } from '../factories/openssl.js';

interface Issued {
  readonly serial: string;
  readonly certificate: string;
  readonly chain: string;
}

interface Authority {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly keyHere: boolean;
  readonly remaining: number | null;
}

interface RollOver {
  readonly current: string;
  readonly previous: string | null;
  readonly remaining: number;
}

const HOUR_MS = 3_600_000;

/** The time of this machine, which openssl has too, and what a test adds to it. */
class AheadClock extends Clock {
  private ahead = 0;

  now(): number {
    return Date.now() + this.ahead;
  }

  advance(ms: number): void {
    this.ahead += ms;
  }
}

const base64 = (pem: string): string => pem.replace(/-----[^-]+-----|\s/g, '');

describe('authorities that follow each other', () => {
  let app: TestApp;
  let openssl: OpenSsl;
  let clock: AheadClock;
  let root: OfflineRoot;

  let me: Record<string, string>;
  let devices = 0;

  // One installation that grows older from test to test.
  beforeAll(async () => {
    openssl = await OpenSsl.open();
    clock = new AheadClock();
    app = await TestApp.start({ clock });
    me = await app.loginAs(ADMIN.email, ADMIN.password);
    root = await OfflineRoot.make(openssl, 'acme');
  });

  afterAll(async () => {
    await app.stop();
    await openssl.close();
  });

  const call = <T>(method: string, url: string, body?: unknown): Promise<Reply<T>> => app.call<T>(method, url, body, me);
  /** Sessions do not last as long as authorities do. */
  const later = async (hours: number): Promise<void> => {
    clock.advance(hours * HOUR_MS);
    me = await app.loginAs(ADMIN.email, ADMIN.password);
  };
  const register = async (): Promise<RegisteredDevice> => {
    devices += 1;
    return (await call<RegisteredDevice>('POST', '/devices', { slug: `pump-${devices}` })).body;
  };
  const issue = async ({ id }: RegisteredDevice): Promise<Issued> => {
    const { status, body } = await call<Issued>('POST', `/devices/${id}/certificates`, { generate: true });
    expect(status).toBe(201);
    return body;
  };
  const connect = async ({ id }: RegisteredDevice, { certificate }: Issued): Promise<string> =>
    (await app.ask('mqtt-auth', { clientid: id, username: id, listener_kind: 'mtls', cert_pem: base64(certificate) })).body.result;
  const codeOf = async (path: string, body?: unknown): Promise<string> => {
    const answer = await call<{ code?: string; detail?: string }>('POST', path, body);
    return `${answer.status} ${answer.body.code ?? ''}`.trim();
  };
  const detailOf = async (path: string, certificate: string): Promise<string> => {
    const { body } = await call<{ code: string; detail: string }>('POST', path, { certificate });
    expect(body.code).toBe('AUTHORITY_CERT_REFUSED');
    return body.detail;
  };
  const listed = async (): Promise<Authority[]> => (await call<{ items: Authority[] }>('GET', '/authorities')).body.items;
  const state = async (id: string): Promise<string> => {
    const found = (await listed()).find((authority) => authority.id === id);
    return `${found?.state ?? 'none'} ${found?.remaining ?? '-'}`;
  };
  const text = async (url: string): Promise<string> => (await fetch(`${app.url}/pki/${url}`)).text();
  const issuerOf = ({ certificate }: Issued): string => /\/pki\/([0-9a-f-]{36})\/ca\.pem/.exec(new X509Certificate(certificate).infoAccess ?? '')?.[1] ?? '';
  const request = async (): Promise<string> => {
    const { status, body } = await call<{ csr: string }>('POST', '/authorities/requests', {});
    expect(status).toBe(201);
    return body.csr;
  };
  const trusted = (): Promise<string[]> => app.app.get(PublicationsService, { strict: false }).trusted();

  it('rolls over with an overlap: both issue’s certificates connect, both lists and answers are served, and the old one ends when nothing rests on it', async () => {
    const device = await register();
    const other = await register();
    const before = [await issue(device), await issue(other)] as const;
    const old = issuerOf(before[0]);
    const { status, body: rolled } = await call<RollOver>('POST', '/authorities/roll-over', {});
    expect({ status, previous: rolled.previous, remaining: rolled.remaining }).toEqual({ status: 201, previous: old, remaining: 2 });
    const after = await issue(device);
    expect(issuerOf(after)).toBe(rolled.current);
    expect([await connect(device, before[0]), await connect(other, before[1]), await connect(device, after)]).toEqual(['allow', 'allow', 'allow']);
    expect((await trusted()).length).toBe(3);
    await call('POST', `/certs/${before[0].serial}/revoke`, { reason: 'superseded' });
    expect([await connect(device, before[0]), await state(old)]).toEqual(['deny', 'retired 1']);
    // openssl finds the revocation on the old authority's list and in its answer, and the new certificate good under the new one.
    await openssl.write('root.pem', await text('ca.pem'));
    await openssl.write('before.pem', before[0].certificate);
    await openssl.write('before.chain', before[0].chain);
    await openssl.write('after.pem', after.certificate);
    await openssl.write('after.chain', after.chain);
    await openssl.write('old.crl', await text(`${old}/crl.pem`));
    await openssl.write('new.crl', await text('crl.pem'));
    const check = async (name: string, crl: string): Promise<string> =>
      (await openssl.run('verify', '-x509_strict', '-crl_check', '-CAfile', 'root.pem', '-untrusted', `${name}.chain`, '-CRLfile', crl, `${name}.pem`)).text;
    expect(await check('before', 'old.crl')).toContain('certificate revoked');
    expect(await check('after', 'new.crl')).toBe('after.pem: OK\n');
    const ocsp = await openssl.run('ocsp', '-issuer', 'before.chain', '-cert', 'before.pem', '-url', `${app.url}/pki/${old}/ocsp`, '-CAfile', 'before.chain');
    expect(ocsp.text).toMatch(/before\.pem: revoked[\s\S]*Response verify OK/);
    await later(2);
    expect(await codeOf(`/authorities/${old}/end`)).toBe('409 AUTHORITY_IN_USE');
    expect(await codeOf(`/authorities/${rolled.current}/end`)).toBe('409 AUTHORITY_IN_USE');
    await call('POST', `/certs/${before[1].serial}/revoke`, { reason: 'superseded' });
    await app.app.get(ExpiryMonitor, { strict: false }).look();
    expect(await state(old)).toBe('ended 0');
    const left = await trusted();
    expect(left.map((pem) => new X509Certificate(pem).subject.includes(old))).toEqual([false, false]);
    // Whoever still asks is still answered.
    expect((await fetch(`${app.url}/pki/${old}/crl.pem`)).status).toBe(200);
    expect(await connect(device, after)).toBe('allow');
  });

  it('gives each of several roll-overs at once its turn: one issues in the end, and none is lost', async () => {
    const device = await register();
    await issue(device);
    const rolled = await Promise.all([1, 2, 3].map(() => call<RollOver>('POST', '/authorities/roll-over', {})));
    expect(rolled.map(({ status }) => status)).toEqual([201, 201, 201]);
    const rolledTo = rolled.map(({ body }) => body.current);
    const issuing = (await listed()).filter(({ id }) => rolledTo.includes(id));
    expect(issuing.map(({ state: what }) => what).sort()).toEqual(['current', 'retired', 'retired']);
    expect(rolled.map(({ body }) => body.current)).toContain(issuerOf(await issue(device)));
  });

  it('does the same from the command line', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'pki-'));
    let printed = '';
    const pki = (...args: string[]): Promise<number> => runPki(args, {
      succession: app.app.get(AuthoritySuccessionService), certificates: app.app.get(CertificatesService),
      tenants: app.app.get(TenantsService), print: (line) => (printed += line),
    });
    const at = (name: string): string => path.join(folder, name);
    try {
      expect(await pki('roll-over')).toBe(0);
      const mine = await OfflineRoot.make(openssl, 'ceremony');
      writeFileSync(at('root.pem'), mine.certificate);
      expect(await pki('import-root', at('root.pem'))).toBe(0);
      expect(await pki('request', '--out', at('request.csr'), '--type', 'RSA', '--tenant', 'default')).toBe(0);
      await expect(pki('request', '--out', at('request.csr'))).rejects.toThrow(/EEXIST/);
      writeFileSync(at('issuing.pem'), await mine.sign(readFileSync(at('request.csr'), 'utf8')));
      expect(await pki('import', at('issuing.pem'))).toBe(0);
      expect(printed).toContain('0 good certificates still rest on');
      printed = '';
      expect(await pki('list')).toBe(0);
      expect(printed.trim().split('\n').map((line) => line.replace(/^\S+\s+/, '').replace(/until \S+/, '').replace(/\s+/g, ' ')).slice(0, 3)).toEqual([
        'issuing current key here 0 good', 'root current key elsewhere', 'issuing retired key here 0 good',
      ]);
      expect(await pki('broker', '--host', 'mqtt.example.org,127.0.0.1', '--out', at('broker'))).toBe(0);
      expect(statSync(at('broker/broker-key.pem')).mode & 0o777).toBe(0o600);
      const names = ['-verify_hostname', 'mqtt.example.org', '-purpose', 'sslserver'];
      await openssl.must('verify', '-x509_strict', '-no_check_time', ...names, '-CAfile', at('root.pem'), '-untrusted', at('broker/broker.pem'), at('broker/broker.pem'));
      expect([await pki(), await pki('conjure'), await pki('request'), await pki('broker', '--out', at('broker'))]).toEqual([2, 2, 2, 2]);
      await expect(pki('list', '--tenant', 'nobody')).rejects.toThrow(/no tenant/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('refuses a root that is none, and says why', async () => {
    const at = '/authorities/root';
    const roots = (await listed()).filter(({ kind }) => kind === 'root').length;
    const basic = 'basicConstraints=critical,CA:TRUE';
    const usage = 'keyUsage=critical,keyCertSign,cRLSign';
    const made = async (extensions: string[], more: object = {}): Promise<string> => (await OfflineRoot.make(openssl, 'other', { extensions, ...more })).certificate;
    expect(await codeOf(at, { certificate: 'garbage' })).toBe('400 AUTHORITY_CERT_MALFORMED');
    expect(await codeOf(at, { certificate: root.certificate + root.certificate })).toBe('400 AUTHORITY_CERT_MALFORMED');
    expect(await codeOf(at, { certificate: `-----BEGIN CERTIFICATE-----\n${'A'.repeat(64)}\n-----END CERTIFICATE-----\n` })).toBe('400 AUTHORITY_CERT_MALFORMED');
    expect(await detailOf(at, await made(['basicConstraints=critical,CA:FALSE', usage]))).toBe('BasicConstraints does not say that it is an authority.');
    expect(await detailOf(at, await made(['basicConstraints=CA:TRUE', usage]))).toBe('BasicConstraints is not critical.');
    expect(await detailOf(at, await made([`${basic},pathlen:0`, usage]))).toBe('Its path length lets it sign no authority.');
    expect(await detailOf(at, await made([basic, 'keyUsage=critical,digitalSignature']))).toMatch(/sign certificates; keyUsage does not allow it to sign revocation lists/);
    expect(await detailOf(at, await made([basic, usage, 'nameConstraints=critical,permitted;DNS:example.test']))).toMatch(/name constraints/i);
    expect(await detailOf(at, await made([basic, usage, 'extendedKeyUsage=serverAuth']))).toMatch(/leaves out clients/);
    expect(await detailOf(at, await made([basic, usage, '1.2.3.4=critical,ASN1:NULL']))).toMatch(/not understood: 1\.2\.3\.4/);
    expect(await detailOf(at, await made([basic, usage], { algorithm: ['EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1'] }))).toMatch(/P-256, P-384 or RSA/);
    expect(await detailOf(at, await root.sign(await request()))).toMatch(/not signed by itself/);
    expect(findingsOfRoot(new X509Certificate(root.certificate), Date.now() - 24 * HOUR_MS)).toEqual(['its validity begins later']);
    expect(findingsOfRoot(new X509Certificate(root.certificate), Date.now() + 21 * 365 * 24 * HOUR_MS)).toEqual(['it has ended']);
    expect((await listed()).filter(({ kind }) => kind === 'root')).toHaveLength(roots);
  });

  it('refuses an issuing authority that is none, not asked for, or not signed by the root', async () => {
    const at = '/authorities';
    const signer = await OfflineRoot.make(openssl, 'signer');
    await call('POST', '/authorities/root', { certificate: signer.certificate });
    const csr = await request();
    const without = (name: string): string[] => ISSUING_EXTENSIONS.filter((extension) => !extension.startsWith(name));
    const stranger = await OfflineRoot.make(openssl, 'stranger');
    expect(await detailOf(at, await stranger.sign(csr))).toBe('It is not signed by the root of this installation.');
    expect(await detailOf(at, await signer.sign(csr, { extensions: [...without('basic'), 'basicConstraints=critical,CA:FALSE'] }))).toMatch(/^BasicConstraints/);
    expect(await detailOf(at, await signer.sign(csr, { extensions: [...without('keyUsage'), 'keyUsage=critical,keyCertSign'] }))).toMatch(/revocation lists/);
    expect(await detailOf(at, await signer.sign(csr, { extensions: ['subjectKeyIdentifier=none', ...without('subject')] }))).toMatch(/subjectKeyIdentifier/);
    expect(await detailOf(at, await signer.sign(csr, { days: 9_000 }))).toBe('It outlives the root.');
    expect(await detailOf(at, await signer.sign(csr, { digest: 'sha1' }))).toMatch(/algorithm that is not accepted/);
    expect(await detailOf(at, await signer.sign(csr, { subject: '/O=Acme/CN=Somebody' }))).toMatch(/subject is not the one of the request/);
    expect(await codeOf(at, { certificate: await signer.sign((await openssl.request('own')).csr) })).toBe('409 AUTHORITY_REQUEST_UNKNOWN');
    // Another tenant's request is nobody else's.
    const { body: tenant } = await call<{ id: string }>('POST', '/tenants', { slug: 'other', name: 'Other' });
    const foreign = await app.app.get(AuthoritySuccessionService).request(tenant.id);
    expect(await codeOf(at, { certificate: await signer.sign(foreign.csr) })).toBe('409 AUTHORITY_REQUEST_UNKNOWN');
    // What was refused spent nothing.
    expect(await codeOf(at, { certificate: await signer.sign(csr) })).toBe('201');
    expect(await codeOf('/authorities/00000000-0000-4000-8000-000000000000/end')).toBe('404 AUTHORITY_NOT_FOUND');
  });

  it('takes a root without its key, and an issuing authority that was signed with that key elsewhere', async () => {
    const device = await register();
    const before = await issue(device);
    const imported = await call<Authority>('POST', '/authorities/root', { certificate: root.certificate });
    expect({ status: imported.status, ...imported.body }).toMatchObject({ status: 201, kind: 'root', state: 'current', keyHere: false, remaining: null });
    expect(await codeOf('/authorities/root', { certificate: root.certificate })).toBe('409 AUTHORITY_EXISTS');
    // Until the new one is there the old one issues, and nothing new can be signed from here.
    expect(await codeOf('/authorities/roll-over', {})).toBe('409 AUTHORITY_KEY_ELSEWHERE');
    expect(issuerOf(await issue(device))).toBe(issuerOf(before));
    const csr = await request();
    await openssl.write('request.csr', csr);
    const shown = await openssl.must('req', '-in', 'request.csr', '-noout', '-verify', '-text');
    expect(shown).toMatch(/CA:TRUE, pathlen:0[\s\S]*Certificate Sign, CRL Sign[\s\S]*verify OK/);
    const signed = await root.sign(csr);
    const { status, body } = await call<RollOver>('POST', '/authorities', { certificate: signed });
    expect({ status, ...body }).toMatchObject({ status: 201, previous: issuerOf(before), remaining: 2 });
    expect(await codeOf('/authorities', { certificate: signed })).toBe('409 AUTHORITY_REQUEST_UNKNOWN');
    const after = await issue(device);
    expect(issuerOf(after)).toBe(body.current);
    expect([await connect(device, before), await connect(device, after)]).toEqual(['allow', 'allow']);
    await openssl.write('after.pem', after.certificate);
    await openssl.write('after.chain', after.chain);
    await openssl.write('after.crl', await text(`${body.current}/crl.pem`));
    expect(await text('ca.pem')).toBe(root.certificate);
    const at = ['-attime', String(Math.floor(clock.now() / 1000))];
    expect(await openssl.must('verify', ...at, '-x509_strict', '-crl_check', '-CAfile', 'acme.pem', '-untrusted', 'after.chain', '-CRLfile', 'after.crl', 'after.pem')).toBe('after.pem: OK\n');
    const ocsp = await openssl.run('ocsp', '-issuer', 'after.chain', '-cert', 'after.pem', '-url', `${app.url}/pki/${body.current}/ocsp`, '-CAfile', 'after.chain', ...at, '-validity_period', '36000');
    expect(ocsp.text).toMatch(/after\.pem: good[\s\S]*Response verify OK/);
    // The old root ends with the last authority below it.
    await later(91 * 24);
    await app.app.get(ExpiryMonitor, { strict: false }).look();
    await later(2);
    await app.app.get(ExpiryMonitor, { strict: false }).look();
    expect((await listed()).filter(({ state: what }) => what !== 'ended').map(({ id, kind, keyHere }) => [id, kind, keyHere])).toEqual([
      [body.current, 'issuing', true], [imported.body.id, 'root', false],
    ]);
    expect((await trusted()).length).toBe(2);
    // Near its end it cannot be replaced from here: it goes on, and somebody is told.
    await later(4.5 * 365 * 24);
    expect(issuerOf(await issue(device))).toBe(body.current);
    await app.app.get(ExpiryMonitor, { strict: false }).look();
    const { body: log } = await call<{ items: { details: { authority: string } }[] }>('GET', '/audit/logs?eventType=CA_EXPIRING');
    expect(log.items.map(({ details }) => details.authority)).toEqual([body.current]);
    await later(365 * 24);
    expect(await codeOf(`/devices/${device.id}/certificates`, { generate: true })).toBe('409 AUTHORITY_KEY_ELSEWHERE');
  });
});
