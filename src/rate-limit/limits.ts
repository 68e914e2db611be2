import type { Rate } from '../platform/redis/key-value.js';

export interface Limit extends Rate {
  /** `address`: the key is an IP address, and an IPv6 one counts by its /64. `subject`: any other text. */
  readonly keyedBy: 'address' | 'subject';
  /** Why it is there, for who wants to change it. */
  readonly purpose: string;
}

/**
 * Every limit on people and on HTTP. None of them stands before a device's CONNECT: there a correct
 * proof is never refused by a throttle.
 *
 * `burst` may be used at once, one more is regained every `intervalMs`.
 */
export const LIMITS = {
  'login.address': {
    intervalMs: 2_000,
    burst: 30,
    keyedBy: 'address',
    purpose: 'Failed logins of one address; a success gives its unit back.',
  },
  'login.account': {
    intervalMs: 15_000,
    burst: 10,
    keyedBy: 'subject',
    purpose: 'Failed logins to one account from one address, or from one browser that it knows: slows, never locks out.',
  },
  'register.address': { intervalMs: 30_000, burst: 20, keyedBy: 'address', purpose: 'Public registration, where it is open.' },
  'refresh.address': { intervalMs: 500, burst: 120, keyedBy: 'address', purpose: 'Refused refreshes of one address.' },
  'recovery.address': { intervalMs: 60_000, burst: 10, keyedBy: 'address', purpose: 'Password recovery asked for by one address.' },
  'recovery.account': { intervalMs: 300_000, burst: 3, keyedBy: 'subject', purpose: 'Recovery mails to one account.' },
  'recovery.token': { intervalMs: 10_000, burst: 20, keyedBy: 'address', purpose: 'Recovery and confirmation tokens tried by one address.' },
  'password.user': { intervalMs: 10_000, burst: 10, keyedBy: 'subject', purpose: 'Old passwords tried within a session.' },
  'invitation.address': { intervalMs: 10_000, burst: 20, keyedBy: 'address', purpose: 'Invitation tokens tried by one address.' },
  'provision.address': {
    intervalMs: 6_000,
    burst: 10,
    keyedBy: 'address',
    purpose: 'Devices registered with the admin key: ten a minute for one address.',
  },
  'adminkey.address': { intervalMs: 6_000, burst: 10, keyedBy: 'address', purpose: 'Wrong admin keys tried by one address.' },
  'device.address': {
    intervalMs: 500,
    burst: 60,
    keyedBy: 'address',
    purpose: 'Devices that failed to prove themselves over HTTPS, from one address.',
  },
  'enrol.device': { intervalMs: 60_000, burst: 10, keyedBy: 'subject', purpose: 'Certificates asked for by one device.' },
} as const satisfies Readonly<Record<string, Limit>>;

export type LimitName = keyof typeof LIMITS;
