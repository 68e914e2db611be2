import { randomBytes, randomUUID } from 'node:crypto';
import { Permission, ROLE_BUNDLES } from '../access/permission.js';
import { statusOf } from './pat.js';
import { dottedScope, grantedBy, keptScope, readScope, showScope } from './pat-scope.js';
import { digestPat, newPat, parsePat } from './pat-token.js';
import { isNetwork, liesWithin } from './source-networks.js';

const TENANT = { id: randomUUID(), slug: 'acme' };
const DEVICE = randomUUID();

describe('a scope', () => {
  it.each([
    [{ entity_type: 'devices', operation: 'read', entity_id: '*' }, 'devices.device.read'],
    [{ entity_type: 'devices', operation: 'read', entity_id: DEVICE }, `devices.device.read:${DEVICE}`],
    [{ entity_type: 'audit', operation: 'read', entity_id: '*', optional_domain_id: TENANT.id }, 'audit.log.read'],
    [{ entity_type: 'groups', operation: 'create', entity_id: '*', optional_domain_id: 'acme' }, 'devices.group.create'],
    ['devices.token.rotate', 'devices.token.rotate'],
    [`devices.token.rotate:${DEVICE}`, `devices.token.rotate:${DEVICE}`],
  ])('reads %j as %s, and comes back from how it is kept and shown', (given, dotted) => {
    const scope = readScope(given, TENANT);
    if (typeof scope === 'string') throw new Error(scope);
    expect(dottedScope(scope)).toBe(dotted);
    expect(keptScope(dotted)).toEqual(scope);
    expect(readScope(showScope(scope, TENANT.id), TENANT)).toEqual(scope);
  });

  it.each([
    ['nothing', null], ['a number', 7], ['a list', ['devices.device.read']], ['an unknown verb', 'devices.device.fly'],
    ['a wildcard', 'devices.device.*'], ['the platform', 'platform.rule.write'], ['half an id', 'devices.device.read:7'],
    ['no entity', { entity_type: 'devices', operation: 'read' }],
    ['a foreign member', { entity_type: 'devices', operation: 'read', entity_id: '*', role: 'ADMIN' }],
    ['another tenant', { entity_type: 'devices', operation: 'read', entity_id: '*', optional_domain_id: randomUUID() }],
    ['an id in capitals', { entity_type: 'devices', operation: 'read', entity_id: DEVICE.toUpperCase() }],
  ])('is not made of %s', (_, given) => expect(typeof readScope(given, TENANT)).toBe('string'));

  it('grants no more than the owner has, and on one object no other', () => {
    const scopes = [keptScope('devices.device.read')!, keptScope(`devices.device.update:${DEVICE}`)!];
    const admin = new Set(ROLE_BUNDLES.ADMIN);
    expect([...grantedBy(scopes, admin, undefined)]).toEqual([Permission.DevicesRead]);
    expect([...grantedBy(scopes, admin, randomUUID())]).toEqual([Permission.DevicesRead]);
    expect([...grantedBy(scopes, admin, DEVICE)]).toEqual([Permission.DevicesRead, Permission.DevicesUpdate]);
    expect([...grantedBy(scopes, new Set(ROLE_BUNDLES.VIEWER), DEVICE)]).toEqual([Permission.DevicesRead]);
    expect(grantedBy([], admin, DEVICE).size).toBe(0);
  });
});

describe('a personal access token', () => {
  it('names its row, and has one spelling', () => {
    const id = randomUUID();
    const { token, secret } = newPat(id);
    expect(token).toMatch(/^pat_[A-Za-z0-9_-]{22}_[A-Za-z0-9_-]{43}$/);
    expect(parsePat(token)).toEqual({ id, secret });
    for (const bad of [`${token}=`, token.slice(0, -1), `${token.slice(0, -1)}B`, token.replace('pat_', 'pcs_'), '']) {
      expect(parsePat(bad)).toBeNull();
    }
  });

  it('has a digest of its own row and owner', () => {
    const key = randomBytes(32);
    const [user, id] = [randomUUID(), randomUUID()];
    const digest = digestPat(key, user, id, 'secret');
    for (const other of [digestPat(key, id, user, 'secret'), digestPat(key, user, id, 'secrets'), digestPat(randomBytes(32), user, id, 'secret')]) {
      expect(other.equals(digest)).toBe(false);
    }
  });

  it('ends by its date, by idleness or by hand', () => {
    const pat = { issuedAt: new Date(1_000), expiresAt: new Date(100_000), lastUsedAt: null, maxIdleSeconds: 10, revokedAt: null };
    expect(statusOf(pat, 10_999)).toBe('ACTIVE');
    expect(statusOf(pat, 11_000)).toBe('IDLE');
    expect(statusOf({ ...pat, lastUsedAt: new Date(90_500) }, 99_999)).toBe('ACTIVE');
    expect(statusOf({ ...pat, maxIdleSeconds: null }, 100_000)).toBe('EXPIRED');
    expect(statusOf({ ...pat, revokedAt: new Date(2_000) }, 3_000)).toBe('REVOKED');
  });
});

describe('a source network', () => {
  it.each(['192.0.2.0/24', '192.0.2.7', '2001:db8::/32', '::1', '0.0.0.0/0'])('may be %s', (text) => expect(isNetwork(text)).toBe(true));
  it.each(['', 'example.org', '192.0.2.0/33', '192.0.2.0/', '192.0.2.0/24/1', '2001:db8::/129', '1.2.3'])('is not %j', (text) => {
    expect(isNetwork(text)).toBe(false);
  });

  it('holds its addresses, in whichever notation', () => {
    expect(liesWithin('192.0.2.200', ['198.51.100.0/24', '192.0.2.0/24'])).toBe(true);
    expect(liesWithin('::ffff:192.0.2.200', ['192.0.2.0/24'])).toBe(true);
    expect(liesWithin('192.0.3.1', ['192.0.2.0/24', '::/0'])).toBe(false);
    expect(liesWithin('2001:db8::5', ['2001:db8::/32'])).toBe(true);
    expect(liesWithin('not an address', ['0.0.0.0/0', '::/0'])).toBe(false);
  });
});
