import { X509Certificate } from 'node:crypto';
import { ADMIN, TestApp, type RegisteredDevice } from '../factories/app.js';
import { administer } from '../factories/database.js';
import { mqttConnect, within } from '../factories/mqtt-client.js';
import { OpenSsl } from '../factories/openssl.js';

const PASSWORD = 'vbx7-aqk-lantern';

let app: TestApp;
beforeAll(async () => (app = await TestApp.start({ broker: true })));
afterAll(() => app.stop());

interface Report {
  readonly status: string;
  readonly statusBefore: string;
  readonly credentialsRevoked: string[];
  readonly groupsLeft: string[];
  readonly groups: string[];
  readonly certificatesRevoked: string[];
  readonly crlPublished: boolean | null;
  readonly ejection: { readonly confirmed: boolean; readonly totalMs: number; readonly steps: { readonly step: string; readonly ms: number }[] };
}

interface Issued {
  readonly serial: string;
  readonly certificate: string;
}

/** What the revocation list of a certificate's authority says, in the words of openssl. */
async function listOf({ certificate }: Issued): Promise<string> {
  const path = /\/pki\/[0-9a-f-]{36}/.exec(new X509Certificate(certificate).infoAccess ?? '')?.[0] ?? '';
  const openssl = await OpenSsl.open();
  try {
    await openssl.write('crl.pem', await (await fetch(`${app.url}${path}/crl.pem`)).text());
    return (await openssl.must('crl', '-in', 'crl.pem', '-noout', '-text')).toLowerCase();
  } finally {
    await openssl.close();
  }
}

const connects = async ({ id }: RegisteredDevice, { certificate }: Issued): Promise<string> => {
  const question = { clientid: id, username: id, listener_kind: 'mtls', cert_pem: certificate.replace(/-----[^-]+-----|\s/g, ''), cert_common_name: id, cert_subject: `CN=${id}` };
  return (await app.ask('mqtt-auth', question)).body.result;
};

describe('a compromised device', () => {
  it.each([['quarantine', 'QUARANTINED'], ['suspend', 'SUSPENDED']])('is cut off in one call (%s), and again is nothing more', async (confinement, status) => {
    const group = await app.call<{ id: string }>('POST', '/groups', { slug: `fleet-${confinement}` });
    const device = await app.registerDevice(`lost-${confinement}`, { groups: [group.body.id], credentials: ['secret', 'token', 'hmac'] });
    const { client } = await mqttConnect(app.broker!.port, { clientId: device.id, username: device.id, password: device.client_secret });
    const closed = within(new Promise<void>((resolve) => client.once('close', () => resolve())), 'the ejection');
    const order = () => app.call<Report>('POST', `/devices/${device.id}/compromised`, { reason: 'stolen', confinement });
    const first = await order();
    await closed;
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({ status, statusBefore: 'ACTIVE', groupsLeft: [group.body.id], groups: [], ejection: { confirmed: true } });
    expect(first.body.credentialsRevoked).toHaveLength(3);
    for (const password of [device.client_secret, device.access_token]) {
      expect((await app.ask('mqtt-auth', { clientid: device.id, username: device.id, password })).body.result).toBe('deny');
    }
    const again = await order();
    expect(again.body).toMatchObject({ status, statusBefore: status, credentialsRevoked: [], groupsLeft: [] });
    await app.call('POST', `/devices/${device.id}/decommission`, { reason: 'gone' });
    expect(await order()).toMatchObject({ status: 409, body: { code: 'DEVICE_DECOMMISSIONED' } });
  });
});

