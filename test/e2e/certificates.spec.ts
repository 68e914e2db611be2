import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { openDeviceListener } from '../../src/device-listener.js';
import { CertificateUse } from '../../src/pki/certificate-use.js';
import { TestApp, request, type RegisteredDevice } from '../factories/app.js';
import { OpenSsl } from '../factories/openssl.js';

interface Issued {
  readonly serial: string;
  readonly certificate: string;
  readonly chain: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly fingerprint: string;
  readonly privateKey?: string;
  readonly pkcs12?: string;
}

interface Problem {
  readonly code: string;
}

const PUBLIC = 'http://pki.example.test';

describe.each(['EC', 'RSA'] as const)('certificates of an installation whose authorities are %s', (keyType) => {
  let app: TestApp;
  let openssl: OpenSsl;
  let device: RegisteredDevice;

  beforeAll(async () => {
    openssl = await OpenSsl.open();
    app = await TestApp.start({ env: { PKI_KEY_TYPE: keyType, PKI_PUBLIC_URL: PUBLIC } });
    device = await app.registerDevice('pump-1');
  });

  afterAll(async () => {
    await app.stop();
    await openssl.close();
  });

  const issue = async (deviceId: string, body: Record<string, unknown> = { generate: true }): Promise<Issued> => {
    const answer = await app.call<Issued>('POST', `/devices/${deviceId}/certificates`, body);
    expect({ status: answer.status, body: answer.status === 201 ? {} : answer.body }).toEqual({ status: 201, body: {} });
    return answer.body;
  };

  const refusal = async (body: unknown, deviceId = device.id): Promise<string> => {
    const answer = await app.call<Problem>('POST', `/devices/${deviceId}/certificates`, body);
    return `${answer.status} ${answer.body.code}`;
  };

  const fetchText = async (path: string): Promise<string> => (await fetch(`${app.url}/pki/${path}`)).text();

  /** Id of the authority that its AIA names. */
  const authorityOf = (certificate: string): string => /\/pki\/([0-9a-f-]{36})\/ca\.pem/.exec(new X509Certificate(certificate).infoAccess ?? '')?.[1] ?? '';

  const verify = async (name: string, { certificate, chain }: Issued): Promise<string> => {
    const authority = authorityOf(certificate);
    const rootId = authorityOf(chain);
    await openssl.write(`${name}.pem`, certificate);
    await openssl.write(`${name}.chain`, chain);
    await openssl.write('root.pem', await fetchText('ca.pem'));
    await openssl.write('crls.pem', (await fetchText(`${authority}/crl.pem`)) + (await fetchText(`${rootId}/crl.pem`)));
    const { text } = await openssl.run('verify', '-x509_strict', '-crl_check_all', '-CAfile', 'root.pem', '-untrusted', `${name}.chain`,
      '-CRLfile', 'crls.pem', '-purpose', 'sslclient', `${name}.pem`);
    return text;
  };

  const ocsp = async (name: string, { certificate, chain }: Issued, ...more: string[]): Promise<string> => {
    await openssl.write(`${name}.pem`, certificate);
    await openssl.write('issuer.pem', chain.slice(0, chain.indexOf('-----END CERTIFICATE-----') + 26));
    await openssl.write('root.pem', await fetchText('ca.pem'));
    await openssl.write('chain.pem', chain);
    const { text } = await openssl.run('ocsp', '-issuer', 'issuer.pem', '-cert', `${name}.pem`, '-url', `${app.url}/pki/${authorityOf(certificate)}/ocsp`,
      '-CAfile', 'chain.pem', ...more);
    return text;
  };

  it('are such as openssl accepts in its strictest mode, by request and generated', async () => {
    const { csr } = await openssl.request('own');
    const byRequest = await issue(device.id, { csr, ttl: '8760h' });
    const generated = await issue(device.id, { generate: true, keyType });
    for (const [name, issued] of [['one', byRequest], ['two', generated]] as const) {
      expect(await verify(name, issued)).toBe(`${name}.pem: OK\n`);
      const parsed = new X509Certificate(issued.certificate);
      expect(parsed.subject).toBe(`CN=${device.id}`);
      expect(parsed.subjectAltName).toMatch(new RegExp(`^URI:urn:portcullis:tenant:[0-9a-f-]{36}:device:${device.id}$`));
      expect(parsed.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
      expect(parsed.ca).toBe(false);
      expect(issued.serial).toMatch(/^[4-7][0-9a-f]{39}$/);
      expect(parsed.serialNumber.toLowerCase()).toBe(issued.serial);
      expect(parsed.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(issued.fingerprint);
      const text = await openssl.must('x509', '-in', `${name}.pem`, '-noout', '-text');
      expect(text).toContain(`URI:${PUBLIC}/pki/${authorityOf(issued.certificate)}/crl.pem`);
      expect(text).toContain(`OCSP - URI:${PUBLIC}/pki/`);
      expect(text).not.toContain('evil.example');
    }
    expect(byRequest.privateKey).toBeUndefined();
    expect(new X509Certificate(generated.certificate).checkPrivateKey(createPrivateKey(generated.privateKey ?? ''))).toBe(true);
    expect(Date.parse(byRequest.notAfter) - Date.parse(byRequest.notBefore)).toBe(8_760 * 3_600_000 + 60_000);
    expect(Date.parse(generated.notAfter) - Date.parse(generated.notBefore)).toBe(90 * 86_400_000 + 60_000);
  });

  it('come with their key as PKCS #12 that openssl opens under the password', async () => {
    const issued = await issue(device.id, { generate: true, keyType, password: 'päss word 12' });
    await openssl.write('bag.p12', Buffer.from(issued.pkcs12 ?? '', 'base64'));
    const text = await openssl.must('pkcs12', '-in', 'bag.p12', '-passin', 'pass:päss word 12', '-nodes');
    expect(text.match(/BEGIN CERTIFICATE/g)).toHaveLength(3);
    expect(text).toContain('BEGIN PRIVATE KEY');
    expect((await openssl.run('pkcs12', '-in', 'bag.p12', '-passin', 'pass:wrong', '-nodes')).text).toMatch(/invalid password/i);
  });

  it('are revoked on a list that openssl reads, at once, with the reason', async () => {
    const issued = await issue(device.id);
    expect(await ocsp('rev', issued)).toContain('rev.pem: good');
    const { status, body } = await app.call<{ revoked: { serial: string }[] }>('POST', `/certs/${issued.serial}/revoke`, { reason: 'keyCompromise' });
    expect({ status, serials: body.revoked.map(({ serial }) => serial) }).toEqual({ status: 200, serials: [issued.serial] });
    expect(await verify('rev', issued)).toContain('certificate revoked');
    const crl = await openssl.must('crl', '-in', 'crls.pem', '-noout', '-text', '-CAfile', 'chain.pem');
    expect(crl).toContain('verify OK');
    expect(crl).toMatch(/Version 2/);
    expect(crl).toMatch(/X509v3 CRL Number/);
    expect(crl).toMatch(/Authority Key Identifier/);
    expect(crl).toContain(issued.serial.toUpperCase());
    expect(crl).toContain('Key Compromise');
    expect(await ocsp('rev', issued)).toMatch(/rev\.pem: revoked[\s\S]*keyCompromise[\s\S]*Response verify OK/);
    const der = Buffer.from(await (await fetch(`${app.url}/pki/${authorityOf(issued.certificate)}/crl.der`)).arrayBuffer());
    await openssl.write('crl.der', der);
    expect(await openssl.must('crl', '-inform', 'DER', '-in', 'crl.der', '-noout', '-CAfile', 'chain.pem')).toContain('verify OK');
    const again = await app.call<Problem>('POST', `/certs/${issued.serial}/revoke`, { reason: 'keyCompromise' });
    expect(`${again.status} ${again.body.code}`).toBe('409 CERT_ALREADY_REVOKED');
    const shown = await app.call<Record<string, unknown>>('GET', `/certs/${issued.serial}`);
    expect(shown.body).toMatchObject({ status: 'revoked', reason: 'keyCompromise', deviceId: device.id });
  });

  it('answers OCSP by a delegate for good, never issued and by URL, with and without a nonce and under SHA-256', async () => {
    const issued = await issue(device.id);
    expect(await ocsp('good', issued)).toMatch(/good\.pem: good[\s\S]*Response verify OK/);
    expect(await ocsp('good', issued, '-no_nonce')).toMatch(/good\.pem: good[\s\S]*Response verify OK/);
    expect(await ocsp('good', issued, '-resp_text')).toMatch(/OCSP Signing[\s\S]*OCSP No Check/);
    const sha256 = await openssl.run('ocsp', '-sha256', '-issuer', 'issuer.pem', '-cert', 'good.pem', '-url', `${app.url}/pki/${authorityOf(issued.certificate)}/ocsp`, '-CAfile', 'chain.pem');
    expect(sha256.text).toMatch(/good\.pem: good[\s\S]*Response verify OK/);
    const never = await openssl.run('ocsp', '-issuer', 'issuer.pem', '-serial', `0x${'4'.repeat(40)}`, '-url', `${app.url}/pki/${authorityOf(issued.certificate)}/ocsp`, '-CAfile', 'chain.pem');
    expect(never.text).toContain(`0x${'4'.repeat(40)}: unknown`);
    await openssl.must('ocsp', '-issuer', 'issuer.pem', '-cert', 'good.pem', '-no_nonce', '-reqout', 'question.der');
    const question = encodeURIComponent((await readFile(openssl.file('question.der'))).toString('base64'));
    const byUrl = await fetch(`${app.url}/pki/ocsp/${question}`);
    expect(byUrl.headers.get('content-type')).toBe('application/ocsp-response');
    await openssl.write('answer.der', Buffer.from(await byUrl.arrayBuffer()));
    expect((await openssl.run('ocsp', '-issuer', 'issuer.pem', '-cert', 'good.pem', '-respin', 'answer.der', '-CAfile', 'chain.pem')).text).toContain('good.pem: good');
    for (const garbage of ['', 'nonsense', '30', Buffer.alloc(3_000, 0x30)]) {
      const answer = await fetch(`${app.url}/pki/ocsp`, { method: 'POST', headers: { 'content-type': 'application/ocsp-request' }, body: garbage });
      expect(Buffer.from(await answer.arrayBuffer()).toString('hex')).toBe('30030a0101');
    }
  });

  if (keyType === 'RSA') return;

  it('refuses bad requests, each by a code of its own', async () => {
    const { csr } = await openssl.request('bad');
    const other = await openssl.request('bad2');
    const der = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    const forged = Buffer.concat([der(csr).subarray(0, -20), der(other.csr).subarray(-20)]);
    const pem = (bytes: Buffer): string => `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    expect(await refusal({ csr: 'garbage' })).toBe('400 CSR_MALFORMED');
    expect(await refusal({ csr: pem(Buffer.from('3003020100', 'hex')) })).toBe('400 CSR_MALFORMED');
    expect(await refusal({ csr: pem(forged) })).toMatch(/^400 CSR_(SIGNATURE|MALFORMED)$/);
    const flipped = der(csr);
    flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1;
    expect(await refusal({ csr: pem(flipped) })).toBe('400 CSR_SIGNATURE');
    expect(await refusal({ csr: 'x'.repeat(1_000_000) })).toBe('413 BODY_TOO_LARGE');
    expect(await refusal({ csr, profile: 'server' })).toBe('400 CERT_PROFILE_UNKNOWN');
    expect(await refusal({ csr, ttl: '8761h' })).toBe('400 CERT_TTL_INVALID');
    expect(await refusal({ csr, ttl: 'for ever' })).toBe('400 VALIDATION_FAILED');
    expect(await refusal({ csr, ttl: 5 })).toBe('400 CERT_TTL_INVALID');
    expect(await refusal({ csr, generate: true })).toBe('400 CERT_REQUEST_UNCLEAR');
    expect(await refusal({})).toBe('400 CERT_REQUEST_UNCLEAR');
    expect(await refusal({ csr: (await openssl.request('short', ['rsa', '-pkeyopt', 'rsa_keygen_bits:1024'])).csr })).toBe('422 KEY_WEAK');
    expect(await refusal({ csr: (await openssl.request('ed', ['ed25519'])).csr })).toMatch(/^(422 KEY_WEAK)$/);
    expect(await refusal({ csr }, '00000000-0000-4000-8000-000000000000')).toBe('404 DEVICE_NOT_FOUND');
    const unknown = await app.call<Problem>('POST', `/certs/${'4'.repeat(40)}/revoke`, { reason: 'superseded' });
    expect(`${unknown.status} ${unknown.body.code}`).toBe('404 CERT_NOT_FOUND');
    const badReason = await app.call<Problem>('POST', `/certs/${'4'.repeat(40)}/revoke`, { reason: 'because' });
    expect(`${badReason.status} ${badReason.body.code}`).toBe('400 VALIDATION_FAILED');
  });

  it('refuses a key that another device has, whoever asks', async () => {
    const { csr } = await openssl.request('cloned');
    const twin = await app.registerDevice('pump-twin');
    await issue(device.id, { csr });
    await issue(device.id, { csr });
    expect(await refusal({ csr }, twin.id)).toBe('409 KEY_REUSED');
  });

  it('answers a crowd that comes at once each for itself: certificates of their own, and refusals that take nobody with them', async () => {
    const good = await Promise.all(Array.from({ length: 40 }, (_, i) => app.registerDevice(`crowd-${i}`)));
    const [suspended, thief] = [await app.registerDevice('crowd-suspended'), await app.registerDevice('crowd-thief')];
    await app.call('POST', `/devices/${suspended.id}/suspend`, { reason: 'stolen' });
    const requests = await Promise.all(good.map(({ id }) => openssl.request(id)));
    const signed = Buffer.from((requests[0]?.csr ?? '').replace(/-----[^-]+-----|\s/g, ''), 'base64');
    signed[signed.length - 1] = (signed.at(-1) ?? 0) ^ 1;
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${signed.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    const ask = (id: string, body: object): Promise<{ status: number; body: Issued & Problem }> => app.call('POST', `/devices/${id}/certificates`, body);
    const answers = await Promise.all([
      ...good.map(({ id }, i) => ask(id, { csr: requests[i]?.csr, ttl: `${24 + i}h` })),
      ask(suspended.id, { csr: requests[0]?.csr }),
      ask('00000000-0000-4000-8000-000000000000', { csr: requests[0]?.csr }),
      ask(thief.id, { csr: forged }),
      ask(thief.id, { csr: 'garbage' }),
    ]);
    expect(answers.slice(40).map(({ status, body }) => `${status} ${body.code}`)).toEqual([
      '409 CERT_DEVICE_STATE', '404 DEVICE_NOT_FOUND', '400 CSR_SIGNATURE', '400 CSR_MALFORMED',
    ]);
    const given = answers.slice(0, 40).map(({ body }) => body);
    expect(given.map(({ certificate }) => new X509Certificate(certificate).subject)).toEqual(good.map(({ id }) => `CN=${id}`));
    for (const [i, { certificate, notAfter }] of given.entries()) {
      const own = new X509Certificate(certificate);
      expect(own.checkPrivateKey(createPrivateKey(requests[i]?.key ?? ''))).toBe(true);
      expect(Math.round((Date.parse(notAfter) - Date.now()) / 3_600_000)).toBe(24 + i);
    }
    expect(new Set(given.map(({ serial }) => serial)).size).toBe(40);
    // One key, asked for by two at once: one of them has it.
    const { csr } = await openssl.request('shared');
    const both = await Promise.all([ask(good[0]?.id ?? '', { csr }), ask(good[1]?.id ?? '', { csr }), ask(good[2]?.id ?? '', { csr })]);
    expect(both.map(({ status, body }) => `${status} ${body.code ?? ''}`).sort()).toEqual(['201 ', '409 KEY_REUSED', '409 KEY_REUSED']);
    const { body: log } = await app.call<{ items: { deviceId: string; ip: string; details: { serial: string } }[] }>('GET', '/audit/logs?eventType=CERT_ISSUED&limit=200');
    const bySerial = new Map(log.items.map(({ deviceId, ip, details }) => [details.serial, { deviceId, ip }]));
    expect(given.map(({ serial }) => bySerial.get(serial))).toEqual(good.map(({ id }) => ({ deviceId: id, ip: '127.0.0.1' })));
  });

  it('gives one first certificate for a secret, however often it is asked for at once', async () => {
    const own = await app.registerDevice('pump-greedy');
    const basic = { authorization: `Basic ${Buffer.from(`${own.id}:${own.client_secret}`).toString('base64')}` };
    const answers = await Promise.all(Array.from({ length: 6 }, () => app.call<Problem>('POST', `/devices/${own.id}/certificates`, { generate: true }, basic)));
    expect(answers.map(({ status, body }) => `${status} ${body.code ?? ''}`).sort()).toEqual(['201 ', ...Array<string>(5).fill('409 CERT_RENEWAL_NEEDS_CERTIFICATE')]);
  });

  it('gives a device its first certificate for its secret, and no second one', async () => {
    const own = await app.registerDevice('pump-first');
    const basic = { authorization: `Basic ${Buffer.from(`${own.id}:${own.client_secret}`).toString('base64')}` };
    const first = await app.call<Issued>('POST', `/devices/${own.id}/certificates`, { generate: true }, basic);
    expect(first.status).toBe(201);
    const second = await app.call<Problem>('POST', `/devices/${own.id}/certificates`, { generate: true }, basic);
    expect(`${second.status} ${second.body.code}`).toBe('409 CERT_RENEWAL_NEEDS_CERTIFICATE');
    const { body: listed } = await app.call<{ items: { id: string; kind: string; state: string; parentId: string | null }[] }>('GET', `/devices/${own.id}/credentials`);
    const secret = listed.items.find(({ kind }) => kind === 'secret');
    expect(listed.items.filter(({ kind }) => kind === 'certificate')).toMatchObject([{ state: 'active', parentId: secret?.id }]);
    // Revoking the secret ends what was got with it.
    const revoked = await app.call<{ revoked: string[] }>('DELETE', `/devices/${own.id}/credentials/${secret?.id ?? ''}`);
    expect(revoked.body.revoked).toHaveLength(2);
    expect((await app.call('GET', `/certs/${first.body.serial}`)).body).toMatchObject({ status: 'revoked', reason: 'privilegeWithdrawn' });
  });

  it('is registered with a certificate, listed with it and revoked with its lineage after a preview', async () => {
    const { body: own } = await app.call<RegisteredDevice & { certificate: Issued }>('POST', '/devices', { slug: 'pump-born', credentials: ['certificate'] });
    expect(await verify('born', own.certificate)).toBe('born.pem: OK\n');
    await issue(own.id);
    const list = await app.call<{ items: { serial: string; status: string }[] }>('GET', `/devices/${own.id}/certificates`);
    expect(list.body.items.map(({ status }) => status)).toEqual(['active', 'active']);
    const preview = await app.call<{ dryRun: boolean; revoked: unknown[] }>('POST', `/devices/${own.id}/certificates/revoke?dryRun=true`, { reason: 'superseded' });
    expect(preview.body).toMatchObject({ dryRun: true, revoked: [{ deviceId: own.id }, { deviceId: own.id }] });
    expect((await app.call('GET', `/certs/${own.certificate.serial}`)).body).toMatchObject({ status: 'active' });
    const done = await app.call<{ revoked: unknown[] }>('POST', `/devices/${own.id}/certificates/revoke`, { reason: 'superseded' });
    expect(done.body.revoked).toHaveLength(2);
    expect((await app.call('GET', `/devices/${own.id}/certificates`)).body).toMatchObject({ items: [{ status: 'revoked' }, { status: 'revoked' }] });
    const filtered = await app.call<{ items: { id: string }[] }>('GET', '/devices?credential=certificate&limit=200');
    expect(filtered.body.items.map(({ id }) => id)).toContain(device.id);
    expect(filtered.body.items.map(({ id }) => id)).not.toContain(own.id);
  });

  it('revokes of a lineage only what was issued from a moment on, and tells it before', async () => {
    const own = await app.registerDevice('pump-since');
    const basic = { authorization: `Basic ${Buffer.from(`${own.id}:${own.client_secret}`).toString('base64')}` };
    const first = (await app.call<Issued>('POST', `/devices/${own.id}/certificates`, { generate: true }, basic)).body;
    const listener = await openDeviceListener(app.app, app.config, 0);
    const root = await fetchText('ca.pem');
    const renew = async ({ certificate, chain, privateKey = '' }: Issued): Promise<Issued> =>
      (await postOver(listener.port, `/api/v1/devices/${own.id}/certificates`, { ca: root, cert: certificate + chain, key: privateKey }, { generate: true })).body as Issued;
    const second = await renew(first);
    const shown = await app.call<{ items: { serial: string; issuedAt: string }[] }>('GET', `/devices/${own.id}/certificates`);
    const since = encodeURIComponent(shown.body.items.find(({ serial }) => serial === second.serial)?.issuedAt ?? '');
    const third = await renew(second);
    await listener.close();
    type Told = { dryRun: boolean; revoked: { serial: string; deviceId: string }[] };
    const revoke = async (query: string): Promise<string[]> => (await app.call<Told>('POST', `/certs/${first.serial}/revoke?lineage=true${query}`, { reason: 'keyCompromise' })).body.revoked.map(({ serial }) => serial);
    expect(await revoke(`&since=${since}&dryRun=true`)).toEqual([second.serial, third.serial]);
    expect(await revoke('&since=2999-01-01T00:00:00Z&dryRun=true')).toEqual([]);
    expect(await revoke('&dryRun=true')).toEqual([first.serial, second.serial, third.serial]);
    expect(await revoke(`&since=${since}`)).toEqual([second.serial, third.serial]);
    const states = (await app.call<{ items: { serial: string; status: string }[] }>('GET', `/devices/${own.id}/certificates`)).body.items;
    expect(new Map(states.map(({ serial, status }) => [serial, status]))).toEqual(new Map([[first.serial, 'superseded'], [second.serial, 'revoked'], [third.serial, 'revoked']]));
    const bad = await app.call<Problem>('POST', `/certs/${first.serial}/revoke?lineage=true&since=yesterday`, { reason: 'keyCompromise' });
    expect(`${bad.status} ${bad.body.code}`).toBe('400 VALIDATION_FAILED');
  });

  it('ends every certificate with its device', async () => {
    const own = await app.registerDevice('pump-ends');
    const issued = await issue(own.id);
    await app.call('POST', `/devices/${own.id}/decommission`, { reason: 'scrapped' });
    expect(await verify('ends', issued)).toContain('certificate revoked');
    expect(await refusal({ generate: true }, own.id)).toBe('409 DEVICE_DECOMMISSIONED');
  });

  it('is nothing for a viewer to issue, and shows nothing of what does not exist', async () => {
    expect((await request(`${app.url}/api/v1/devices/${device.id}/certificates`, 'POST', {}, { generate: true })).status).toBe(401);
    expect((await fetch(`${app.url}/pki/00000000-0000-4000-8000-000000000000/crl.pem`)).status).toBe(404);
    expect((await fetch(`${app.url}/pki/nonsense/crl.pem`)).status).toBe(404);
  });

  it('renews with the current certificate over TLS; the one before ends when the new one has connected', async () => {
    const own = await app.registerDevice('pump-renews');
    const first = await issue(own.id);
    const listener = await openDeviceListener(app.app, app.config, 0);
    const renew = (identity: Issued, body: object, path = `/api/v1/devices/${own.id}/certificates`) =>
      postOver(listener.port, path, { ca: root, cert: identity.certificate + identity.chain, key: identity.privateKey ?? '' }, body);
    const root = await fetchText('ca.pem');
    const renewed = await renew(first, { generate: true });
    expect(renewed.status).toBe(201);
    const second = renewed.body as Issued;
    expect((await app.call('GET', `/certs/${second.serial}`)).body).toMatchObject({ lineage: { parent: first.serial } });
    expect((await app.call('GET', `/certs/${first.serial}`)).body).toMatchObject({ status: 'superseded' });
    expect((await renew(first, { generate: true }, `/api/v1/devices/${device.id}/certificates`)).status).toBe(404);
    expect((await renew(first, {}, '/api/v1/auth/login')).status).toBe(404);
    const connect = async ({ certificate }: Issued): Promise<string> => (await app.ask('mqtt-auth', {
      clientid: own.id, username: own.id, listener_kind: 'mtls', cert_pem: certificate.replace(/-----[^-]+-----|\s/g, ''),
    })).body.result;
    expect([await connect(first), await connect(second)]).toEqual(['allow', 'allow']);
    await app.app.get(CertificateUse, { strict: false }).flush();
    expect([await connect(first), await connect(second)]).toEqual(['deny', 'allow']);
    expect((await renew(first, { generate: true })).status).toBe(401);
    // The lineage of the first one: what came from it is revoked, after a preview.
    const preview = await app.call<{ revoked: { serial: string }[] }>('POST', `/certs/${first.serial}/revoke?lineage=true&dryRun=true`, { reason: 'keyCompromise' });
    expect(preview.body.revoked.map(({ serial }) => serial)).toEqual([first.serial, second.serial]);
    await app.call('POST', `/certs/${first.serial}/revoke?lineage=true`, { reason: 'keyCompromise' });
    expect(await connect(second)).toBe('deny');
    await listener.close();
  });
});

function postOver(port: number, path: string, identity: { ca: string; cert: string; key: string }, body: object): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const call = httpsRequest({ host: '127.0.0.1', port, path, method: 'POST', agent: false, ...identity, headers: { 'content-type': 'application/json' } }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text === '' ? null : JSON.parse(text) }));
    });
    call.on('error', reject);
    call.end(JSON.stringify(body));
  });
}
