import type { Received } from '../fakes/reference-door.js';
import type { Seeded } from '../fakes/seeded.js';

/** Members of a question in the order in which they are written; a name may come twice. */
export type Members = [name: string, value: unknown][];

export interface Case extends Received {
  /** All bytes that are written to the connection. */
  readonly wire: Buffer;
  /** The request is whole and well-formed HTTP, so that others may follow on the same connection. */
  readonly framed: boolean;
  /** The header that shows the broker is as it should be. */
  readonly broker: boolean;
  readonly what: string;
}

const STRANGE: readonly unknown[] = [
  null, true, false, 0, 7, -1, 1e308, Number.MAX_SAFE_INTEGER, [], {}, ['x'], { toString: 'x' }, '', ' ', '${clientid}', '${', '\u0000', '\u2028', '\ud800',
  'ü"ser\\n', 'a\r\nX-Evil: 1', '#', '+', '$SYS/#', '$share/g/#', 'mtls', 'plain', 'token', 'svc:', '٣', 'ａ', 'true', '2', '3', 'publish', 'subscribe', 'PUBLISH',
];
const NAMES = ['clientid', 'username', 'password', 'topic', 'action', 'qos', 'retain', 'device', 'mountpoint', 'listener_kind', 'cert_pem', '__proto__', 'constructor', 'CLIENTID', 'clientid ', 'x'];
const TYPES = ['application/json', 'application/x-www-form-urlencoded', 'application/json; charset=utf-8', 'Application/JSON', 'text/plain', '', 'application/x-www-form-urlencoded; charset=utf-8', 'multipart/form-data; boundary=x', 'application/octet-stream', 'application/cbor'];
const PATHS = { auth: '/api/v1/internal/mqtt-auth', acl: '/api/v1/internal/mqtt-acl' } as const;

type Change = (members: Members, random: Seeded, pool: readonly string[]) => void;

const at = (members: Members, random: Seeded): number => random.below(Math.max(1, members.length));

/** Changes of what is asked. */
const CHANGES: Readonly<Record<string, Change>> = {
  drop: (members, random) => void members.splice(at(members, random), 1),
  repeat: (members, random, pool) => {
    const member = members[at(members, random)];
    if (member) members.splice(random.below(members.length + 1), 0, [member[0], random.pick<unknown>([member[1], random.pick(pool), random.pick(STRANGE)])]);
  },
  rename: (members, random) => {
    const member = members[at(members, random)];
    if (member) member[0] = random.pick(NAMES);
  },
  replace: (members, random) => {
    const member = members[at(members, random)];
    if (member) member[1] = random.pick(STRANGE);
  },
  borrow: (members, random, pool) => {
    const member = members[at(members, random)];
    if (member) member[1] = random.pick(pool);
  },
  swap: (members, random) => {
    const [one, other] = [members[at(members, random)], members[at(members, random)]];
    if (one && other) [one[1], other[1]] = [other[1], one[1]];
  },
  letter: (members, random) => {
    const member = members[at(members, random)];
    if (!member || typeof member[1] !== 'string') return;
    const place = random.below(member[1].length + 1);
    const put = random.pick(['', 'A', 'a', ':', '/', '+', '#', '-', '\u0000', 'é', '\ud83d\ude00', String.fromCharCode(32 + random.below(95))]);
    member[1] = member[1].slice(0, place) + put + member[1].slice(place + random.below(2));
  },
  tail: (members, random) => {
    const member = members[at(members, random)];
    if (member && typeof member[1] === 'string') member[1] += random.pick([':1', ':a_b-c', `:${'s'.repeat(33)}`, ':', ':a:b', '/x', '/#', '/+', '\n', ' ', '.', '=']);
  },
  strip: (members, random) => {
    const member = members[at(members, random)];
    if (member && typeof member[1] === 'string') member[1] = random.pick([member[1].trim(), member[1].toUpperCase(), member[1].slice(1), member[1].slice(0, -1), member[1] + member[1]]);
  },
  nest: (members, random) => void members.push([random.pick(NAMES), random.below(2) === 0 ? deep(1 + random.below(2_000)) : 'x'.repeat(random.below(20_000))]),
  prefix: (members, random) => {
    const member = members[at(members, random)];
    if (member && typeof member[1] === 'string') member[1] = random.pick(['svc:', '$share/g/', '$queue/', '$exclusive/', 'eq ', ' ', '/']) + member[1];
  },
};

