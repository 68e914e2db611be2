import { isAcl } from './acl-evaluation.js';
import type { AclRule } from './acl-evaluation.js';

/** What the authentication callback granted to one connection. */
export interface Grant {
  readonly acl: readonly AclRule[];
  /** Unix seconds; null = no end was given. */
  readonly expireAt: number | null;
  readonly attrs: ReadonlyMap<string, string>;
}

export type AuthVerdict =
  | { readonly allow: true; readonly grant: Grant }
  /** `returnCode` of CONNACK (MQTT 3.1.1 §3.2.2.3): 4 bad user name or password, 5 not authorized. */
  | { readonly allow: false; readonly returnCode: 4 | 5; readonly why: string };

const ATTRIBUTE_NAME = /^[A-Za-z0-9]+[A-Za-z0-9\-_]*$/;

/**
 * Reads a JSON answer as EMQX 5.8 does with one HTTP authenticator alone: nothing but `allow` lets in, and an allow
 * with a member that EMQX would choke on does not either. `is_superuser` is not looked at: nobody is, here.
 */
export function readAuthAnswer(answer: Readonly<Record<string, unknown>>, nowMs: number): AuthVerdict {
  if (answer['result'] === 'deny') return refuse(5, 'denied');
  if (answer['result'] !== 'allow') return refuse(5, 'no decision');
  const attrs = readAttributes(answer['client_attrs']);
  if (attrs === null) return refuse(5, 'client_attrs is not a map of strings');
  const { acl = [], expire_at: expireAt } = answer;
  if (!Array.isArray(acl)) return refuse(5, 'acl is not a list');
  if (!isAcl(acl)) return refuse(4, 'acl holds a malformed rule');
  if (expireAt === undefined) return { allow: true, grant: { acl, expireAt: null, attrs } };
  if (!isFutureSecond(expireAt, nowMs)) return refuse(4, 'expire_at is not a future time in whole seconds');
  return { allow: true, grant: { acl, expireAt, attrs } };
}

function readAttributes(value: unknown): ReadonlyMap<string, string> | null {
  if (value === undefined) return new Map();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const entries = Object.entries(value as Record<string, unknown>);
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string')) return null;
  return new Map(entries.filter(([name]) => ATTRIBUTE_NAME.test(name)));
}

/** EMQX takes anything beyond half of the present milliseconds for a time in milliseconds. */
function isFutureSecond(value: unknown, nowMs: number): value is number {
  return Number.isInteger(value) && Number(value) * 1000 > nowMs && Number(value) <= nowMs / 2;
}

function refuse(returnCode: 4 | 5, why: string): AuthVerdict {
  return { allow: false, returnCode, why };
}
