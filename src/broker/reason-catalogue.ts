import { PROOF_REFUSALS } from '../credentials/proof-refusals.js';
import { CERT_REFUSALS } from '../pki/cert-refusals.js';
import { DOOR_REASONS } from './reasons.js';

const TOPIC_REASONS = {
  TOPIC_INVALID: 'The topic name or filter is not one that MQTT allows, or holds control characters.',
  TOPIC_RESERVED: 'Topics that begin with `$` belong to the broker; of the prefixes only `$share/{group}/` is understood.',
  TOPIC_NOT_GRANTED: 'No rule of the device grants it. A filter needs one rule that covers every topic it can match.',
} as const;

/** Every reason that the broker's door can give, with what it means; `docs/errors.md` is printed from it. */
export const ALL_REASONS: Readonly<Record<string, string>> = {
  ALLOWED: 'Granted.',
  NOT_OURS: 'With `BROKER_UNKNOWN=ignore`: nothing about the client has the shape of one of ours, another authenticator may decide.',
  ...DOOR_REASONS,
  ...PROOF_REFUSALS,
  ...CERT_REFUSALS,
  ...TOPIC_REASONS,
};
