import { DevicesService } from '../../src/devices/devices.service.js';
import { AuthoritiesService } from '../../src/pki/authorities.service.js';
import { ISSUING_LIFE_MS, ROOT_LIFE_MS } from '../../src/pki/authority.js';
import { CertificatesService } from '../../src/pki/certificates.service.js';
import { ExpiryListener, ExpiryListeners } from '../../src/pki/expiry-listeners.js';
import { ExpiryMonitor } from '../../src/pki/expiry-monitor.js';
import type { ExpiryNotice } from '../../src/pki/expiry.js';
import { ExpiryRepository } from '../../src/pki/expiry.repository.js';
import { generateKey, spkiOf } from '../../src/pki/keys.js';
import { Pools } from '../../src/platform/database/pools.js';
import { Transactions } from '../../src/platform/database/transactions.js';
import { Metrics } from '../../src/platform/telemetry/metrics.js';
import { TenantsService } from '../../src/users/tenants.service.js';
import { TestApp } from '../factories/app.js';
import { administer } from '../factories/database.js';
import { FakeClock } from '../fakes/fake-clock.js';

const DAY_MS = 86_400_000;

class Heard extends ExpiryListener {
  readonly notices: ExpiryNotice[] = [];

  override expiring(notices: readonly ExpiryNotice[]): void {
    this.notices.push(...notices);
  }
}

interface Warned {
  readonly event_type: string;
  readonly severity: string;
  readonly device_id: string | null;
  readonly details: { readonly serial: string; readonly threshold: string };
}