describe('the certificates of a compromised device', () => {
  it('are revoked as compromised, those it no longer connects with among them, and stand on the list when the answer comes', async () => {
    const device = await app.registerDevice('cloned', { credentials: ['secret', 'certificate'] }) as RegisteredDevice & { certificate: Issued };
    const issued = await app.call<Issued>('POST', `/devices/${device.id}/certificates`, { generate: true });
    const [older, newer] = [device.certificate, issued.body];
    await administer(app.database.url, (client) =>
      client.query(`UPDATE certificates SET superseded_at = now() - interval '2 days', ends_at = now() - interval '1 day' WHERE serial = $1`, [older.serial]));
    expect(await connects(device, newer)).toBe('allow');
    const order = () => app.call<Report>('POST', `/devices/${device.id}/compromised`, { reason: 'stolen' });
    const { body } = await order();
    const serials = [older.serial, newer.serial].sort();
    expect({ serials: [...body.certificatesRevoked].sort(), published: body.crlPublished }).toEqual({ serials, published: true });
    const steps = body.ejection.steps.map(({ step }) => step);
    expect(steps).toEqual(expect.arrayContaining(['confine', 'groups', 'credentials', 'signing-secrets', 'certificates', 'state', 'invalidate', 'crl', 'kick']));
    expect(await connects(device, newer)).toBe('deny');
    for (const certificate of [older, newer]) {
      expect(await listOf(certificate)).toMatch(new RegExp(`serial number: ${certificate.serial}[^]*?key compromise`));
      expect((await app.call('GET', `/certs/${certificate.serial}`)).body).toMatchObject({ status: 'revoked', reason: 'keyCompromise' });
    }
    expect((await order()).body).toMatchObject({ certificatesRevoked: [], crlPublished: null });
    const rows = await app.call<{ items: { details: { serial: string; reason: string } }[] }>('GET', `/audit/logs?eventType=CERT_REVOKED&deviceId=${device.id}`);
    expect(rows.body.items.map(({ details }) => [details.serial, details.reason]).sort()).toEqual(serials.map((serial) => [serial, 'keyCompromise']));
  });
});

describe('somebody who leaves', () => {
  it('is out with everything in one call, and again is nothing more', async () => {
    const made = await app.call<{ id: string }>('POST', '/users', { email: 'leaver@example.test', password: PASSWORD, name: 'x', role: 'ADMIN' });
    const leaver = await app.loginAs('leaver@example.test', PASSWORD);
    const pat = await app.call<{ secret: string }>('POST', '/pats', { name: 'x', duration: '1h', scopes: ['devices.device.read'] }, leaver);
    await app.call('POST', '/invitations', { email: 'friend@example.test', role: 'ADMIN' }, leaver);
    const order = () => app.call('POST', `/users/${made.body.id}/offboard`, { reason: 'left the company' });
    expect(await order()).toMatchObject({ status: 200, body: { status: 'DISABLED', sessionsEnded: 1, patsRevoked: 1, invitationsRevoked: 1 } });
    for (const headers of [leaver, { authorization: `Bearer ${pat.body.secret}` }]) {
      expect((await app.call('GET', '/devices', undefined, headers)).status).toBe(401);
    }
    const invitations = await app.call<{ items: unknown[] }>('GET', '/invitations');
    expect(invitations.body.items).toEqual([]);
    expect(await order()).toMatchObject({ status: 200, body: { status: 'DISABLED', sessionsEnded: 0, patsRevoked: 0, invitationsRevoked: 0 } });
  });
});

