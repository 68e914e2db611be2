import { readFileSync } from 'node:fs';
import { FINDING_IDS, type FindingId } from './finding.js';
import { blocking, lintText } from './lint.js';

const OURS = readFileSync('docker/emqx/emqx.conf', 'utf8');
const idsOf = (text: string, complete = false): FindingId[] => lintText(text, complete).map(({ id }) => id);
/** Our own file, with lines at its end, where they outweigh what stands before. */
const after = (lines: string): FindingId[] => idsOf(`${OURS}\n${lines}\n`);

const DATABASE = '{ mechanism = password_based, backend = built_in_database }';
const TOKEN = 'listeners.ssl.token';
const MTLS = 'listeners.ssl.default';

/** Lines that must lead to the finding, and lines that must not. */
const EXAMPLES: Readonly<Record<Exclude<FindingId, 'unread'>, readonly [bad: string[], good: string[]]>> = {
  unjudged: [['include "other.conf"', 'authorization.no_match = ${X}', 'listeners {'], ['a = "${X}"']],
  'no-match': [['authorization.no_match = allow', 'authorization.no_match = null', 'authorization = null'], ['authorization.no_match = "deny"']],
  'sources-missing': [['authorization.sources = null', 'authorization = null'], ['authorization.sources = []']],
  'source-file': [['authorization.sources += { type = file, path = "etc/acl.conf" }'], ['authorization.sources += { type = file, enable = false }']],
  'source-foreign': [
    ['authorization.sources += { type = built_in_database, enable = true }', 'authorization.sources.1.url = "https://portcullis:3001/elsewhere"'],
    ['authorization.sources += { type = redis, enable = false }'],
  ],
  'source-callback': [['authorization.sources = []', 'authorization.sources.1.enable = false'], ['authorization.sources.1.enable = true']],
  'acl-cache': [['authorization.cache.ttl = 5m', 'authorization.cache.ttl = infinity'], ['authorization.cache.ttl = 30s', 'authorization.cache { enable = false, ttl = 1h }']],
  'node-cache': [
    ['authorization.node_cache.enable = true', 'authentication_settings.node_cache { cache_ttl = 1m }'],
    ['authorization.node_cache.enable = false\nauthentication_settings.node_cache.enable = false'],
  ],
  'chain-empty': [
    [`authentication = []\n${TOKEN}.authentication = []`, `${TOKEN}.authentication.1.enable = false`],
    [`${TOKEN}.authentication = []`],
  ],
  'authenticator-disabled': [['authentication.1.enable = false', `${TOKEN}.authentication.1.enable = false`], ['authentication.1.enable = true']],
  'authenticator-jwt': [['authentication += { mechanism = jwt, from = password }', `${TOKEN}.authentication += { mechanism = jwt }`], ['']],
  'authenticator-database': [[`authentication += ${DATABASE}`, `listeners.wss.default.authentication += ${DATABASE}`], ['']],
  'authenticator-foreign': [
    ['authentication.1.url = "https://elsewhere/api/v1/internal/mqtt-acl"', 'authentication += { mechanism = scram, backend = http }', 'authentication += nonsense'],
    ['authentication.1.url = "https://elsewhere:1/api/v1/internal/mqtt-auth"'],
  ],
  'authenticator-precondition': [[`${TOKEN}.authentication.1.precondition = "str_eq(listener, 'x')"`], [`${TOKEN}.authentication.1.precondition = ""`]],
  'callback-method': [['authorization.sources.1.method = get', `${TOKEN}.authentication.1.method = null`], [`${TOKEN}.authentication.1.method = "post"`]],
  'callback-secret': [['authorization.sources.1.headers = null', `${TOKEN}.authentication.1.headers { "x-internal-auth" = "" }`], ['authentication.1.headers { "X-Internal-Auth" = s }']],
  'callback-plain': [
    [`${TOKEN}.authentication.1.url = "http://portcullis:3001/api/v1/internal/mqtt-auth"`],
    [`${TOKEN}.authentication.1.url = "http://127.0.0.1:3001/api/v1/internal/mqtt-auth"`, `${TOKEN}.authentication.1.url = "http://[::1]:3001/api/v1/internal/mqtt-auth"`],
  ],
  'callback-unverified': [['authorization.sources.1.ssl.verify = verify_none', `${TOKEN}.authentication.1.ssl = null`, 'authentication.1.ssl.enable = false'], ['']],
  'callback-timeout': [['authorization.sources.1.request_timeout = null', `${TOKEN}.authentication.1.request_timeout = 30s`], ['authorization.sources.1.request_timeout = 3s']],
  'body-field': [
    [
      `${TOKEN}.authentication.1.body.clientid = "\${username}"`, `${TOKEN}.authentication.1.body.password = null`, 'authorization.sources.1.body.device = null',
      `${MTLS}.authentication.1.body.cert_pem = null`, 'authentication.1.body = null',
    ],
    [`${TOKEN}.authentication.1.body.cert_pem = null`],
  ],
  'listener-chain': [['listeners.ssl.other { bind = 8886 }', `${TOKEN}.authentication = []`], ['listeners.ssl.other { enable = false, bind = 8886 }']],
  'listener-kind': [
    [`${TOKEN}.authentication.1.body.listener_kind = null`, `${TOKEN}.authentication.1.body.listener_kind = plain`, `${TOKEN}.authentication.1.body.listener_kind = "\${listener}"`],
    [''],
  ],
  'listener-authn': [[`${TOKEN}.enable_authn = false`], [`${TOKEN}.enable_authn = quick_deny_anonymous`]],
  'listener-default': [['listeners.ws = null', 'listeners.tcp.default = null'], ['listeners.tcp.default { enable = false }']],
  'listener-plain': [
    ['listeners.tcp.default.enable = true', 'listeners.tcp.default { enable = true, bind = "0.0.0.0:1883" }', 'listeners.ws.default { enabled = true, enable = null }'],
    ['listeners.tcp.default { enable = true, bind = "127.0.0.1:1883" }'],
  ],
  'listener-mtls': [
    [`${TOKEN}.authentication.1.body.listener_kind = mtls`, `${MTLS}.ssl_options.fail_if_no_peer_cert = false`, `${MTLS}.ssl_options.fail_if_no_peer_cert = null`, `${MTLS}.ssl_options.verify = verify_none`],
    [`${MTLS}.ssl_options.verify = "verify_peer"`, `${MTLS} { enable = false, ssl_options.verify = verify_none }`],
  ],
  'listener-proxy': [
    [`${TOKEN}.proxy_protocol = true`, `${TOKEN} { proxy_protocol = true, access_rules = ["allow all"] }`],
    [`${TOKEN} { proxy_protocol = true, access_rules = ["allow 10.0.0.7", "deny all"] }`, `${TOKEN} { proxy_protocol = true, bind = "127.0.0.1:8885" }`],
  ],
  'listener-mountpoint': [[`${TOKEN}.mountpoint = "t/"`], [`${TOKEN}.mountpoint = ""`]],
  'listener-crl': [
    [`${MTLS}.ssl_options.enable_crl_check = false`, `${MTLS}.ssl_options.enable_crl_check = null`, 'listeners.wss.default.authentication.1.body.listener_kind = mtls'],
    [`${MTLS}.ssl_options.enable_crl_check = true`],
  ],
  'crl-refresh': [
    ['crl_cache = null', 'crl_cache.refresh_interval = null', 'crl_cache.refresh_interval = 61s', 'crl_cache.refresh_interval = often'],
    ['crl_cache.refresh_interval = 60s', `crl_cache = null\n${MTLS}.enable = false`],
  ],
  'listener-authority': [
    [`${MTLS}.ssl_options.cacertfile = null`, `${MTLS}.ssl_options.cacertfile = "\${EMQX_ETC_DIR}/certs/cacert.pem"`, `${MTLS}.ssl_options.cacertfile = "etc/certs/cacert.pem"`],
    [`${MTLS}.ssl_options.cacertfile = "/etc/portcullis/ca.pem"`, `${TOKEN}.ssl_options.cacertfile = null`],
  ],
  'listener-certificate': [
    [`${MTLS}.ssl_options.certfile = null`, `${TOKEN}.ssl_options.keyfile = "/opt/emqx/etc/certs/key.pem"`, 'listeners.wss.default.ssl_options = null'],
    [`${TOKEN}.ssl_options.certfile = "/certs/cert.pem"`],
  ],
  'identity-rewritten': [
    ['mqtt.peer_cert_as_username = cn', 'mqtt.peer_cert_as_clientid = cn', 'mqtt.use_username_as_clientid = true', 'zones.z.mqtt.peer_cert_as_username = dn'],
    ['mqtt.peer_cert_as_username = disabled'],
  ],
  delayed: [['delayed = null', 'delayed.enable = true'], ['delayed.enable = "false"']],
  'exclusive-subscription': [['mqtt.exclusive_subscription = true', 'zones.z.mqtt.exclusive_subscription = true'], ['mqtt.exclusive_subscription = null']],
  'flapping-detect': [['flapping_detect.enable = true', 'flapping_detect.enable = maybe'], ['flapping_detect = null']],
  'auto-subscribe': [['auto_subscribe.topics = [ { topic = "a" } ]'], ['auto_subscribe.topics = []']],
  gateway: [['gateway.coap { bind = 5683 }', 'gateway.stomp.enable = true'], ['gateway.coap.enable = false']],
  limits: [['mqtt.max_packet_size = 1MB', 'mqtt.max_packet_size = null', 'mqtt.max_mqueue_len = infinity', 'mqtt.max_inflight = 32'], ['mqtt.max_packet_size = 16384']],
  'dashboard-password': [['dashboard.default_password = public'], ['dashboard.default_password = "******"']],
  'dashboard-password-unset': [[''], ['dashboard.default_password = "a long one of its own"']],
  'dashboard-plain': [['', 'dashboard.listeners.http.bind = "0.0.0.0:18083"'], ['dashboard.listeners.http.bind = "127.0.0.1:18083"', 'dashboard.listeners.http.bind = 0']],
};

