/**
 * Why the broker's question was refused: a closed set. `docs/errors.md` prints it, metrics count by it, the audit log names it.
 * Refusals of a proof itself (`SECRET_…`, `TOKEN_…`, `CERT_…`) stand in the rooms that check it, refusals of a topic in the devices room.
 */
export const DOOR_REASONS = {
  QUESTION_MALFORMED: 'The body is not JSON or a form, a known field is not a string, or the body is larger than 2 MiB.',
  CLIENTID_INVALID: 'The client id is neither a device id nor `svc:<uuid>`, with an optional `:suffix` of 1 to 32 letters, digits, _ or -.',
  USERNAME_MISSING: 'A client secret needs the username; only a certificate or a token may leave it out.',
  USERNAME_MISMATCH: 'The username is not the id that the client id names.',
  PROOF_MISSING: 'No certificate, no token and no secret was presented.',
  PROOF_ENDED: 'The proof is right but ends within this second.',
  CERT_PEM_MISSING: 'A certificate was presented by its name only: the broker must send `cert_pem`.',
  LISTENER_MISSING: 'The listener does not say its `listener_kind`; in production it must.',
  LISTENER_MISMATCH: 'The proof does not fit the listener: `mtls` takes certificates only, `token` and `plain` tokens and secrets only.',
  DEVICE_UNKNOWN: 'No device has this id.',
  DEVICE_SUSPENDED: 'The device is suspended; an admin reactivates it.',
  DEVICE_DECOMMISSIONED: 'The device is decommissioned for ever.',
  SERVICE_UNKNOWN: 'No service account has this id.',
  SERVICE_DISABLED: 'The service account is disabled.',
  TENANT_FROZEN: 'The tenant is frozen.',
  FACTS_UNAVAILABLE: 'Neither a cache nor Postgres could tell about the device: refused, since nothing is known.',
  FACTS_STALE: 'Postgres is gone and the cached facts are of a device that is not ACTIVE.',
  SUBJECT_MISMATCH: 'The device attribute of the session is not the device that the client id names.',
  ACTION_INVALID: 'The action is neither publish nor subscribe, or QoS or retain is none of the values of MQTT.',
  MOUNTPOINT_UNSUPPORTED: 'The listener has a mountpoint: rules are about topics as devices name them, without one.',
  INTERNAL_ERROR: 'Something failed on our side; the log says what. The answer is deny.',
} as const;

/** Of these and of the rooms' own: nobody did anything wrong but a store that could not be asked. The same question is worth another try. */
const OURS: ReadonlySet<string> = new Set(['FACTS_UNAVAILABLE', 'FACTS_STALE', 'CREDENTIALS_UNAVAILABLE', 'CERT_STATUS_UNAVAILABLE', 'INTERNAL_ERROR']);

/** Whether the refusal is a failure of ours. */
export function isOurs(reason: string): boolean {
  return OURS.has(reason);
}

export type DoorReason = keyof typeof DOOR_REASONS;
