import type { Report } from './finding.js';
import { isObject, type HoconObject } from './hocon.js';
import { durationOf, isLoopbackHost, switchOf, textOf } from './reading.js';

export const AUTH_PATH = '/api/v1/internal/mqtt-auth';
export const ACL_PATH = '/api/v1/internal/mqtt-acl';
const MAX_TIMEOUT_MS = 5_000;

/** What the door reads of a CONNECT, wherever it comes from. */
export const CONNECT_FIELDS: Readonly<Record<string, string>> = {
  clientid: '${clientid}',
  username: '${username}',
  password: '${password}',
  peerhost: '${peerhost}',
};
/** What a certificate is judged by. */
export const CERTIFICATE_FIELDS: Readonly<Record<string, string>> = {
  cert_common_name: '${cert_common_name}',
  cert_subject: '${cert_subject}',
  cert_pem: '${cert_pem}',
};
export const ACL_FIELDS: Readonly<Record<string, string>> = {
  clientid: '${clientid}',
  username: '${username}',
  topic: '${topic}',
  action: '${action}',
  qos: '${qos}',
  retain: '${retain}',
  peerhost: '${peerhost}',
  mountpoint: '${mountpoint}',
  device: '${client_attrs.device}',
};

/** Whether a block asks Portcullis, by the path of its address. */
export function asks(block: HoconObject, path: string): boolean {
  return urlOf(block)?.pathname.replace(/\/+$/, '') === path;
}

/** How a block of ours asks: by what method, over what, with what in the body. */
export function judgeCallback(block: HoconObject, path: string, fields: Readonly<Record<string, string>>, usualTimeoutMs: number, report: Report): void {
  if (textOf(block['method']).toLowerCase() !== 'post') report('callback-method', `${path}.method`, block['method']);
  judgeHeaders(block, path, report);
  judgeTransport(block, path, report);
  const timeout = block['request_timeout'] === undefined ? usualTimeoutMs : durationOf(block['request_timeout']);
  if (timeout === null || timeout > MAX_TIMEOUT_MS) report('callback-timeout', `${path}.request_timeout`, block['request_timeout']);
  const body = isObject(block['body']) ? block['body'] : {};
  for (const [name, template] of Object.entries(fields)) {
    const given = Object.hasOwn(body, name) ? body[name] : undefined;
    // A constant may be a secret that somebody wrote there.
    const found = given === undefined || textOf(given).includes('${') ? given : 'something else';
    if (given !== template) report('body-field', `${path}.body.${name}`, found, `body { …, ${name} = "${template}" }`);
  }
}

function judgeHeaders(block: HoconObject, path: string, report: Report): void {
  const headers = isObject(block['headers']) ? block['headers'] : {};
  const named = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), textOf(value)]));
  if (!named.get('x-internal-auth')) report('callback-secret', `${path}.headers`, 'no x-internal-auth');
}

function judgeTransport(block: HoconObject, path: string, report: Report): void {
  const url = urlOf(block);
  if (url?.protocol === 'http:') {
    if (!isLoopbackHost(url.hostname)) report('callback-plain', `${path}.url`, url.origin);
    return;
  }
  const ssl = isObject(block['ssl']) ? block['ssl'] : {};
  if (switchOf(ssl['enable'], false) !== true) report('callback-unverified', `${path}.ssl.enable`, ssl['enable']);
  else if (ssl['verify'] !== 'verify_peer') report('callback-unverified', `${path}.ssl.verify`, ssl['verify']);
}

function urlOf(block: HoconObject): URL | null {
  const text = textOf(block['url']);
  return URL.canParse(text) ? new URL(text) : null;
}