/** Changes of the bytes that bear the question, and of the request around them. */
const BODY_CHANGES = ['none', 'none', 'none', 'bit', 'byte', 'cut', 'junk', 'bom', 'type'] as const;
const WIRE_CHANGES = [
  'shorter', 'longer', 'no-length', 'two-lengths', 'odd-length', 'chunked', 'chunked-cut', 'chunked-bad', 'both-framings', 'cut', 'expect', 'expect-odd', 'no-host', 'two-hosts',
  'old-http', 'method', 'path', 'secret', 'two-secrets', 'upgrade', 'many-headers', 'huge-header', 'folded', 'bare-lf', 'close', 'noise',
] as const;

/** Mutates one question in one to three ways; about one in seven also in how it is put on the wire. */
export function mutate(door: 'auth' | 'acl', members: Members, random: Seeded, pool: readonly string[], secret: string): Case {
  const changed: Members = members.map(([name, value]) => [name, value]);
  const done: string[] = [];
  for (let i = random.below(3); i >= 0; i -= 1) {
    const name = random.pick(Object.keys(CHANGES));
    CHANGES[name]?.(changed, random, pool);
    done.push(name);
  }
  const form = random.below(4) === 0;
  let contentType = form ? 'application/x-www-form-urlencoded' : 'application/json';
  let body: Buffer = Buffer.from(form ? asForm(changed) : asJson(changed), 'utf8');
  const change = random.pick(BODY_CHANGES);
  if (change === 'type') contentType = random.pick(TYPES);
  else body = changeBody(body, change, random);
  const question = { door, contentType, body };
  const wire = random.below(7) === 0 ? random.pick(WIRE_CHANGES) : null;
  return put(question, secret, wire, random, [...done, change, ...(wire === null ? [] : [wire])].join(' '));
}

export function plain(door: 'auth' | 'acl', members: Members, secret: string, random: Seeded): Case {
  return put({ door, contentType: 'application/json', body: Buffer.from(asJson(members)) }, secret, null, random, 'as captured');
}

function changeBody(body: Buffer, change: string, random: Seeded): Buffer {
  const bytes = Buffer.from(body);
  const place = random.below(Math.max(1, bytes.length));
  switch (change) {
    case 'bit':
      bytes[place] = (bytes[place] ?? 0) ^ (1 << random.below(8));
      return bytes;
    case 'byte':
      bytes[place] = random.below(256);
      return bytes;
    case 'cut':
      return bytes.subarray(0, place);
    case 'junk':
      return Buffer.concat([bytes, Buffer.from(random.pick(['\u0000', ' ', '\r\n', '{}', ',', '&clientid=x', '\ufeff']))]);
    case 'bom':
      return Buffer.concat([Buffer.from('\ufeff'), bytes]);
    default:
      return bytes;
  }
}

