import type { Facts } from '../devices/facts.js';
import type { EmqxRule } from '../devices/topic-acl.js';
import { ANY_QOS, type CompiledRules } from '../devices/topic.decision.js';
import { topicLists } from '../devices/topic-rule.js';
import type { TokenProfile } from '../platform/config/config.js';

/** Audience of device tokens: the broker's door, and nobody else. */
export const TOKEN_AUDIENCE = 'portcullis-mqtt';
export const TOKEN_SCOPE = 'device';
export const TOKEN_TYPE = 'device+jwt';

/** Claims of a device token. Times are whole seconds since the epoch. */
export interface DeviceClaims {
  readonly iss: string;
  readonly aud: typeof TOKEN_AUDIENCE;
  readonly sub: string;
  readonly scope: typeof TOKEN_SCOPE;
  readonly tid: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly acl: readonly EmqxRule[];
  /** Profile `topics`. */
  readonly topics?: { readonly publish: readonly string[]; readonly subscribe: readonly string[] };
  /** Profile `publ-subs`. */
  readonly publ?: readonly string[];
  readonly subs?: readonly string[];
}

export interface ClaimsInput {
  readonly facts: Facts;
  readonly issuer: string;
  readonly jti: string;
  readonly iat: number;
  readonly ttlSeconds: number;
  readonly profiles: readonly TokenProfile[];
}

/**
 * The claims of a token for these facts. Every encoding of the rights comes from the one compiled rule list, and none grants what
 * the list refuses: the plain lists of topics cannot say QoS or retain, so rules that narrow those stand in `acl` alone.
 */
export function deviceClaims({ facts, issuer, jti, iat, ttlSeconds, profiles }: ClaimsInput): DeviceClaims {
  const lists = plainTopics(facts.rules);
  return {
    iss: issuer,
    aud: TOKEN_AUDIENCE,
    sub: facts.id,
    scope: TOKEN_SCOPE,
    tid: facts.tenantId,
    jti,
    iat,
    exp: iat + ttlSeconds,
    acl: facts.acl,
    ...(profiles.includes('topics') ? { topics: lists } : {}),
    ...(profiles.includes('publ-subs') ? { publ: lists.publish, subs: lists.subscribe } : {}),
  };
}

function plainTopics(rules: CompiledRules): { publish: string[]; subscribe: string[] } {
  const plain = rules.all.filter(({ qosMask, rule }) => qosMask === ANY_QOS && rule.retain === undefined);
  return topicLists(plain.map(({ rule }) => rule));
}