describe('somebody who leaves the whole installation', () => {
  interface Departure {
    readonly status: string;
    readonly sessionsEnded: number;
    readonly platformRoleBefore: string | null;
    readonly tenants: { readonly slug: string; readonly patsRevoked: number; readonly invitationsRevoked: number; readonly withoutAdmin: boolean }[];
    readonly memberships: { readonly status: string }[];
    readonly steps: { readonly step: string }[];
  }

  const inside = (tenant: string) => ({ authorization: `Bearer ${app.adminToken}`, 'x-tenant': tenant });

  it('is out of every tenant in one call of the platform, and again is nothing more', async () => {
    const email = 'everywhere@example.test';
    const made = await app.call<{ id: string }>('POST', '/users', { email, password: PASSWORD, name: 'x', role: 'ADMIN' });
    const { id } = made.body;
    for (const slug of ['branch', 'depot']) {
      const tenant = await app.call<{ id: string }>('POST', '/tenants', { slug, name: slug });
      await app.call('POST', `/tenants/${tenant.body.id}/members`, { email, role: 'ADMIN' });
      if (slug === 'depot') await app.call('POST', `/tenants/${tenant.body.id}/members`, { email: ADMIN.email, role: 'ADMIN' });
    }
    await app.call('PATCH', `/accounts/${id}`, { platformRole: 'PLATFORM_OPERATOR_WRITE' });
    const bearers: Record<string, string>[] = [];
    for (const tenant of ['default', 'branch', 'depot']) {
      const login = await app.call<{ access_token: string }>('POST', '/auth/login', { email, password: PASSWORD, tenant }, {});
      const session = { authorization: `Bearer ${login.body.access_token}` };
      const pat = await app.call<{ secret: string }>('POST', '/pats', { name: 'x', duration: '1h', scopes: ['devices.device.read'] }, session);
      await app.call('POST', '/invitations', { email: `friend-${tenant}@example.test`, role: 'ADMIN' }, session);
      bearers.push(session, { authorization: `Bearer ${pat.body.secret}` });
    }
    for (const bearer of bearers) expect((await app.call('GET', '/devices', undefined, bearer)).status).toBe(200);
    const order = () => app.call<Departure>('POST', `/accounts/${id}/offboard`, { reason: 'left the company' });
    const { status, body } = await order();
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: 'DISABLED', sessionsEnded: 3, platformRoleBefore: 'PLATFORM_OPERATOR_WRITE' });
    expect(body.memberships.map((membership) => membership.status)).toEqual(['DISABLED', 'DISABLED', 'DISABLED']);
    expect(body.tenants.map(({ slug, patsRevoked, invitationsRevoked, withoutAdmin }) => [slug, patsRevoked, invitationsRevoked, withoutAdmin]))
      .toEqual([['default', 1, 1, false], ['branch', 1, 1, true], ['depot', 1, 1, false]]);
    expect(body.steps.map(({ step }) => step)).toEqual(['account', 'tenants']);
    for (const bearer of bearers) expect((await app.call('GET', '/devices', undefined, bearer)).status).toBe(401);
    expect((await app.call('POST', '/auth/login', { email, password: PASSWORD }, {})).status).toBe(401);
    for (const tenant of ['default', 'branch', 'depot']) {
      expect((await app.call<{ items: unknown[] }>('GET', '/invitations', undefined, inside(tenant))).body.items).toEqual([]);
      const rows = await app.call<{ items: { details: { byPlatform?: boolean } }[] }>('GET', `/audit/logs?eventType=USER_DISABLED&userId=${id}`, undefined, inside(tenant));
      // The platform's people see the row of the account beside it.
      expect(rows.body.items.filter(({ details }) => details.byPlatform)).toHaveLength(1);
    }
    const again = await order();
    expect(again.body).toMatchObject({ sessionsEnded: 0, platformRoleBefore: null });
    expect(again.body.tenants.every(({ patsRevoked, invitationsRevoked }) => patsRevoked + invitationsRevoked === 0)).toBe(true);
    // Whoever comes back begins anew.
    expect((await app.call('POST', `/accounts/${id}/enable`)).body).toMatchObject({ status: 'ACTIVE', platformRole: null });
    const back = await app.loginAs(email, PASSWORD);
    expect((await app.call('GET', '/devices', undefined, back)).status).toBe(403);
  });

  it('is not the last PLATFORM_ADMIN, nor can that role be taken from them', async () => {
    const me = await app.call<{ id: string }>('GET', '/auth/me');
    for (const [method, path, body] of [
      ['POST', `/accounts/${me.body.id}/offboard`, { reason: 'x' }], ['PATCH', `/accounts/${me.body.id}`, { platformRole: 'NONE' }],
    ] as const) {
      expect(await app.call(method, path, body)).toMatchObject({ status: 409, body: { code: 'LAST_PLATFORM_ADMIN' } });
    }
    expect(await app.call('POST', `/accounts/${crypto.randomUUID()}/offboard`, { reason: 'x' })).toMatchObject({ status: 404, body: { code: 'ACCOUNT_NOT_FOUND' } });
  });

  it('is nobody whom an ADMIN of a tenant could put out of another', async () => {
    const made = await app.call<{ id: string }>('POST', '/users', { email: 'local-admin@example.test', password: PASSWORD, name: 'x', role: 'ADMIN' });
    const local = await app.loginAs('local-admin@example.test', PASSWORD);
    for (const [method, path, body] of [
      ['POST', '/offboard', { reason: 'x' }], ['PATCH', '', { platformRole: 'PLATFORM_ADMIN' }], ['POST', '/enable', undefined], ['GET', '', undefined],
    ] as const) {
      expect(await app.call(method, `/accounts/${made.body.id}${path}`, body, local)).toMatchObject({ status: 403, body: { code: 'PERMISSION_DENIED' } });
    }
  });
});
