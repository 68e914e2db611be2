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

type Members<Question> = { readonly [Name in keyof Question]?: unknown };

/** @returns the question, or `null` when it cannot be understood: the answer is then deny. Total: never throws. */
export function readConnectQuestion(body: Buffer, contentType: string): ConnectQuestion | null {
  const members: Members<ConnectQuestion> | null = readMembers(body, contentType);
  if (members === null) return null;
  const { clientid, username, password, peerhost, cert_common_name, cert_subject, cert_pem, listener_kind } = members;
  // The broker sends text alone: who sends anything else is not the broker.
  return isText(clientid) && isText(username) && isText(password) && isText(peerhost) && isText(cert_common_name)
    && isText(cert_subject) && isText(cert_pem) && isText(listener_kind)
    ? {
      clientid: given(clientid),
      username: given(username),
      password: given(password),
      peerhost: given(peerhost),
      cert_common_name: given(cert_common_name),
      cert_subject: given(cert_subject),
      cert_pem: given(cert_pem),
      listener_kind: given(listener_kind),
    }
    : null;
}

/** As `readConnectQuestion`. The topic alone keeps a literal `${…}`: a topic may look like that. */
export function readAclQuestion(body: Buffer, contentType: string): AclQuestion | null {
  const members: Members<AclQuestion> | null = readMembers(body, contentType);
  if (members === null) return null;
  const { clientid, username, topic, action, qos, retain, peerhost, mountpoint, device } = members;
  return isText(clientid) && isText(username) && isText(topic) && isText(action) && isText(qos) && isText(retain)
    && isText(peerhost) && isText(mountpoint) && isText(device)
    ? {
      clientid: given(clientid),
      username: given(username),
      topic: topic ?? '',
      action: given(action),
      qos: given(qos),
      retain: given(retain),
      peerhost: given(peerhost),
      mountpoint: given(mountpoint),
      device: given(device),
    }
    : null;
}

function isText(value: unknown): value is string | undefined {
  return typeof value === 'string' || value === undefined;
}

function given(value: string | undefined): string {
  return value === undefined || isUnrendered(value) ? '' : value;
}

/** A placeholder that the broker does not know is sent as it stands in the template: `${listener}`. */
function isUnrendered(value: string): boolean {
  return value.charCodeAt(0) === 0x24 && value.charCodeAt(1) === 0x7b && value.endsWith('}') && value.indexOf('}') === value.length - 1;
}

function readMembers(body: Buffer, contentType: string): object | null {
  if (contentType.startsWith('application/x-www-form-urlencoded')) {
    return Object.fromEntries(new URLSearchParams(body.toString('utf8')));
  }
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    return parsed !== null && typeof parsed === 'object' && !Array.isArray(parsed) ? parsed : null;
  } catch {
    return null;
  }
}
