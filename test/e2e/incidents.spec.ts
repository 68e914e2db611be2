import { TestApp } from '../factories/app.js';
import { mqttConnect, within } from '../factories/mqtt-client.js';

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
  readonly ejection: { readonly confirmed: boolean };
}

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
