import { Test, type TestingModule } from '@nestjs/testing';
import { readFile } from 'node:fs/promises';
import { AppModule } from '../../src/app.module.js';
import { DevicesService } from '../../src/devices/devices.service.js';
import { UnmanagedBroker } from '../../src/lifecycle/broker-control.js';
import { AuthoritiesService } from '../../src/pki/authorities.service.js';
import { CertificatesService, type CertificateGiven } from '../../src/pki/certificates.service.js';
import { CrlsService } from '../../src/pki/crls.service.js';
import { toPem } from '../../src/pki/der.js';
import type { KeyType, SignatureAlgorithm } from '../../src/pki/keys.js';
import { OcspService } from '../../src/pki/ocsp.service.js';
import { Signer, type HeldKey, type MadeKey } from '../../src/pki/signer.js';
import { SystemClock } from '../../src/platform/clock/clock.js';
import { Pools } from '../../src/platform/database/pools.js';
import { Transactions } from '../../src/platform/database/transactions.js';
import { MemoryStore } from '../../src/platform/redis/memory-store.js';
import { TenantsService } from '../../src/users/tenants.service.js';
import { cloneDatabase, type TestDatabase } from '../factories/database.js';
import { OpenSsl } from '../factories/openssl.js';
import { testConfig } from '../factories/room.js';

/** Stands for a key management service: keys that only openssl ever holds; this process knows their names. */
class OutsideSigner extends Signer {
  signatures = 0;

  constructor(private readonly openssl: OpenSsl) {
    super();
  }

  override async make(id: string, type: KeyType): Promise<MadeKey> {
    await this.openssl.must('genpkey', '-algorithm', type, '-pkeyopt', type === 'EC' ? 'ec_paramgen_curve:P-256' : 'rsa_keygen_bits:2048', '-out', `${id}.key`);
    await this.openssl.must('pkey', '-in', `${id}.key`, '-pubout', '-outform', 'DER', '-out', `${id}.pub`);
    return { handle: Buffer.from(`outside/${id}`), spki: await readFile(this.openssl.file(`${id}.pub`)) };
  }

  override async sign({ handle }: HeldKey, algorithm: SignatureAlgorithm, bytes: Buffer): Promise<Buffer> {
    const name = handle.toString().replace('outside/', '');
    this.signatures += 1;
    const file = `${name}.${this.signatures}`;
    await this.openssl.write(file, bytes);
    await this.openssl.must('dgst', algorithm === 'ecdsa-sha384' ? '-sha384' : '-sha256', '-sign', `${name}.key`, '-out', `${file}.sig`, file);
    return readFile(this.openssl.file(`${file}.sig`));
  }
}

describe.each(['EC', 'RSA'] as const)('a signer outside (%s)', (keyType) => {
  let database: TestDatabase;
  let rooms: TestingModule;
  let openssl: OpenSsl;
  let signer: OutsideSigner;

  beforeAll(async () => {
    openssl = await OpenSsl.open();
    signer = new OutsideSigner(openssl);
    database = await cloneDatabase();
    const clock = new SystemClock();
    const config = testConfig(database, { PKI_KEY_TYPE: keyType, PKI_PUBLIC_URL: 'http://pki.example.test' });
    const house = AppModule.forRoot({ config, store: new MemoryStore({ clock }), brokerControl: new UnmanagedBroker(), clock });
    rooms = await Test.createTestingModule({ imports: [house] }).overrideProvider(Signer).useValue(signer).compile();
    await rooms.init();
  });

  afterAll(async () => {
    await rooms.close();
    await database.drop();
    await openssl.close();
  });

  it('signs authorities, certificates, lists and answers, and no private key of an authority is ever here', async () => {
    const certificates = rooms.get(CertificatesService, { strict: false });
    const tenantId = await rooms.get(TenantsService, { strict: false }).defaultTenantId();
    const transactions = rooms.get(Transactions, { strict: false });
    const { key, authority } = await certificates.prepare(tenantId, { generate: 'EC' });
    const given = await transactions.run({ tenantId }, async (tx): Promise<CertificateGiven> => {
      const { id } = await rooms.get(DevicesService, { strict: false }).create(tx, { slug: 'pump', status: 'ACTIVE' });
      return certificates.issue(tx, { owner: { kind: 'device', id, tenantId }, key, authority });
    });
    const root = await rooms.get(AuthoritiesService, { strict: false }).root();
    await openssl.write('root.pem', toPem('CERTIFICATE', root.certificate));
    await openssl.write('device.pem', given.certificate);
    await openssl.write('chain.pem', given.chain);
    const crls = await Promise.all([rooms.get(CrlsService, { strict: false }).current(authority.authority.id, tenantId), rooms.get(CrlsService, { strict: false }).current(root.id, null)]);
    await openssl.write('crls.pem', crls.map((crl) => crl?.pem ?? '').join(''));
    expect(await openssl.must('verify', '-x509_strict', '-crl_check_all', '-CAfile', 'root.pem', '-untrusted', 'chain.pem', '-CRLfile', 'crls.pem', 'device.pem')).toBe('device.pem: OK\n');
    await openssl.must('ocsp', '-issuer', 'chain.pem', '-cert', 'device.pem', '-no_nonce', '-reqout', 'question.der');
    await openssl.write('answer.der', await rooms.get(OcspService, { strict: false }).answer(authority.authority.id, tenantId, await readFile(openssl.file('question.der'))));
    const answer = await openssl.run('ocsp', '-issuer', 'chain.pem', '-cert', 'device.pem', '-respin', 'answer.der', '-CAfile', 'chain.pem');
    expect(answer.text).toMatch(/device\.pem: good[\s\S]*Response verify OK/);
    // Root, issuing authority, responder; certificate, two lists, an answer.
    expect(signer.signatures).toBe(7);
    const { rows } = await rooms.get(Pools, { strict: false }).reader.query<{ id: string; key_here: boolean }>('SELECT id, key_here FROM certificate_authorities');
    expect(rows).toHaveLength(3);
    await transactions.run({ tenantId }, async (tx) => {
      for (const { id } of rows) {
        const [held] = await tx.query<{ key_handle: Buffer }>('SELECT key_handle FROM certificate_authorities WHERE id = $1', [id]);
        expect(held?.key_handle.toString()).toBe(`outside/${id}`);
      }
    });
  });

  it('that does not answer stops issuing, and leaves nothing half-made', async () => {
    const certificates = rooms.get(CertificatesService, { strict: false });
    const tenantId = await rooms.get(TenantsService, { strict: false }).defaultTenantId();
    const transactions = rooms.get(Transactions, { strict: false });
    const { key, authority } = await certificates.prepare(tenantId, { generate: 'EC' });
    const signs = jest.spyOn(signer, 'sign').mockRejectedValue(new Error('the service is down'));
    await expect(transactions.run({ tenantId }, async (tx) => {
      const { id } = await rooms.get(DevicesService, { strict: false }).create(tx, { slug: 'valve', status: 'ACTIVE' });
      return certificates.issue(tx, { owner: { kind: 'device', id, tenantId }, key, authority });
    })).rejects.toThrow('the service is down');
    const before = await rooms.get(CrlsService, { strict: false }).current(authority.authority.id, tenantId);
    await expect(rooms.get(AuthoritiesService, { strict: false }).rollOver(tenantId)).rejects.toThrow('the service is down');
    signs.mockRestore();
    expect((await rooms.get(AuthoritiesService, { strict: false }).issuing(tenantId)).authority.id).toBe(authority.authority.id);
    expect(await rooms.get(CrlsService, { strict: false }).current(authority.authority.id, tenantId)).toEqual(before);
  });
});
