import { AUTH_PATH, asks, CERTIFICATE_FIELDS, CONNECT_FIELDS, judgeCallback } from './callback.rules.js';
import type { FindingId, Report } from './finding.js';
import { isObject, type HoconObject, type HoconValue } from './hocon.js';
import { bindsLoopback, durationOf, listOf, openListeners, switchOf, textOf, valueAt, type Listener } from './reading.js';

const USUAL_TIMEOUT_MS = 5_000;
/** EMQX's default, and the shortest that it takes. */
const USUAL_REFRESH = '15m';
const REFRESH_MS = 60_000;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { tcp: '1883', ssl: '8883', ws: '8083', wss: '8084' };
const ENCRYPTED: readonly string[] = ['ssl', 'wss', 'quic'];

/** Who is let in: the global chain, and each listener with its own. */
export function judgeAuthentication(config: HoconObject, complete: boolean, report: Report): void {
  const global = listOf(config['authentication']);
  judgeChain(global, 'authentication', CONNECT_FIELDS, report);
  for (const listener of openListeners(config)) judgeListener(listener, global, report);
  judgeLists(config, report);
  if (!complete) judgeDefaults(config, report);
  judgeIdentity(config, report);
}

/** A file that does not name a default listener leaves it open; a running broker names all that it has. */
function judgeDefaults(config: HoconObject, report: Report): void {
  for (const [type, port] of Object.entries(DEFAULT_PORTS)) {
    const path = `listeners.${type}.default`;
    if (valueAt(config, path) === undefined) report('listener-default', path, undefined, `${path} { enable = false, bind = "${port}" }`);
  }
}

function judgeChain(chain: readonly HoconValue[], path: string, fields: Readonly<Record<string, string>>, report: Report): void {
  chain.forEach((block, index) => {
    const place = `${path}.${index + 1}`;
    if (!isObject(block)) return report('authenticator-foreign', place, block);
    if (switchOf(block['enable'], true) !== true) report('authenticator-disabled', `${place}.enable`, block['enable']);
    const mechanism = textOf(block['mechanism']);
    const backend = textOf(block['backend']);
    if (mechanism === 'jwt') report('authenticator-jwt', place, mechanism);
    else if (backend === 'built_in_database') report('authenticator-database', place, `${mechanism}:${backend}`);
    else if (mechanism !== 'password_based' || backend !== 'http' || !asks(block, AUTH_PATH)) {
      report('authenticator-foreign', place, [mechanism, backend].filter((word) => word !== '').join(':'));
    } else {
      if (block['precondition'] !== undefined && block['precondition'] !== '') report('authenticator-precondition', `${place}.precondition`, block['precondition']);
      judgeCallback(block, place, fields, USUAL_TIMEOUT_MS, report);
    }
  });
}

function judgeListener(listener: Listener, global: readonly HoconValue[], report: Report): void {
  const { type, path, settings } = listener;
  const own = listOf(settings['authentication']);
  const chain = own.length > 0 ? own : global;
  if (switchOf(settings['enable_authn'], true) === false) report('listener-authn', `${path}.enable_authn`, settings['enable_authn']);
  if (!chain.some((block) => isObject(block) && switchOf(block['enable'], true) === true)) {
    report('chain-empty', `${path}.authentication`, chain.length === 0 ? settings['authentication'] : 'none enabled');
  }
  const kinds = own.filter(isObject).map(kindOf);
  const mtls = kinds.includes('mtls');
  if (own.length === 0) report('listener-chain', `${path}.authentication`, settings['authentication']);
  else judgeChain(own, `${path}.authentication`, mtls ? { ...CONNECT_FIELDS, ...CERTIFICATE_FIELDS } : CONNECT_FIELDS, report);
  own.forEach((block, index) => {
    if (isObject(block) && asks(block, AUTH_PATH)) judgeKind(type, kindOf(block), `${path}.authentication.${index + 1}.body.listener_kind`, report);
  });
  judgeTls(listener, mtls, report);
  judgeReach(listener, report);
}

/** The constant, or `''` where there is none: a placeholder is none. */
function kindOf(block: HoconObject): string {
  const kind = textOf(valueAt(block, 'body.listener_kind'));
  return kind.includes('${') ? '' : kind;
}

