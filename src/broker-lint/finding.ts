import type { HoconValue } from './hocon.js';

export type FindingSeverity = 'error' | 'warning';

/** One thing that the linter looks for. */
export interface LintRule {
  /** `error`: traffic passes past Portcullis, or when it is down; `warning`: worth a look. */
  readonly severity: FindingSeverity;
  readonly why: string;
  /** The line to write; a finding may bear a more exact one. */
  readonly write: string;
}

/** Everything that the linter knows. `docs/broker-linter.md` is printed from this table. */
export const LINT_RULES = {
  unread: {
    severity: 'error',
    why: 'The running configuration could not be read, so nothing is known about it.',
    write: 'Set EMQX_API_URL, EMQX_API_KEY and EMQX_API_SECRET (role administrator or viewer), or waive unread.',
  },
  unjudged: {
    severity: 'error',
    why: 'A part of the file could not be understood (an include, a substitution, a syntax error): it may say anything.',
    write: 'Write the value itself into the file, or check the running broker instead.',
  },

  'no-match': {
    severity: 'error',
    why: 'What no source decides is allowed: every topic is open while Portcullis is down. The default is `allow` up to EMQX 5.10.',
    write: 'authorization.no_match = deny',
  },
  'sources-missing': {
    severity: 'error',
    why: 'Without `sources` EMQX uses its own file source, whose last line allows everything to everybody.',
    write: 'authorization.sources = [ { type = http, … } ]',
  },
  'source-file': {
    severity: 'error',
    why: 'A file source decides beside Portcullis; the one that EMQX ships ends in "allow all", so an outage of Portcullis opens every topic.',
    write: 'authorization.sources = [ { type = http, … } ]',
  },
  'source-foreign': {
    severity: 'error',
    why: 'Another authorization source decides beside Portcullis, before it or when it is down.',
    write: 'authorization.sources = [ { type = http, … } ]',
  },
  'source-callback': {
    severity: 'error',
    why: 'No enabled HTTP source asks /api/v1/internal/mqtt-acl, so nothing outside the list of the CONNECT is ever judged.',
    write: 'authorization.sources = [ { type = http, enable = true, method = post, url = "https://portcullis:3001/api/v1/internal/mqtt-acl", … } ]',
  },
  'acl-cache': {
    severity: 'error',
    why: 'A connection answers itself for longer than a minute: what was revoked stays allowed.',
    write: 'authorization.cache { enable = true, max_size = 32, ttl = 1m }',
  },
  'node-cache': {
    severity: 'error',
    why: 'The cache of the node (EMQX 5.9 and later) answers for Portcullis and outlives a kick: a suspended client comes back.',
    write: 'authorization.node_cache.enable = false, authentication_settings.node_cache.enable = false',
  },

  'chain-empty': {
    severity: 'error',
    why: 'A listener without any enabled authenticator admits everybody, with any client id.',
    write: 'authentication = [ { mechanism = password_based, backend = http, … } ]',
  },
  'authenticator-disabled': {
    severity: 'error',
    why: 'A disabled authenticator is skipped; if it is the only one, everybody is admitted.',
    write: 'enable = true',
  },
  'authenticator-jwt': {
    severity: 'error',
    why: 'EMQX’s JWT authenticator lets a valid token in by itself: past suspension, frozen tenants, revocation and the audit log.',
    write: 'Take the authenticator out: Portcullis checks device tokens itself.',
  },
  'authenticator-database': {
    severity: 'error',
    why: 'A database of EMQX decides whenever Portcullis gives no answer.',
    write: 'Take the authenticator out.',
  },
  'authenticator-foreign': {
    severity: 'error',
    why: 'An authenticator that is not Portcullis decides before it, or when it is down.',
    write: 'Take the authenticator out.',
  },
  'authenticator-precondition': {
    severity: 'error',
    why: 'Where the precondition does not hold, the authenticator is skipped.',
    write: 'Take the precondition out.',
  },
  'callback-method': {
    severity: 'error',
    why: 'GET puts passwords into the address, and Portcullis answers POST alone.',
    write: 'method = post',
  },
  'callback-secret': {
    severity: 'error',
    why: 'Without the header X-Internal-Auth every question is answered 404, which is no decision for EMQX.',
    write: 'headers { "content-type" = "application/json", "x-internal-auth" = "…" }',
  },
  'callback-plain': {
    severity: 'error',
    why: 'Client secrets and the answers to them travel unencrypted off this machine.',
    write: 'url = "https://…", ssl { enable = true, verify = verify_peer, cacertfile = "…", certfile = "…", keyfile = "…" }',
  },
  'callback-unverified': {
    severity: 'error',
    why: 'EMQX does not check whom it asks (the default is `verify_none`): whoever answers in between decides.',
    write: 'ssl { enable = true, verify = verify_peer, cacertfile = "…", certfile = "…", keyfile = "…" }',
  },
  'callback-timeout': {
    severity: 'warning',
    why: 'An answer that does not come holds the client up for as long; the default of an authorization source is 30 s.',
    write: 'request_timeout = 5s',
  },
  'body-field': {
    severity: 'error',
    why: 'Portcullis is not told what it decides by, or something else in its place.',
    write: 'body { … }',
  },

  'listener-chain': {
    severity: 'error',
    why: 'A listener without an authentication block of its own cannot say what it is: Portcullis cannot tell which proofs belong there.',
    write: 'authentication = [ { …, body { …, listener_kind = "token" } } ]',
  },
  'listener-kind': {
    severity: 'error',
    why: 'The constant `listener_kind` is missing or does not fit the listener: a proof would count at the wrong door, or none at all.',
    write: 'body { …, listener_kind = "token" }',
  },
  'listener-authn': {
    severity: 'error',
    why: 'The listener asks nobody: everybody is admitted.',
    write: 'enable_authn = true',
  },
  'listener-default': {
    severity: 'error',
    why: 'EMQX opens the default listener of each type unless the file says otherwise.',
    write: 'listeners.tcp.default { enable = false, bind = "1883" }',
  },
  'listener-plain': {
    severity: 'error',
    why: 'An unencrypted listener can be reached from other machines: secrets and tokens can be read on the way.',
    write: 'enable = false',
  },
  'listener-mtls': {
    severity: 'error',
    why: 'The listener says that it takes certificates alone, but lets clients in that show none.',
    write: 'ssl_options { verify = verify_peer, fail_if_no_peer_cert = true, … }',
  },
  'listener-proxy': {
    severity: 'error',
    why: 'Whoever reaches the listener past the proxy can claim any address and any certificate.',
    write: 'proxy_protocol = false, or access_rules = [ "allow 10.0.0.7", "deny all" ]',
  },
  'listener-mountpoint': {
    severity: 'warning',
    why: 'Topics are judged without the mountpoint; Portcullis refuses questions that bear one.',
    write: 'mountpoint = ""',
  },
  'listener-crl': {
    severity: 'warning',
    why: 'A revoked certificate still ends the handshake well (on WebSocket always); Portcullis refuses it at CONNECT.',
    write: 'ssl_options { …, enable_crl_check = true }',
  },
  'crl-refresh': {
    severity: 'warning',
    why: 'A list of revoked certificates is used for longer than a minute before it is fetched again (15 minutes unless written); Portcullis refuses them at CONNECT meanwhile.',
    write: 'crl_cache.refresh_interval = 1m',
  },
  'listener-authority': {
    severity: 'warning',
    why: 'No authority is named, or the one that EMQX ships, whose key everybody has: anybody’s certificate ends the handshake well, and Portcullis alone refuses it.',
    write: 'ssl_options { …, cacertfile = "/etc/portcullis/devices/device-ca.pem" }',
  },
  'listener-certificate': {
    severity: 'warning',
    why: 'The listener shows the certificate that EMQX ships, whose key everybody has: whoever is in between can read secrets and tokens.',
    write: 'ssl_options { …, certfile = "…", keyfile = "…" }',
  },
  'identity-rewritten': {
    severity: 'error',
    why: 'EMQX puts something else in the place of the client id or user name that the client proved.',
    write: 'mqtt.peer_cert_as_username = disabled, mqtt.peer_cert_as_clientid = disabled',
  },

  delayed: {
    severity: 'error',
    why: 'A delayed message is authorized when it is sent and delivered later, whatever became of its sender. On unless written.',
    write: 'delayed.enable = false',
  },
  'exclusive-subscription': {
    severity: 'error',
    why: 'One client may keep all others from a topic.',
    write: 'mqtt.exclusive_subscription = false',
  },
  'flapping-detect': {
    severity: 'error',
    why: 'It bans client ids before authentication: anybody can keep anybody’s device out.',
    write: 'flapping_detect.enable = false',
  },
  'auto-subscribe': {
    severity: 'warning',
    why: 'Subscriptions that EMQX makes by itself are not authorized.',
    write: 'auto_subscribe.topics = []',
  },
  gateway: {
    severity: 'error',
    why: 'A gateway is a further door, with an authentication of its own that Portcullis is not asked by.',
    write: 'enable = false',
  },
  limits: {
    severity: 'warning',
    why: 'One client may use much of the broker’s memory.',
    write: 'mqtt { max_packet_size = 16KB, max_inflight = 20, max_mqueue_len = 1000 }',
  },
  'dashboard-password': {
    severity: 'error',
    why: 'The dashboard can be entered with the password that stands in EMQX’s manual, and with it every setting changed.',
    write: 'dashboard.default_password = "…"',
  },
  'dashboard-password-unset': {
    severity: 'warning',
    why: 'The file does not set the password of the dashboard; unless the environment does, it is the one of EMQX’s manual.',
    write: 'dashboard.default_password = "…", or EMQX_DASHBOARD__DEFAULT_PASSWORD',
  },
  'dashboard-plain': {
    severity: 'warning',
    why: 'Passwords of the dashboard and API keys travel unencrypted to whoever can reach the port.',
    write: 'dashboard.listeners.http.bind = "127.0.0.1:18083"',
  },
} as const satisfies Record<string, LintRule>;

export type FindingId = keyof typeof LINT_RULES;
export const FINDING_IDS = Object.keys(LINT_RULES) as FindingId[];

export function isFindingId(text: string): text is FindingId {
  return Object.hasOwn(LINT_RULES, text);
}

/** What was found where. */
export interface Finding {
  readonly id: FindingId;
  readonly severity: FindingSeverity;
  /** `listeners.ssl.default.authentication.1.body`, as EMQX names it; empty for the whole. */
  readonly path: string;
  /** What stands there, shortened; never a secret. */
  readonly found: string;
  readonly why: string;
  readonly write: string;
}

/** Gathers findings. */
export type Report = (id: FindingId, path: string, found: HoconValue | undefined, write?: string) => void;

export function finding(id: FindingId, path: string, found: string, write?: string): Finding {
  const { severity, why, write: usual } = LINT_RULES[id];
  return { id, severity, path, found, why, write: write ?? usual };
}

/** A value as a reader sees it. Objects and lists are not spelt out: they may bear secrets. */
export function shown(value: HoconValue | undefined): string {
  if (value === undefined || value === null) return 'not set';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value === 'object') return 'a block';
  return String(value).slice(0, 120);
}