describe('what ends soon', () => {
  let first: TestApp;
  let second: TestApp;
  let clock: FakeClock;
  let tenantId: string;
  let heard: Heard;
  const start = Date.now();

  const inTenant = <T>(work: (tx: Parameters<Parameters<Transactions['run']>[1]>[0]) => Promise<T>): Promise<T> =>
    first.app.get(Transactions).run({ tenantId }, work);

  /** A device's certificate that lives for so many days. */
  const certified = async (slug: string, days: number): Promise<{ id: string; serial: string }> => {
    const certificates = first.app.get(CertificatesService);
    const { key, authority } = await certificates.prepare(tenantId, { generate: 'EC' });
    return inTenant(async (tx) => {
      const { id } = await first.app.get(DevicesService, { strict: false }).create(tx, { slug, status: 'ACTIVE' });
      const { serial } = await certificates.issue(tx, { owner: { kind: 'device', id, tenantId }, key, authority, ttlMs: days * DAY_MS });
      return { id, serial };
    });
  };

  const look = (app = first): Promise<void> => app.app.get(ExpiryMonitor, { strict: false }).look();

  const written = async (type = 'CERT_EXPIRING'): Promise<Warned[]> => {
    const { rows } = await first.app.get(Pools).reader.query<Warned>(
      'SELECT event_type, severity, device_id, details FROM security_audit_logs WHERE event_type = $1 ORDER BY occurred_at, id', [type],
    );
    return rows;
  };

  const shown = async (name: string): Promise<string[]> =>
    (await first.app.get(Metrics).registry.metrics()).split('\n').filter((line) => line.startsWith(name));

  beforeAll(async () => {
    clock = new FakeClock(start);
    first = await TestApp.start({ clock });
    second = await TestApp.start({ clock, database: first.database, config: first.config });
    tenantId = await first.app.get(TenantsService).defaultTenantId();
    heard = new Heard();
    first.app.get(ExpiryListeners).register(heard);
    second.app.get(ExpiryListeners).register(heard);
  });

  /** Each test begins in the same moment, with nothing issued and nothing told. */
  beforeEach(async () => {
    clock.set(start);
    heard.notices.length = 0;
    await administer(first.database.url, async (client) => {
      await client.query('TRUNCATE certificates CASCADE');
      await client.query('TRUNCATE security_audit_logs');
    });
  });

  afterAll(async () => {
    await second.stop();
    await first.stop();
  });

  it('is told once a threshold: 30 days or a third of life, the shorter, then 7 days or a twelfth', async () => {
    const year = await certified('year', 365);
    const quarter = await certified('quarter', 90);
    const day = await certified('day', 1);
    await look();
    expect(await written()).toEqual([]);
    clock.advance(0.7 * DAY_MS);
    await look();
    await look(second);
    expect(await written()).toMatchObject([{ severity: 'WARNING', device_id: day.id, details: { serial: day.serial, threshold: 'soon' } }]);
    clock.advance(59.5 * DAY_MS);
    await look();
    expect((await written()).map(({ device_id: id, details }) => [id, details.threshold])).toEqual([[day.id, 'soon'], [quarter.id, 'soon']]);
    clock.advance(23 * DAY_MS);
    await look();
    await look();
    expect((await written()).slice(2)).toMatchObject([{ severity: 'HIGH', device_id: quarter.id, details: { threshold: 'last' } }]);
    // Nobody looked between its two thresholds: the nearer one is told, alone.
    clock.advance(280 * DAY_MS);
    await look();
    clock.advance(DAY_MS);
    await look();
    expect((await written()).slice(3)).toMatchObject([{ device_id: year.id, details: { threshold: 'last' } }]);
    expect(heard.notices.map(({ serial, threshold }) => [serial, threshold])).toEqual([
      [day.serial, 'soon'], [quarter.serial, 'soon'], [quarter.serial, 'last'], [year.serial, 'last'],
    ]);
    expect(heard.notices[0]).toMatchObject({ kind: 'certificate', tenantId, owner: { kind: 'device', id: day.id } });
  });

  it('is not told of what was renewed or revoked', async () => {
    const certificates = first.app.get(CertificatesService);
    const renewed = await certified('renewed', 90);
    const revoked = await certified('revoked', 90);
    clock.advance(50 * DAY_MS);
    const { authority } = await certificates.prepare(tenantId, { generate: 'EC' });
    const spki = spkiOf(await generateKey('EC'));
    await inTenant(async (tx) => {
      const renews = await certificates.get(tx, renewed.serial);
      await certificates.issue(tx, { owner: { kind: 'device', id: renewed.id, tenantId }, key: { spki, privateKey: null }, authority, renews });
      await certificates.revoke(tx, [await certificates.get(tx, revoked.serial)], 'superseded');
    });
    clock.advance(35 * DAY_MS);
    await look();
    expect(await written()).toEqual([]);
  });

  it('is told exactly once where two instances look in the same moment', async () => {
    for (let i = 0; i < 12; i += 1) await certified(`d${i}`, 30);
    clock.advance(21 * DAY_MS);
    await Promise.all([look(first), look(second), look(first), look(second)]);
    const serials = (await written()).map(({ details }) => details.serial);
    expect(new Set(serials).size).toBe(12);
    expect(serials).toHaveLength(12);
    expect(heard.notices).toHaveLength(12);
  });

  it('is looked at by one instance alone, and by another once the connection of the first has gone', async () => {
    const { id } = await certified('waits', 30);
    clock.advance(21 * DAY_MS);
    let meanwhile: Warned[] = [];
    const held = first.app.get(ExpiryRepository, { strict: false }).alone(async () => {
      await look(second);
      meanwhile = await written();
      // As Postgres sees an instance that was killed.
      await administer(first.database.url, (client) => client.query(
        `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
          WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objid = $1 AND l.granted`, [0x65787079],
      ));
    });
    await held.catch(() => undefined);
    expect(meanwhile).toEqual([]);
    await look(second);
    expect(await written()).toMatchObject([{ device_id: id }]);
  });

  it('is marked with its row in the log or not at all: what failed half-way is told by the next look, and nothing twice', async () => {
    const devices = [await certified('a', 30), await certified('b', 30)];
    clock.advance(21 * DAY_MS);
    await administer(first.database.url, async (client) => {
      await client.query(`CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.event_type = 'CERT_EXPIRING' THEN RAISE EXCEPTION 'the disk is full'; END IF; RETURN NEW; END $$`);
      await client.query('CREATE TRIGGER fails BEFORE INSERT ON security_audit_logs FOR EACH ROW EXECUTE FUNCTION fails()');
    });
    await look();
    expect(heard.notices).toEqual([]);
    await administer(first.database.url, (client) => client.query('DROP TRIGGER fails ON security_audit_logs'));
    await look();
    await look(second);
    expect((await written()).map(({ device_id: id }) => id).sort()).toEqual(devices.map(({ id }) => id).sort());
  });

  it('stands in the metrics, by days left', async () => {
    await certified('long', 365);
    await certified('short', 5);
    await certified('gone', 2);
    clock.advance(4.5 * DAY_MS);
    await look();
    expect(await shown('portcullis_certificates{')).toEqual([
      'portcullis_certificates{left="ended"} 1', 'portcullis_certificates{left="1d"} 1', 'portcullis_certificates{left="7d"} 0',
      'portcullis_certificates{left="30d"} 0', 'portcullis_certificates{left="more"} 1',
    ]);
    const [line = ''] = await shown('portcullis_authority_days_left');
    expect(Number(line.split(' ')[1])).toBeCloseTo(ISSUING_LIFE_MS / DAY_MS - 4.5, 2);
  });

  it('replaces an issuing authority by itself before it ends, and tells of a root', async () => {
    const authorities = first.app.get(AuthoritiesService);
    const before = await authorities.issuing(tenantId);
    clock.advance(ISSUING_LIFE_MS - 399 * DAY_MS);
    await Promise.all([look(first), look(second)]);
    const after = await authorities.issuing(tenantId);
    expect(after.authority.id).not.toBe(before.authority.id);
    expect(await written('CA_EXPIRING')).toEqual([]);
    expect(await written('CA_RETIRED')).toHaveLength(1);
    clock.advance(ROOT_LIFE_MS - ISSUING_LIFE_MS);
    await look();
    await look(second);
    const root = await authorities.root();
    expect((await written('CA_EXPIRING')).filter(({ details }) => details.serial === root.serial)).toMatchObject([{ severity: 'HIGH', details: { threshold: 'soon' } }]);
    expect(heard.notices.filter(({ id }) => id === root.id)).toMatchObject([{ kind: 'authority', tenantId: null, owner: null }]);
  });
});
