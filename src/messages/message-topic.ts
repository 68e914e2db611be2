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

const UUID_LENGTH = 36;
/** Neither control characters nor halves of surrogate pairs, as nearly every topic. */
const PLAIN = /^[\x20-\x7e]*$/;

/** Channels that a device publishes to, as the filters that follow `{prefix}/+/`. */
export const UPWARD_CHANNELS = ['telemetry', 'status', 'ack', 'events/#'] as const;

/** `{prefix}/{deviceId}/{channel}`. MALFORMED: characters that no topic may hold; WRONG_TOPIC: no topic of this shape. */
export function readTopic(topic: string, prefix: string): MessageAddress | 'MALFORMED' | 'WRONG_TOPIC' {
  if (!PLAIN.test(topic) && (/[\u0000-\u001f\u007f-\u009f]/.test(topic) || hasLoneSurrogate(topic))) return 'MALFORMED';
  if (/[+#]/.test(topic) || !topic.startsWith(prefix) || topic[prefix.length] !== '/') return 'WRONG_TOPIC';
  const start = prefix.length + 1 + UUID_LENGTH;
  const deviceId = topic.slice(prefix.length + 1, start);
  if (topic[start] !== '/' || !isCanonicalUuid(deviceId)) return 'WRONG_TOPIC';
  const channel = topic.slice(start + 1);
  const deeper = channel.indexOf('/');
  const first = deeper < 0 ? channel : channel.slice(0, deeper);
  const kind = KINDS.find((candidate) => candidate === first);
  if (kind === undefined || (deeper >= 0 && !DEEP.includes(kind))) return 'WRONG_TOPIC';
  return { deviceId, channel, kind };
}

export function verifiedTopic(tenantId: string, { deviceId, channel }: MessageAddress): string {
  return `verified/${tenantId}/${deviceId}/${channel}`;
}
