/** The broker's question about a CONNECT. Every field is text; '' means that it was not given. */
export interface ConnectQuestion {
  readonly clientid: string;
  readonly username: string;
  readonly password: string;
  readonly peerhost: string;
  readonly cert_common_name: string;
  readonly cert_subject: string;
  readonly cert_pem: string;
  readonly listener_kind: string;
}

/** The broker's question about a PUBLISH or SUBSCRIBE. */
export interface AclQuestion {
  readonly clientid: string;
  readonly username: string;
  readonly topic: string;
  readonly action: string;
  readonly qos: string;
  readonly retain: string;
  readonly peerhost: string;
  readonly mountpoint: string;
  /** From `${client_attrs.device}`. */
  readonly device: string;
}

type Members = Readonly<Record<string, unknown>>;

/** @returns the question, or `null` when it cannot be understood: the answer is then deny. Total: never throws. */
export function readConnectQuestion(body: Buffer, contentType: string): ConnectQuestion | null {
  const members = readMembers(body, contentType);
  if (members === null) return null;
  const field = reader(members);
  const question = {
    clientid: field('clientid'),
    username: field('username'),
    password: field('password'),
    peerhost: field('peerhost'),
    cert_common_name: field('cert_common_name'),
    cert_subject: field('cert_subject'),
    cert_pem: field('cert_pem'),
    listener_kind: field('listener_kind'),
  };
  return field.broken ? null : question;
}

/** As `readConnectQuestion`. The topic alone keeps a literal `${…}`: a topic may look like that. */
export function readAclQuestion(body: Buffer, contentType: string): AclQuestion | null {
  const members = readMembers(body, contentType);
  if (members === null) return null;
  const field = reader(members);
  const question = {
    clientid: field('clientid'),
    username: field('username'),
    topic: field('topic', true),
    action: field('action'),
    qos: field('qos'),
    retain: field('retain'),
    peerhost: field('peerhost'),
    mountpoint: field('mountpoint'),
    device: field('device'),
  };
  return field.broken ? null : question;
}

interface FieldReader {
  (name: string, literal?: boolean): string;
  /** A field had another type than text: the broker never does that, so it is not the broker. */
  broken: boolean;
}

function reader(members: Members): FieldReader {
  const read: FieldReader = (name, literal = false) => {
    const value = Object.hasOwn(members, name) ? members[name] : undefined;
    if (value === undefined) return '';
    if (typeof value !== 'string') {
      read.broken = true;
      return '';
    }
    return !literal && isUnrendered(value) ? '' : value;
  };
  read.broken = false;
  return read;
}

/** A placeholder that the broker does not know is sent as it stands in the template: `${listener}`. */
function isUnrendered(value: string): boolean {
  return value.charCodeAt(0) === 0x24 && value.charCodeAt(1) === 0x7b && value.endsWith('}') && value.indexOf('}') === value.length - 1;
}

function readMembers(body: Buffer, contentType: string): Members | null {
  if (contentType.startsWith('application/x-www-form-urlencoded')) {
    return Object.fromEntries(new URLSearchParams(body.toString('utf8')));
  }
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    return parsed !== null && typeof parsed === 'object' && !Array.isArray(parsed) ? (parsed as Members) : null;
  } catch {
    return null;
  }
}
