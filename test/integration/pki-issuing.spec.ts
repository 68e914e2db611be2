import { randomUUID } from 'node:crypto';
import { DevicesService } from '../../src/devices/devices.service.js';
import { CertificateUse } from '../../src/pki/certificate-use.js';
import type { CertificateRecord } from '../../src/pki/certificate.js';
import { CertificateDrafts } from '../../src/pki/certificate-drafts.js';
import { CertificatesService, type CertificateOrder } from '../../src/pki/certificates.service.js';
import { generateKey, spkiOf } from '../../src/pki/keys.js';
import { Pools } from '../../src/platform/database/pools.js';
import { Transactions, type Transaction } from '../../src/platform/database/transactions.js';
import { TenantsService } from '../../src/users/tenants.service.js';
import { TestApp } from '../factories/app.js';
import { administer } from '../factories/database.js';
import { until } from '../factories/until.js';

describe('issuing many certificates together', () => {
  let app: TestApp;
  let tenantId: string;
  let certificates: CertificatesService;

  beforeAll(async () => {
    app = await TestApp.start();
    tenantId = await app.app.get(TenantsService).defaultTenantId();
    certificates = app.app.get(CertificatesService);
  });

  afterAll(() => app.stop());

  const run = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => app.app.get(Transactions).run({ tenantId }, work);

  const ordersOf = async (tx: Transaction, count: number): Promise<CertificateOrder[]> => {
    const orders: CertificateOrder[] = [];
    for (let i = 0; i < count; i += 1) {
      const { id } = await app.app.get(DevicesService, { strict: false }).create(tx, { slug: `d-${randomUUID()}`, status: 'ACTIVE' });
      orders.push({ owner: { kind: 'device', id, tenantId }, key: { spki: spkiOf(await generateKey('EC')), privateKey: null } });
    }
    return orders;
  };

  it('looks each key up, and never walks through all that were ever certified', async () => {
    const authority = await certificates.authority(tenantId);
    await administer(app.database.url, async (owner) => {
      await owner.query(`INSERT INTO certified_keys (hash, tenant_id, owner_id) SELECT sha256(i::text::bytea), $1, gen_random_uuid() FROM generate_series(1, 1000) AS i`, [tenantId]);
      await owner.query('ANALYZE certified_keys');
    });
    const walked = await run(async (tx) => {
      const orders = await ordersOf(tx, 12);
      // Often enough for Postgres to keep a plan for the statement.
      for (let i = 0; i < 8; i += 1) expect((await certificates.issueAll(tx, authority, orders)).some((one) => one instanceof Error)).toBe(false);
      const [row] = await tx.query<{ scans: number }>(`SELECT seq_scan::int AS scans FROM pg_stat_xact_user_tables WHERE relname = 'certified_keys'`);
      return row?.scans;
    });
    expect(walked).toBe(0);
  });

  it('fails as a whole when the thread that drafts ends, keeps nothing, and works again at once', async () => {
    const authority = await certificates.authority(tenantId);
    const drafts = app.app.get(CertificateDrafts, { strict: false });
    const count = async (): Promise<number> => (await run((tx) => tx.query<{ n: number }>('SELECT count(*)::int AS n FROM certificates')))[0]?.n ?? 0;
    const before = await count();
    const failed = run(async (tx) => {
      const orders = await ordersOf(tx, 4);
      const issuing = certificates.issueAll(tx, authority, orders);
      await drafts.onApplicationShutdown();
      return issuing;
    });
    await expect(failed).rejects.toThrow('the thread was stopped');
    expect(await count()).toBe(before);
    await run(async (tx) => certificates.issueAll(tx, authority, await ordersOf(tx, 4)));
    expect(await count()).toBe(before + 4);
  });

  it('does not wait in a circle with the first use of the certificate that is renewed', async () => {
    const authority = await certificates.authority(tenantId);
    const [order] = await run((tx) => ordersOf(tx, 1)) as [CertificateOrder];
    const { id: deviceId } = order.owner;
    const issue = (renews?: CertificateRecord): Promise<unknown> => run((tx) => certificates.issue(tx, { ...order, authority, ...(renews ? { renews } : {}) }));
    const live = (): Promise<CertificateRecord[]> => run((tx) => certificates.live(tx, deviceId));
    await issue();
    await issue((await live())[0]);
    const [first, second] = await live() as [CertificateRecord, CertificateRecord];
    const use = app.app.get(CertificateUse, { strict: false });
    let noted: Promise<void> | undefined;
    await run(async (tx) => {
      await app.app.get(DevicesService, { strict: false }).lockStates(tx, [deviceId]);
      use.note(second.id, order.owner, Date.now());
      noted = use.flush();
      await until('the use waits for the device', async () => {
        const { rows } = await app.app.get(Pools).reader.query<{ n: number }>(`SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted`);
        return (rows[0]?.n ?? 0) > 0;
      });
      // What it will change is still free.
      await tx.query('SELECT FROM certificates WHERE id = ANY($1::uuid[]) FOR NO KEY UPDATE NOWAIT', [[first.id, second.id]]);
      await certificates.issue(tx, { ...order, authority, renews: second });
    });
    await noted;
    // Both happened: the first one ended with the use of the second, which has a successor.
    const after = await run((tx) => certificates.unexpired(tx, deviceId));
    expect(after.find(({ id }) => id === first.id)?.endsAt?.getTime()).toBeLessThanOrEqual(Date.now());
    expect(after.find(({ id }) => id === second.id)).toMatchObject({ supersededAt: expect.any(Date), firstUsedAt: expect.any(Date) });
  });
});
