import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import { hasLoneSurrogate } from './canonical-json.js';

/** What a message is about, as its topic says. */
export interface MessageAddress {
  readonly deviceId: string;
  /** Levels below the device: `telemetry`, `events/door/open`… */
  readonly channel: string;
  /** The first of them. */
  readonly kind: ChannelKind;
}

const KINDS = ['telemetry', 'status', 'commands', 'ack', 'events', 'config'] as const;
export type ChannelKind = (typeof KINDS)[number];
/** These have levels of their own below them. */
const DEEP: readonly string[] = ['events', 'config'];

/** Channels that a device publishes to, as the filters that follow `{prefix}/+/`. */
export const UPWARD_CHANNELS = ['telemetry', 'status', 'ack', 'events/#'] as const;

/** `{prefix}/{deviceId}/{channel}`. MALFORMED: characters that no topic may hold; WRONG_TOPIC: no topic of this shape. */
export function readTopic(topic: string, prefix: string): MessageAddress | 'MALFORMED' | 'WRONG_TOPIC' {
  if (/[\u0000-\u001f\u007f-\u009f]/.test(topic) || hasLoneSurrogate(topic)) return 'MALFORMED';
  if (/[+#]/.test(topic) || !topic.startsWith(`${prefix}/`)) return 'WRONG_TOPIC';
  const [deviceId = '', kind, ...deeper] = topic.slice(prefix.length + 1).split('/');
  const known = KINDS.find((candidate) => candidate === kind);
  if (!isCanonicalUuid(deviceId) || known === undefined) return 'WRONG_TOPIC';
  if (deeper.length > 0 && !DEEP.includes(known)) return 'WRONG_TOPIC';
  return { deviceId, channel: [known, ...deeper].join('/'), kind: known };
}

export function verifiedTopic(tenantId: string, { deviceId, channel }: MessageAddress): string {
  return `verified/${tenantId}/${deviceId}/${channel}`;
}
