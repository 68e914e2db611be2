/**
 * The broker's door as a few plain rules, written apart from the real one and with nothing of it: who would be let in, and what
 * would be granted. Slow and obvious on purpose; what the real door allows must be allowed here.
 */
export interface KnownSubject {
  /** What clientid, username and client attribute say. */
  readonly name: string;
  readonly standing: 'in' | 'out';
  /** Everything that proves it now, exactly as it was issued. */
  readonly secrets: readonly string[];
  readonly tokens: readonly string[];
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export interface Received {
  readonly door: 'auth' | 'acl';
  readonly contentType: string;
  readonly body: Buffer;
}

const WANTED = {
  auth: ['clientid', 'username', 'password', 'peerhost', 'cert_common_name', 'cert_subject', 'cert_pem', 'listener_kind'],
  acl: ['clientid', 'username', 'topic', 'action', 'qos', 'retain', 'peerhost', 'mountpoint', 'device'],
} as const;

export function referenceAllows(subjects: readonly KnownSubject[], { door, contentType, body }: Received): boolean {
  const members = /^application\/x-www-form-urlencoded/.test(contentType) ? readForm(body) : readJson(body);
  if (members === null) return false;
  const field = new Map<string, string>();
  for (const name of WANTED[door]) {
    const value = members.get(name);
    if (value === undefined) field.set(name, '');
    else if (typeof value !== 'string') return false;
    else field.set(name, name !== 'topic' && /^\$\{[^}]*\}$/s.test(value) ? '' : value);
  }
  const of = (name: string): string => field.get(name) ?? '';
  const subject = subjects.find(({ name }) => of('clientid') === name || isSuffixed(of('clientid'), name));
  if (subject === undefined || subject.standing === 'out') return false;
  return door === 'auth' ? connects(subject, of) : mayDo(subject, of);
}

function isSuffixed(clientid: string, name: string): boolean {
  return clientid.startsWith(`${name}:`) && /^[A-Za-z0-9_-]{1,32}$/.test(clientid.slice(name.length + 1)) && !clientid.endsWith('\n');
}

function connects(subject: KnownSubject, of: (name: string) => string): boolean {
  if (of('cert_common_name') + of('cert_subject') + of('cert_pem') !== '') return false;
  if (!['', 'plain', 'token'].includes(of('listener_kind'))) return false;
  if (of('username') === subject.name) return [...subject.secrets, ...subject.tokens].includes(of('password'));
  return of('username') === '' && subject.tokens.includes(of('password'));
}

function mayDo(subject: KnownSubject, of: (name: string) => string): boolean {
  if (!['', subject.name].includes(of('username')) || !['', subject.name].includes(of('device'))) return false;
  if (of('mountpoint') !== '' || !['', '0', '1', '2'].includes(of('qos'))) return false;
  if (!['', 'true', 'false', '0', '1'].includes(of('retain'))) return false;
  const topic = of('topic');
  if (of('action') === 'publish') return !/[+#\0]/.test(topic) && subject.publish.some((rule) => covers(rule, topic));
  if (of('action') !== 'subscribe') return false;
  const filter = topic.replace(/^\$share\/[^/+#]+\//, '');
  return subject.subscribe.some((rule) => covers(rule, filter));
}

/** Rules of these tests are words, or words with `#` at the end. */
function covers(rule: string, wanted: string): boolean {
  if (!rule.endsWith('/#')) return rule === wanted;
  const base = rule.slice(0, -2);
  if (wanted === base) return true;
  if (!wanted.startsWith(`${base}/`)) return false;
  const levels = wanted.split('/');
  return levels.every((level, at) => level === '+' || (level === '#' && at === levels.length - 1) || !/[+#]/.test(level));
}

function readJson(body: Buffer): Map<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
    return new Map(Object.entries(value));
  } catch {
    return null;
  }
}

/** The algorithm of the URL Standard, §5.1, by hand. */
function readForm(body: Buffer): Map<string, unknown> {
  const members = new Map<string, unknown>();
  for (const pair of body.toString('utf8').split('&')) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    members.set(unescape(at === -1 ? pair : pair.slice(0, at)), at === -1 ? '' : unescape(pair.slice(at + 1)));
  }
  return members;
}

function unescape(text: string): string {
  const bytes: number[] = [];
  const source = Buffer.from(text.replaceAll('+', ' '), 'utf8');
  for (let i = 0; i < source.length; i += 1) {
    const hex = source[i] === 0x25 ? /^[0-9a-fA-F]{2}$/.exec(source.toString('latin1', i + 1, i + 3)) : null;
    bytes.push(hex ? Number.parseInt(hex[0], 16) : (source[i] ?? 0));
    if (hex) i += 2;
  }
  return Buffer.from(bytes).toString('utf8');
}