function put(question: Received, secret: string, change: string | null, random: Seeded, what: string): Case {
  const { door, contentType, body } = question;
  const head = { method: 'POST', path: PATHS[door] as string, version: 'HTTP/1.1' };
  let lines = [`content-length: ${body.length}`, 'host: 127.0.0.1:3001', ...(contentType === '' ? [] : [`content-type: ${contentType}`]), `x-internal-auth: ${secret}`];
  let sent = body;
  let received = question;
  let broker = true;
  let end = '\r\n';
  const length = (value: string): void => void (lines[0] = `content-length: ${value}`);
  const add = (...more: string[]): void => void lines.push(...more);
  switch (change) {
    case 'shorter':
      received = { ...question, body: body.subarray(0, body.length >> 1) };
      length(String(body.length >> 1));
      break;
    case 'longer': length(String(body.length + 1 + random.below(1_000))); break;
    case 'no-length':
      lines.shift();
      received = { ...question, body: Buffer.alloc(0) };
      break;
    case 'two-lengths': add(`content-length: ${random.below(2) === 0 ? body.length : 5}`); break;
    case 'odd-length': length(random.pick(['-1', '1e3', '0x10', '+5', '99999999999999999999', '', ' ', 'NaN'])); break;
    case 'chunked':
      lines[0] = 'transfer-encoding: chunked';
      sent = Buffer.concat([...chunks(body, 1 + random.below(64)), Buffer.from('0\r\n\r\n')]);
      break;
    case 'chunked-cut':
      lines[0] = 'transfer-encoding: chunked';
      sent = Buffer.concat(chunks(body, 1 + random.below(64)));
      break;
    case 'chunked-bad':
      lines[0] = `transfer-encoding: ${random.pick(['chunked', 'gzip, chunked', 'chunked, identity', 'xchunked', 'chunked;q=1'])}`;
      sent = Buffer.concat([Buffer.from(random.pick(['zz\r\n', '-1\r\n', 'ffffffffffffffffff\r\n', '5\n'])), body]);
      break;
    case 'both-framings':
      add('transfer-encoding: chunked');
      break;
    case 'cut': break;
    case 'expect': add('expect: 100-continue'); break;
    case 'expect-odd': add(`expect: ${random.pick(['x', '200-ok', '100-continue, x'])}`); break;
    case 'no-host': lines = lines.filter((line) => !line.startsWith('host')); break;
    case 'two-hosts': add('host: other'); break;
    case 'old-http': head.version = random.pick(['HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/9.9', 'ICY']); break;
    case 'method':
      head.method = random.pick(['GET', 'PUT', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE', 'CONNECT', 'PATCH', 'post', 'PO ST', '']);
      broker = false;
      break;
    case 'path':
      head.path = random.pick([`${head.path}/`, `/${head.path}`, `${head.path}%20`, head.path.toUpperCase(), '/', '*', `http://evil${head.path}`, `${head.path};x`, '/api/v1/devices', '/%zz', '/../etc/passwd']);
      broker = false;
      break;
    case 'secret':
      lines[lines.length - 1] = `x-internal-auth: ${random.pick(['', ' ', secret.slice(1), secret.toUpperCase(), `${secret}x`, `${secret},${secret}`, '\u00ff'])}`;
      broker = false;
      break;
    case 'two-secrets':
      add(`x-internal-auth: ${random.pick(['wrong', secret])}`);
      broker = false;
      break;
    case 'upgrade': add('connection: upgrade', `upgrade: ${random.pick(['websocket', 'h2c', 'x'])}`); break;
    case 'many-headers': for (let i = 0; i < 3_000; i += 1) add(`x${i}: y`); break;
    case 'huge-header': add(`x-padding: ${'y'.repeat(20_000)}`); break;
    case 'folded': add('x-folded: a\r\n b'); break;
    case 'bare-lf': end = '\n'; break;
    case 'close': add('connection: close'); break;
    default: break;
  }
  const text = `${[head.method, head.path, head.version].join(' ')}${end}${lines.join(end)}${end}${end}`;
  let wire = Buffer.concat([Buffer.from(text, 'latin1'), sent]);
  if (change === 'cut') wire = wire.subarray(0, random.below(wire.length));
  if (change === 'noise') wire = Buffer.concat([Buffer.from(random.pick(['\r\n', 'x', '\u0000', 'GET', '\x16\x03\x01\x02\x00'])), wire]);
  return { ...received, wire, framed: change === null, broker, what };
}

function chunks(data: Buffer, size: number): Buffer[] {
  const parts: Buffer[] = [];
  for (let from = 0; from < data.length; from += size) {
    const part = data.subarray(from, from + size);
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'));
  }
  return parts;
}

function asJson(members: Members): string {
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
}

function asForm(members: Members): string {
  return members.map(([name, value]) => `${encode(name)}=${encode(typeof value === 'string' ? value : JSON.stringify(value))}`).join('&');
}

/** As EMQX writes forms; half a surrogate pair has no UTF-8. */
function encode(text: string): string {
  return encodeURIComponent(Buffer.from(text, 'utf8').toString('utf8')).replaceAll('%20', '+');
}

function deep(levels: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < levels; i += 1) value = [value];
  return value;
}
