import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { connect as tlsConnect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { createServer, type AddressInfo, type TcpNetConnectOpts } from 'node:net';
import { userInfo } from 'node:os';
import { runPki } from '../../src/pki-cli.js';
import { AuthoritySuccessionService } from '../../src/pki/authority-succession.service.js';
import { CertificatesService } from '../../src/pki/certificates.service.js';
import { CrlKeeper } from '../../src/pki/crl-keeper.js';
import { TenantsService } from '../../src/users/tenants.service.js';
import { TestApp, type RegisteredDevice } from '../factories/app.js';
import { closed, endAll, mqttConnect, publishTo, subscribeTo, within, type Connected } from '../factories/mqtt-client.js';
import { OpenSsl } from '../factories/openssl.js';

interface Identity {
  readonly serial: string;
  readonly certificate: string;
  readonly chain: string;
  readonly privateKey: string;
}

const MOSQUITTO = ['/usr/sbin/mosquitto', '/usr/bin/mosquitto', '/usr/local/sbin/mosquitto', '/opt/homebrew/sbin/mosquitto'].find((file) => existsSync(file));
const base64 = (pem: string): string => pem.replace(/-----[^-]+-----|\s/g, '');

describe('certificates at a broker', () => {
  let app: TestApp;
  let openssl: OpenSsl;
  let device: RegisteredDevice;
  let other: RegisteredDevice;
  let mine: Identity;
  let theirs: Identity;
  let root: string;
  const open: Connected[] = [];

  const issue = async (id: string): Promise<Identity> => (await app.call<Identity>('POST', `/devices/${id}/certificates`, { generate: true })).body;
  const revoke = (serial: string) => app.call<{ ejection: { confirmed: boolean } }>('POST', `/certs/${serial}/revoke`, { reason: 'keyCompromise' });

  /** A certificate that says what ours say, under an authority of somebody else. */
  const foreign = async (id: string): Promise<Identity> => {
    await openssl.must('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'fca.key', '-out', 'fca.pem', '-subj', '/CN=Foreign CA', '-days', '30');
    const { key, csr } = await openssl.request('foreign');
    await openssl.write('foreign.csr', csr);
    await openssl.write('foreign.ext', `subjectAltName=URI:urn:portcullis:tenant:00000000-0000-4000-8000-000000000000:device:${id}\nextendedKeyUsage=clientAuth\n`);
    await openssl.must('x509', '-req', '-in', 'foreign.csr', '-CA', 'fca.pem', '-CAkey', 'fca.key', '-subj', `/CN=${id}`, '-extfile', 'foreign.ext', '-days', '30', '-out', 'foreign.pem');
    return { serial: '', certificate: await openssl.read('foreign.pem'), chain: await openssl.read('fca.pem'), privateKey: key };
  };

  beforeAll(async () => {
    openssl = await OpenSsl.open();
    const files = { PKI_CA_FILE: openssl.file('device-ca.pem'), PKI_CRL_FILE: openssl.file('crl.pem') };
    app = await TestApp.start({ broker: true, secure: true, env: files });
    device = await app.registerDevice('pump-1');
    other = await app.registerDevice('pump-2');
    mine = await issue(device.id);
    theirs = await issue(other.id);
    root = await (await fetch(`${app.url}/pki/ca.pem`)).text();
  });

  afterEach(() => endAll(open.splice(0)));

  afterAll(async () => {
    await app.stop();
    await openssl.close();
  });

  describe('the door', () => {
    const ask = (fields: Record<string, string>) =>
      app.ask('mqtt-auth', { clientid: device.id, username: device.id, listener_kind: 'mtls', cert_pem: base64(mine.certificate), cert_common_name: device.id, cert_subject: `CN=${device.id}`, ...fields });

    /** The reason that the metrics count for a refusal. */
    const reasonOf = async (fields: Record<string, string>): Promise<string> => {
      const count = async (): Promise<Map<string, number>> => {
        const text = await (await fetch(`http://127.0.0.1:${app.internalPort}/metrics`)).text();
        return new Map([...text.matchAll(/portcullis_decisions_total\{door="auth",result="(?:allow|deny)",reason="(\w+)"\} (\d+)/g)].map(([, reason = '', n]) => [reason, Number(n)]));
      };
      const before = await count();
      await ask(fields);
      return [...(await count())].find(([reason, n]) => n > (before.get(reason) ?? 0))?.[0] ?? 'none';
    };

    it('lets in the device that the certificate names, with or without its username, beside a suffix, until the certificate ends', async () => {
      for (const fields of [{}, { username: '' }, { clientid: `${device.id}:b` }] as Record<string, string>[]) {
        const { body } = await ask(fields);
        expect(body).toMatchObject({ result: 'allow', is_superuser: false, client_attrs: { device: device.id } });
      }
      const { body: short } = await app.call<Identity & { notAfter: string }>('POST', `/devices/${device.id}/certificates`, { generate: true, ttl: '10m' });
      const { body } = await ask({ cert_pem: base64(short.certificate) });
      expect(body.expire_at).toBe(Date.parse(short.notAfter) / 1000);
    });

    it('refuses every mixture of identities, each for its own reason', async () => {
      const stranger = await foreign(device.id);
      const self = mine.chain.slice(0, mine.chain.indexOf('-----END CERTIFICATE-----') + 26);
      const cases: [Record<string, string>, string][] = [
        [{ clientid: other.id, username: other.id }, 'CERT_SUBJECT'],
        [{ clientid: other.id, username: '' }, 'CERT_SUBJECT'],
        [{ username: other.id }, 'USERNAME_MISMATCH'],
        [{ clientid: 'anything' }, 'CLIENTID_INVALID'],
        [{ cert_pem: base64(theirs.certificate) }, 'CERT_SUBJECT'],
        [{ cert_pem: base64(stranger.certificate) }, 'CERT_UNTRUSTED'],
        [{ cert_pem: base64(self) }, 'CERT_UNTRUSTED'],
        [{ cert_pem: 'MIIB' }, 'CERT_MALFORMED'],
        [{ cert_pem: '' }, 'CERT_PEM_MISSING'],
        [{ listener_kind: 'token' }, 'LISTENER_MISMATCH'],
        [{ listener_kind: 'plain' }, 'LISTENER_MISMATCH'],
        [{ cert_pem: '', cert_common_name: '', cert_subject: '', password: device.client_secret }, 'LISTENER_MISMATCH'],
        [{ clientid: `svc:${device.id}`, username: `svc:${device.id}` }, 'SERVICE_UNKNOWN'],
      ];
      for (const [fields, reason] of cases) expect({ fields: Object.keys(fields), reason: await reasonOf(fields) }).toEqual({ fields: Object.keys(fields), reason });
    });

    it('refuses a certificate of the tenant’s own authority that is none of a client’s', async () => {
      const server = app.broker?.securePorts?.token ?? 0;
      const raw = await new Promise<Buffer>((resolve, reject) => {
        const socket = tlsConnect({ host: '127.0.0.1', port: server, ca: root }, () => {
          resolve(socket.getPeerCertificate().raw);
          socket.destroy();
        });
        socket.once('error', reject);
      });
      expect(await reasonOf({ cert_pem: raw.toString('base64') })).toBe('CERT_IDENTITY');
    });

    it('explains to people what it would answer to a certificate', async () => {
      const explained = async (certificate: string): Promise<string> => {
        const { status, body } = await app.call<{ result: string; reason: string }>('POST', `/devices/${device.id}/explain`, { action: 'connect', certificate });
        return `${status} ${body.result} ${body.reason}`;
      };
      const ended = await issue(device.id);
      expect(await explained(ended.certificate)).toBe('200 allow ALLOWED');
      expect((await app.call('GET', `/certs/${ended.serial}`)).body).toMatchObject({ lastUsedAt: null });
      await revoke(ended.serial);
      expect(await explained(ended.certificate)).toBe('200 deny CERT_REVOKED');
      expect(await explained(theirs.certificate)).toBe('200 deny CERT_SUBJECT');
      expect(await explained((await foreign(device.id)).certificate)).toBe('200 deny CERT_UNTRUSTED');
      expect(await explained('nonsense')).toBe('200 deny CERT_MALFORMED');
    });

    it('lets in a service account by its certificate, until that is revoked or the account disabled', async () => {
      const { body: account } = await app.call<{ id: string; username: string }>('POST', '/service-accounts', { name: 'bridge' });
      const order = (body: object) => app.call<Identity & { code?: string }>('POST', `/service-accounts/${account.id}/certificates`, body);
      const { status, body: given } = await order({ generate: true, profile: 'service' });
      expect(status).toBe(201);
      await openssl.write('service.pem', given.certificate);
      await openssl.write('service.chain', given.chain);
      await openssl.write('root.pem', root);
      expect(await openssl.must('verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', 'root.pem', '-untrusted', 'service.chain', 'service.pem')).toBe('service.pem: OK\n');
      const connect = async ({ certificate }: Identity): Promise<string> =>
        (await ask({ clientid: `${account.username}:one`, username: account.username, cert_pem: base64(certificate), cert_common_name: account.username })).body.result;
      expect(await connect(given)).toBe('allow');
      expect((await ask({ cert_pem: base64(given.certificate) })).body.result).toBe('deny');
      const list = await app.call<{ items: { serial: string; serviceAccountId: string }[] }>('GET', `/service-accounts/${account.id}/certificates`);
      expect(list.body.items).toMatchObject([{ serial: given.serial, serviceAccountId: account.id, deviceId: null, profile: 'service', status: 'active' }]);
      expect((await order({ generate: true, profile: 'device' })).body.code).toBe('CERT_PROFILE_UNKNOWN');
      const { body: second } = await order({ generate: true });
      await revoke(given.serial);
      expect([await connect(given), await connect(second)]).toEqual(['deny', 'allow']);
      await app.call('POST', `/service-accounts/${account.id}/disable`, { reason: 'done' });
      expect(await connect(second)).toBe('deny');
      expect((await order({ generate: true })).body.code).toBe('CERT_SERVICE_STATE');
      expect((await app.call<{ code: string }>('POST', '/service-accounts/00000000-0000-4000-8000-000000000000/certificates', { generate: true })).body.code).toBe('SERVICE_ACCOUNT_NOT_FOUND');
    });

    it('suspends whom a certificate names that is used under another’s name ten times, never the one claimed', async () => {
      const thief = await app.registerDevice('thief');
      const victim = await app.registerDevice('victim');
      const stolen = await issue(thief.id);
      for (let i = 0; i < 10; i += 1) await ask({ clientid: victim.id, username: victim.id, cert_pem: base64(stolen.certificate) });
      await within((async () => {
        while ((await app.call<{ status: string }>('GET', `/devices/${thief.id}`)).body.status !== 'SUSPENDED') await new Promise((resolve) => setTimeout(resolve, 20));
      })(), 'the suspension');
      expect((await app.call<{ status: string }>('GET', `/devices/${victim.id}`)).body.status).toBe('ACTIVE');
    });

    it('with BROKER_CERT=cn takes a certificate by its name while the device holds a good one', async () => {
      const named = await TestApp.start({ env: { BROKER_CERT: 'cn' } });
      const own = await named.registerDevice('by-name', { credentials: ['certificate', 'secret'] });
      const bare = await named.registerDevice('bare');
      const byName = (id: string, cn: string) => named.ask('mqtt-auth', { clientid: id, username: id, listener_kind: 'mtls', cert_common_name: cn });
      expect((await byName(own.id, own.id)).body.result).toBe('allow');
      expect((await byName(own.id, bare.id)).body.result).toBe('deny');
      expect((await byName(bare.id, bare.id)).body.result).toBe('deny');
      await named.call('POST', `/devices/${own.id}/certificates/revoke`, { reason: 'superseded' });
      expect((await byName(own.id, own.id)).body.result).toBe('deny');
      await named.stop();
    });
  });

  describe('the embedded broker', () => {
    const over = async (identity: Identity | null, options: Record<string, unknown> = {}, port = app.broker?.securePorts?.mtls ?? 0): Promise<Connected> => {
      const connected = await mqttConnect(port, {
        protocol: 'mqtts', ca: root, clientId: device.id, ...(identity ? { cert: identity.certificate + identity.chain, key: identity.privateKey } : {}), ...options,
      });
      open.push(connected);
      return connected;
    };

    it('connects by certificate alone, and by secret and token on the other port', async () => {
      const { client } = await over(mine);
      expect(await subscribeTo(client, `devices/${device.id}/commands`)).toBe(1);
      expect(await subscribeTo(client, `devices/${other.id}/commands`)).toBe(128);
      const token = app.broker?.securePorts?.token ?? 0;
      await over(null, { username: device.id, password: device.client_secret, clientId: `${device.id}:a` }, token);
      await over(null, { username: device.id, password: device.access_token, clientId: `${device.id}:b` }, token);
    });

    it('refuses no certificate, another authority’s, another device’s name, and a secret in place of it', async () => {
      await expect(over(null)).rejects.toThrow();
      await expect(over(await foreign(device.id))).rejects.toThrow();
      await expect(over(theirs)).rejects.toThrow(/not authorized/i);
      await expect(over(null, { username: device.id, password: device.client_secret })).rejects.toThrow();
      await expect(over(mine, { username: other.id })).rejects.toThrow(/not authorized/i);
    });

    /** A session of plain bytes under TLS, admitted by `mine`; what the socket reports as an error is gathered. */
    const bare = async (): Promise<{ socket: TLSSocket; errors: string[]; gone: Promise<void> }> => {
      const options: ConnectionOptions & TcpNetConnectOpts = {
        host: '127.0.0.1', port: app.broker?.securePorts?.mtls ?? 0, ca: root, cert: mine.certificate + mine.chain, key: mine.privateKey, allowHalfOpen: true,
      };
      const socket = tlsConnect(options);
      const errors: string[] = [];
      socket.on('error', (error) => errors.push(error.message));
      const gone = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      const id = Buffer.from(device.id);
      const variable = Buffer.concat([Buffer.from([0, 4]), Buffer.from('MQTT'), Buffer.from([4, 2, 0, 60, 0, id.length]), id]);
      const connack = within(new Promise<Buffer>((resolve) => socket.once('data', resolve)), 'CONNACK');
      socket.write(Buffer.concat([Buffer.from([0x10, variable.length]), variable]));
      expect([...(await connack)]).toEqual([0x20, 2, 0, 0]);
      return { socket, errors, gone };
    };
    const DISCONNECT = Buffer.from([0xe0, 0]);

    it('lets go of who says DISCONNECT without resetting the connection under what is still on its way', async () => {
      const { socket, errors, gone } = await bare();
      socket.write(DISCONNECT);
      await within(new Promise<void>((resolve) => socket.once('end', () => resolve())), 'the end of TLS');
      // More than the kernel holds for a connection: it arrives only if somebody still reads.
      await within(new Promise<void>((resolve, reject) => {
        socket.once('error', reject).write(Buffer.alloc(8_000_000), () => resolve());
      }), 'the last bytes');
      socket.end();
      await within(gone, 'the end of the connection');
      expect(errors).toEqual([]);
    });

    it('looks at nothing after DISCONNECT, and closes on who then stays', async () => {
      const { socket, gone } = await bare();
      const asked = () => app.broker?.counters.callbacks.acl ?? 0;
      const before = asked();
      socket.write(DISCONNECT);
      await within(new Promise<void>((resolve) => socket.once('end', () => resolve())), 'the end of TLS');
      const topic = Buffer.from(`devices/${device.id}/telemetry`);
      const publish = Buffer.concat([Buffer.from([0, topic.length]), topic, Buffer.from('late')]);
      const writing = setInterval(() => socket.write(Buffer.concat([Buffer.from([0x30, publish.length]), publish])), 20);
      await within(gone, 'the end of the connection').finally(() => clearInterval(writing));
      expect(asked()).toBe(before);
    });

    it('loses a session when its certificate is revoked, and refuses it from then on without any reload', async () => {
      const doomed = await issue(device.id);
      const kept = await issue(device.id);
      const { client } = await over(doomed);
      const { body } = await revoke(doomed.serial);
      expect(body.ejection.confirmed).toBe(true);
      await closed(client);
      await expect(over(doomed)).rejects.toThrow(/not authorized/i);
      await over(kept);
    });
  });

  (MOSQUITTO ? describe : describe.skip)('Mosquitto with our authorities and lists', () => {
    let broker: ChildProcess;
    let port: number;

    let folder: string;

    /** The files of `docker/mosquitto`, with their folder and port changed and nothing else. */
    beforeAll(async () => {
      folder = openssl.folder;
      const probe = createServer();
      await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
      port = (probe.address() as AddressInfo).port;
      await new Promise((resolve) => probe.close(resolve));
      const tools = { succession: app.app.get(AuthoritySuccessionService), certificates: app.app.get(CertificatesService), tenants: app.app.get(TenantsService) };
      expect(await runPki(['broker', '--host', 'localhost,127.0.0.1', '--out', folder], { ...tools, print: () => undefined })).toBe(0);
      await openssl.write('acl', readFileSync('docker/mosquitto/acl', 'utf8'));
      const ours = readFileSync('docker/mosquitto/mosquitto.conf', 'utf8');
      expect(ours).toContain('\nlistener 8883\n');
      const config = await openssl.write('mosquitto.conf', [
        ours.replaceAll('/etc/mosquitto/portcullis', folder).replace('\nlistener 8883\n', `\nlistener ${port} 127.0.0.1\n`),
        // Started by root it would become somebody who may not read the folder.
        'log_dest stderr', 'log_type all', `user ${userInfo().username}`, '',
      ].join('\n'));
      broker = spawn(MOSQUITTO ?? '', ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
      await within(new Promise<void>((resolve) => broker.stderr?.on('data', (chunk: Buffer) => chunk.includes('running') && resolve())), 'the start of Mosquitto', 10_000);
    });

    afterAll(async () => {
      if (broker.exitCode !== null) return;
      const ended = new Promise((resolve) => broker.once('exit', resolve));
      broker.kill();
      await ended;
    });

    const over = async (identity: Identity): Promise<Connected> => {
      const connected = await mqttConnect(port, { protocol: 'mqtts', protocolVersion: 5, ca: root, clientId: 'x', cert: identity.certificate, key: identity.privateKey });
      open.push(connected);
      return connected;
    };

    it('lets a good one in, refuses another authority’s, and a revoked one once it has read the list', async () => {
      const doomed = await issue(device.id);
      await over(mine);
      await over(doomed);
      await expect(over(await foreign(device.id))).rejects.toThrow();
      await revoke(doomed.serial);
      await app.app.get(CrlKeeper, { strict: false }).tick();
      const reloaded = within(new Promise<void>((resolve) => broker.stderr?.on('data', (chunk: Buffer) => chunk.includes('Reloading') && resolve())), 'the reload');
      broker.kill('SIGHUP');
      await reloaded;
      await expect(over(doomed)).rejects.toThrow();
      await over(mine);
    });

    it('gives each the topics of its own name, and takes nothing that is too large', async () => {
      const { client } = await over(mine);
      await publishTo(client, `devices/${device.id}/telemetry`, 'x'.repeat(8_192));
      await expect(publishTo(client, `devices/${other.id}/telemetry`, 'forged')).rejects.toThrow(/not authorized/i);
      await expect(publishTo(client, `devices/${device.id}/commands`, 'forged')).rejects.toThrow(/not authorized/i);
      // The client knows no such refusal (0x95): the broker's own word is taken.
      const dropped = within(new Promise<void>((resolve) => broker.stderr?.on('data', (chunk: Buffer) => chunk.includes('Dropped too large PUBLISH') && resolve())), 'the refusal');
      client.publish(`devices/${device.id}/telemetry`, 'x'.repeat(8_193), { qos: 1 });
      await dropped;
    });
  });
});