function judgeKind(type: string, kind: string, path: string, report: Report): void {
  const fitting = ENCRYPTED.includes(type) ? ['token', 'mtls'] : ['plain'];
  if (!fitting.includes(kind)) report('listener-kind', path, kind === '' ? undefined : kind, `body { …, listener_kind = "${fitting[0]}" }`);
}

function judgeTls({ type, path, settings }: Listener, mtls: boolean, report: Report): void {
  if (!ENCRYPTED.includes(type)) {
    if (!bindsLoopback(settings['bind'])) report('listener-plain', `${path}.bind`, settings['bind'], `${path}.enable = false`);
    return;
  }
  const tls = type === 'quic' ? settings : isObject(settings['ssl_options']) ? settings['ssl_options'] : {};
  const line = (id: FindingId, name: string, write: string): void =>
    report(id, `${path}.ssl_options.${name}`, tls[name], `${path}.ssl_options.${name} = ${write}`);
  for (const name of ['certfile', 'keyfile'] as const) if (isShipped(tls[name])) line('listener-certificate', name, '"…"');
  if (!mtls) return;
  if (tls['verify'] !== 'verify_peer') line('listener-mtls', 'verify', 'verify_peer');
  if (switchOf(tls['fail_if_no_peer_cert'], false) !== true) line('listener-mtls', 'fail_if_no_peer_cert', 'true');
  if (isShipped(tls['cacertfile'])) line('listener-authority', 'cacertfile', '"/etc/portcullis/devices/device-ca.pem"');
  const checked = switchOf(tls['enable_crl_check'], false) === true;
  // EMQX has no such setting for other listeners.
  if (type !== 'ssl') report('listener-crl', path, type, `${path}.enable = false`);
  else if (!checked) line('listener-crl', 'enable_crl_check', 'true');
}

/** EMQX's own sample, by name or because nothing is named. */
function isShipped(file: HoconValue | undefined): boolean {
  return /^$|^\$\{EMQX_ETC_DIR\}\/certs\/|^(\/opt\/emqx\/)?etc\/certs\/|^\/etc\/emqx\/certs\//.test(textOf(file));
}

/** How old a list may get, where one is looked at. */
function judgeLists(config: HoconObject, report: Report): void {
  const checks = openListeners(config).some(({ settings }) => switchOf(valueAt(settings, 'ssl_options.enable_crl_check'), false) === true);
  const value = valueAt(config, 'crl_cache.refresh_interval');
  if (checks && (durationOf(value ?? USUAL_REFRESH) ?? Infinity) > REFRESH_MS) report('crl-refresh', 'crl_cache.refresh_interval', value);
}

function judgeReach({ path, settings }: Listener, report: Report): void {
  if (switchOf(settings['proxy_protocol'], false) !== false && !bindsLoopback(settings['bind']) && !isFenced(settings['access_rules'])) {
    report('listener-proxy', `${path}.proxy_protocol`, settings['proxy_protocol']);
  }
  if (textOf(settings['mountpoint']) !== '') report('listener-mountpoint', `${path}.mountpoint`, settings['mountpoint']);
}

/** Named addresses, and everybody else refused. */
function isFenced(rules: HoconValue | undefined): boolean {
  const words = listOf(rules).map((rule) => textOf(rule).trim());
  return words.at(-1) === 'deny all' && !words.includes('allow all');
}

function judgeIdentity(config: HoconObject, report: Report): void {
  const zones = Object.keys(isObject(config['zones']) ? config['zones'] : {}).map((zone) => `zones.${zone}.mqtt`);
  for (const mqtt of ['mqtt', ...zones]) {
    for (const name of ['peer_cert_as_username', 'peer_cert_as_clientid', 'clientid_override']) {
      const value = valueAt(config, `${mqtt}.${name}`);
      if (!['', 'disabled', 'undefined'].includes(textOf(value))) report('identity-rewritten', `${mqtt}.${name}`, value, `${mqtt}.${name} = disabled`);
    }
    const swap = valueAt(config, `${mqtt}.use_username_as_clientid`);
    if (switchOf(swap, false) !== false) report('identity-rewritten', `${mqtt}.use_username_as_clientid`, swap, `${mqtt}.use_username_as_clientid = false`);
  }
}
