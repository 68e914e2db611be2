import { createHash, randomInt } from 'node:crypto';
import { DevicesService } from '../../src/devices/devices.service.js';
import type { CertificateRecord } from '../../src/pki/certificate.js';
import { CertificatesService } from '../../src/pki/certificates.service.js';
import { CrlsService } from '../../src/pki/crls.service.js';
import { REVOKE_REASONS } from '../../src/pki/crl.js';
import { oidOf, partsOf, readOne } from '../../src/pki/der-reader.js';
import { NULL, octets, oid, sequence, toPem, unsigned } from '../../src/pki/der.js';
import { OID } from '../../src/pki/extensions.js';
import { generateKey, spkiOf } from '../../src/pki/keys.js';
import { OcspService } from '../../src/pki/ocsp.service.js';
import type { SigningAuthority } from '../../src/pki/authorities.service.js';
import { Transactions } from '../../src/platform/database/transactions.js';
import { TenantsService } from '../../src/users/tenants.service.js';
import { TestApp } from '../factories/app.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { OpenSsl } from '../factories/openssl.js';

const DAY_MS = 86_400_000;
/** Fifty certificates a round. */
const ROUNDS = process.env['PORTCULLIS_LONG'] ? 100 : 12;

type Rooms = TestApp['app'];

interface ReadCrl {
  readonly number: bigint;
  /** Reason code by serial. */
  readonly entries: ReadonlyMap<string, number>;
  readonly hasList: boolean;
}

/** The list as its bytes stand. */
function readCrl(der: Buffer): ReadCrl {
  const [signed] = partsOf(readOne(der));
  const parts = partsOf(signed);
  const list = parts.at(-2)?.tag === 0x30 ? parts.at(-2) : undefined;
  const entries = new Map((list === undefined ? [] : partsOf(list)).map((entry) => {
    const [serial, , extensions] = partsOf(entry);
    const reason = extensions === undefined ? 0 : (readOne(partsOf(partsOf(extensions)[0])[1]?.contents ?? Buffer.alloc(0)).contents[0] ?? 0);
    return [serial?.contents.toString('hex') ?? '', reason] as const;
  }));
  const number = partsOf(readOne(parts.at(-1)?.contents ?? Buffer.alloc(0))).map((field) => partsOf(field)).find(([id]) => oidOf(id) === OID.crlNumber);
  return { number: BigInt(`0x${readOne(number?.at(-1)?.contents ?? Buffer.alloc(0)).contents.toString('hex')}`), entries, hasList: list !== undefined };
}

/** What an answer says about its only certificate: 0 good, 1 revoked, 2 unknown. */
function statusOf(der: Buffer): number {
  const [, wrapped] = partsOf(readOne(der));
  const [, basic] = partsOf(partsOf(wrapped, 0xa0)[0]);
  const [data] = partsOf(readOne(basic?.contents ?? Buffer.alloc(0)));
  const responses = partsOf(data).find(({ tag }) => tag === 0x30);
  const [, status] = partsOf(partsOf(responses)[0]);
  return (status?.tag ?? 0) & 0x1f;
}

function question({ issuer }: SigningAuthority, serial: string): Buffer {
  const sha1 = (bytes: Buffer): Buffer => createHash('sha1').update(bytes).digest();
  const [, key] = partsOf(readOne(issuer.spki));
  const id = sequence(sequence(oid('1.3.14.3.2.26'), NULL), octets(sha1(issuer.name)), octets(sha1((key?.contents ?? Buffer.alloc(0)).subarray(1))), unsigned(Buffer.from(serial, 'hex')));
  return sequence(sequence(sequence(sequence(id))));
}