describe('the broker linter', () => {
  it('finds no error in the configuration that comes with Portcullis', () => {
    expect(blocking(lintText(OURS, false), new Set())).toEqual([]);
  });

  it('warns there of the dashboard alone: its password comes from the environment, its port is shut by the compose file', () => {
    expect(idsOf(OURS)).toEqual(['dashboard-password-unset', 'dashboard-plain']);
  });

  it('has an example for every finding', () => {
    expect([...Object.keys(EXAMPLES), 'unread'].sort()).toEqual([...FINDING_IDS].sort());
  });

  const bad = Object.entries(EXAMPLES).flatMap(([id, [lines]]) => lines.map((line): [string, string] => [id, line]));
  it.each(bad)('finds %s in: %s', (id, lines) => {
    expect(after(lines)).toContain(id);
  });

  const good = Object.entries(EXAMPLES).flatMap(([id, [, lines]]) => lines.map((line): [string, string] => [id, line]));
  it.each(good)('does not find %s in: %s', (id, lines) => {
    expect(after(lines)).not.toContain(id);
  });

  it('finds a fresh EMQX wide open', () => {
    const found = idsOf('node { name = "emqx@127.0.0.1" }\ncluster { name = emqxcl }\ndashboard { listeners.http { bind = 18083 } }');
    expect(found).toEqual(expect.arrayContaining([
      'no-match', 'sources-missing', 'listener-default', 'delayed', 'limits', 'dashboard-password-unset', 'dashboard-plain',
    ]));
  });

  it('finds a running EMQX with its defaults wide open', () => {
    const found = idsOf(`
      authentication = []
      authorization { cache { enable = true, max_size = 32, ttl = 1m }, deny_action = ignore, no_match = allow
        sources = [ { enable = true, path = "\${EMQX_ETC_DIR}/acl.conf", type = file } ] }
      listeners { tcp { default { bind = "0.0.0.0:1883", enable_authn = true, enable = true, proxy_protocol = false } }
        wss { default = marked_for_deletion } }
      mqtt { exclusive_subscription = false, max_packet_size = 1MB, peer_cert_as_username = disabled }
      delayed { enable = true }
      dashboard { default_password = "******", listeners { http { bind = 18083 } } }`, true);
    expect(found).toEqual(expect.arrayContaining(['no-match', 'source-file', 'source-callback', 'chain-empty', 'listener-chain', 'listener-plain', 'delayed']));
    expect(found).not.toContain('listener-default');
    expect(found).not.toContain('unjudged');
  });

  it('repeats no secret', () => {
    const secret = 'hunter2hunter2hunter2';
    const found = lintText(`${OURS}\nauthentication.1.body.password = "${secret}"\n${TOKEN}.authentication.1.headers { "x-internal-auth" = null, "x-other" = "${secret}" }`, false);
    expect(found.length).toBeGreaterThan(2);
    expect(JSON.stringify(found)).not.toContain(secret);
  });

  it('lets what was waived by name through, and nothing else', () => {
    const found = lintText(`${OURS}\ndelayed.enable = true\nauthorization.no_match = allow`, false);
    expect(blocking(found, new Set<FindingId>(['delayed'])).map(({ id }) => id)).toEqual(['no-match']);
  });
});