describe('authorities and revocation on a real database', () => {
  let first: TestApp;
  let second: TestApp;
  let clock: FakeClock;
  let one: Rooms;
  let two: Rooms;
  let tenantId: string;

  const inTenant = <T>(rooms: Rooms, work: Parameters<Transactions['run']>[1]): Promise<T> => rooms.get(Transactions).run({ tenantId }, work) as Promise<T>;

  const newDevice = (slug: string): Promise<string> =>
    inTenant(one, async (tx) => (await one.get(DevicesService, { strict: false }).create(tx, { slug, status: 'ACTIVE' })).id);

  const current = async (rooms: Rooms, { authority }: SigningAuthority): Promise<Buffer> =>
    (await rooms.get(CrlsService).current(authority.id, tenantId))?.der ?? Buffer.alloc(0);

  beforeEach(async () => {
    clock = new FakeClock(Date.now());
    first = await TestApp.start({ clock });
    second = await TestApp.start({ clock, database: first.database, config: first.config });
    one = first.app;
    two = second.app;
    tenantId = await one.get(TenantsService).defaultTenantId();
  });

  afterEach(async () => {
    await second.stop();
    await first.stop();
  });

  it('makes one root and one issuing authority, however many instances need the first one at once', async () => {
    const prepared = await Promise.all([one, two, one, two].map((rooms) => rooms.get(CertificatesService).prepare(tenantId, { generate: 'EC' })));
    expect(new Set(prepared.map(({ authority }) => authority.authority.id)).size).toBe(1);
    expect(new Set(prepared.map(({ authority }) => authority.authority.parentId)).size).toBe(1);
  });

  it('never repeats a list number and loses no revocation when two instances revoke at once', async () => {
    const certificates = one.get(CertificatesService);
    const { authority } = await certificates.prepare(tenantId, { generate: 'EC' });
    const serials: string[] = [];
    for (let i = 0; i < 40; i += 1) {
      const id = await newDevice(`d${i}`);
      const { key } = await certificates.prepare(tenantId, { generate: 'EC' });
      serials.push(await inTenant(one, async (tx) => (await certificates.issue(tx, { owner: { kind: 'device', id, tenantId }, key, authority })).serial));
    }
    const numbers: bigint[] = [];
    const served = await Promise.all(serials.map(async (serial, i) => {
      const rooms = i % 2 === 0 ? one : two;
      await inTenant(rooms, async (tx) => {
        const own = rooms.get(CertificatesService);
        await own.revoke(tx, [await own.revocable(tx, serial)], 'keyCompromise');
      });
      numbers.push(await rooms.get(CrlsService).publish(authority.authority.id, tenantId));
      // Whoever is answered finds it on the list that is served, at either instance.
      return [readCrl(await current(one, authority)), readCrl(await current(two, authority))].every(({ entries }) => entries.get(serial) === 1);
    }));
    expect(served).not.toContain(false);
    const last = readCrl(await current(two, authority));
    expect([...last.entries.keys()].sort()).toEqual([...serials].sort());
    expect(last.number).toBe(numbers.reduce((a, b) => (a > b ? a : b)));
    expect(last.number).toBeLessThanOrEqual(40n);
  });

  it('lets a certificate in that was issued a moment ago, at an instance that has the records before it in memory', async () => {
    const device = await first.registerDevice('pump');
    const issue = async (): Promise<string> => (await first.call<{ certificate: string }>('POST', `/devices/${device.id}/certificates`, { generate: true })).body.certificate;
    const connect = async (certificate: string): Promise<string> => (await second.ask('mqtt-auth', {
      clientid: device.id, username: device.id, listener_kind: 'mtls', cert_pem: certificate.replace(/-----[^-]+-----|\s/g, ''),
    })).body.result;
    const earlier = await issue();
    // Made-up issuers are not looked for again at once.
    clock.advance(2_000);
    expect(await connect(earlier)).toBe('allow');
    expect(await connect(await issue())).toBe('allow');
  });

  it('serves the list before, whole, while a build dies half-way, and the next one has everything', async () => {
    const certificates = one.get(CertificatesService);
    const { authority, key } = await certificates.prepare(tenantId, { generate: 'EC' });
    const before = await current(one, authority);
    expect(readCrl(before)).toMatchObject({ number: 1n, hasList: false });
    const id = await newDevice('dies');
    const { serial } = await inTenant<{ serial: string }>(one, (tx) => certificates.issue(tx, { owner: { kind: 'device', id, tenantId }, key, authority }));
    await inTenant(one, async (tx) => certificates.revoke(tx, [await certificates.revocable(tx, serial)], 'superseded'));
    // Postgres ends the builder's connection in the middle of its transaction, as a kill would.
    await expect(inTenant(one, async (tx) => {
      await tx.query('SELECT crl_number FROM certificate_authorities WHERE id = $1 FOR NO KEY UPDATE', [authority.authority.id]);
      await tx.query('UPDATE certificate_authorities SET crl_number = crl_number + 1 WHERE id = $1', [authority.authority.id]);
      await tx.query('SELECT pg_terminate_backend(pg_backend_pid())');
    })).rejects.toThrow();
    expect(await current(two, authority)).toEqual(before);
    expect(await two.get(CrlsService).publish(authority.authority.id, tenantId)).toBe(2n);
    expect(readCrl(await current(one, authority)).entries.get(serial)).toBe(4);
  });

  it('is right about every certificate after a long random life', async () => {
    const openssl = await OpenSsl.open();
    const certificates = one.get(CertificatesService);
    const { authority } = await certificates.prepare(tenantId, { generate: 'EC' });
    const devices: { id: string; spki: Buffer }[] = [];
    for (let i = 0; i < 50; i += 1) devices.push({ id: await newDevice(`r${i}`), spki: spkiOf(await generateKey('EC')) });
    const end = new Map<string, number>();
    const revoked = new Map<string, number>();
    let lastNumber = 0n;
    for (let round = 0; round < ROUNDS; round += 1) {
      await inTenant(one, async (tx) => {
        for (let i = 0; i < 50; i += 1) {
          const { id, spki } = devices[randomInt(devices.length)] as (typeof devices)[number];
          const live = i % 5 === 0 ? (await certificates.live(tx, id)).at(-1) : undefined;
          const issued = await certificates.issue(tx, {
            owner: { kind: 'device', id, tenantId }, key: { spki, privateKey: null }, authority, ttlMs: randomInt(1, 60) * DAY_MS, ...(live ? { renews: live } : {}),
          });
          end.set(issued.serial, issued.notAfter.getTime());
        }
      });
      const good = [...end].filter(([serial, notAfter]) => !revoked.has(serial) && notAfter > clock.now()).map(([serial]) => serial);
      const reason = REVOKE_REASONS[randomInt(REVOKE_REASONS.length)] ?? 'unspecified';
      await inTenant(one, async (tx) => {
        const chosen = [...new Set(Array.from({ length: 8 }, () => good[randomInt(good.length)] ?? ''))];
        const records: CertificateRecord[] = [];
        for (const serial of chosen) records.push(await certificates.revocable(tx, serial));
        for (const { serial } of (await certificates.revoke(tx, records, reason)).certificates) revoked.set(serial, REVOKE_REASONS.indexOf(reason));
      });
      await one.get(CrlsService).publish(authority.authority.id, tenantId);
      const crl = readCrl(await current(one, authority));
      expect(crl.number).toBeGreaterThan(lastNumber);
      lastNumber = crl.number;
      // Nothing revoked is missing before it has ended, and nothing is there that was not revoked.
      const now = clock.now();
      for (const serial of revoked.keys()) if ((end.get(serial) ?? 0) >= now && !crl.entries.has(serial)) throw new Error(`${serial} is missing`);
      for (const serial of crl.entries.keys()) if (!revoked.has(serial)) throw new Error(`${serial} was never revoked`);
      clock.advance(randomInt(1, 24) * 3_600_000);
    }
    expect(end.size).toBe(ROUNDS * 50);
    const ocsp = one.get(OcspService);
    for (const serial of end.keys()) {
      const status = statusOf(await ocsp.answer(authority.authority.id, tenantId, question(authority, serial)));
      if (status !== (revoked.has(serial) ? 1 : 0)) throw new Error(`OCSP says ${status} of ${serial}`);
    }
    expect(statusOf(await ocsp.answer(authority.authority.id, tenantId, question(authority, '5'.repeat(40))))).toBe(2);
    // An entry leaves after it stood on one list past its end.
    clock.advance(61 * DAY_MS);
    const last = readCrl(await (async () => (await one.get(CrlsService).publish(authority.authority.id, tenantId), current(one, authority)))());
    const stillThere = [...last.entries.keys()];
    expect(stillThere.length).toBeGreaterThan(0);
    clock.advance(2 * DAY_MS);
    await one.get(CrlsService).publish(authority.authority.id, tenantId);
    const empty = await current(one, authority);
    expect(readCrl(empty)).toMatchObject({ hasList: false, number: last.number + 1n });
    await openssl.write('empty.pem', toPem('X509 CRL', empty));
    await openssl.write('ca.pem', toPem('CERTIFICATE', authority.authority.certificate));
    expect(await openssl.must('crl', '-in', 'empty.pem', '-noout', '-text', '-CAfile', 'ca.pem')).toContain('No Revoked Certificates');
    await openssl.close();
  }, 180_000);
});
