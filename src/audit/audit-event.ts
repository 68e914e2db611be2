import type { Principal } from '../access/principal.js';

export const SEVERITIES = ['INFO', 'WARNING', 'HIGH', 'CRITICAL'] as const;
export type Severity = (typeof SEVERITIES)[number];

interface AuditEventDefinition {
  /** What the row bears unless the event says otherwise. */
  readonly severity: Severity;
  readonly meaning: string;
}

/** Everything that the security log can say. An event that is not listed does not compile. */
export const AUDIT_EVENTS = {
  // Proofs and refusals
  AUTH_SUCCESS: { severity: 'INFO', meaning: 'A device, service account or person proved who they are.' },
  AUTH_FAILURE: { severity: 'WARNING', meaning: 'A proof was refused: details.reason says why.' },
  ACCESS_DENIED: { severity: 'WARNING', meaning: 'A known caller asked for something that they may not do.' },
  ACL_DENIED: { severity: 'WARNING', meaning: 'A publish or a subscription was refused.' },
  RATE_LIMITED: { severity: 'WARNING', meaning: 'A caller was slowed down.' },
  HMAC_FAILURE: { severity: 'WARNING', meaning: 'A message bore no signature or a wrong one.' },
  REPLAY_DETECTED: { severity: 'HIGH', meaning: 'A nonce came again under another signature.' },
  MESSAGE_REJECTED: { severity: 'WARNING', meaning: 'A signed message was refused for another reason than its signature.' },
  MESSAGE_GAP: { severity: 'HIGH', meaning: 'Messages of a device could not be verified in time and were given up.' },

  // Devices
  DEVICE_REGISTERED: { severity: 'INFO', meaning: 'A device was registered.' },
  DEVICE_UPDATED: { severity: 'INFO', meaning: 'Name, metadata, groups or proofs of a device were changed.' },
  DEVICE_ACTIVATED: { severity: 'INFO', meaning: 'A device may connect (again).' },
  DEVICE_SUSPENDED: { severity: 'HIGH', meaning: 'A device was suspended, by an admin or after repeated failures.' },
  DEVICE_QUARANTINED: { severity: 'HIGH', meaning: 'A device was confined to its remediation topics.' },
  DEVICE_RELEASED: { severity: 'INFO', meaning: 'A device left quarantine.' },
  DEVICE_DECOMMISSIONED: { severity: 'HIGH', meaning: 'A device ended for good, with all its credentials.' },
  DEVICE_EJECTED: { severity: 'INFO', meaning: 'Live sessions were closed; details says what the broker confirmed.' },
  DEVICE_EJECTION_UNCONFIRMED: { severity: 'HIGH', meaning: 'The broker has not confirmed an ejection; it is being repeated.' },
  DEVICE_SWEPT: { severity: 'INFO', meaning: 'The second sweep after an ejection ran; details says what it found.' },

  // Credentials, certificates, keys
  CREDENTIAL_ISSUED: { severity: 'INFO', meaning: 'A client secret or another credential was issued.' },
  CREDENTIAL_REVOKED: { severity: 'HIGH', meaning: 'A credential, and what came from it, was revoked.' },
  SECRET_ROTATED: { severity: 'INFO', meaning: 'A client secret or HMAC secret was replaced; the old one has its overlap.' },
  TOKEN_ISSUED: { severity: 'INFO', meaning: 'A device token was issued.' },
  CLAIM_ISSUED: { severity: 'INFO', meaning: 'An enrolment claim was issued.' },
  CLAIM_USED: { severity: 'INFO', meaning: 'An enrolment claim was spent.' },
  CERT_ISSUED: { severity: 'INFO', meaning: 'A certificate was issued or renewed.' },
  CERT_REVOKED: { severity: 'HIGH', meaning: 'A certificate was revoked.' },
  CERT_EXPIRING: { severity: 'WARNING', meaning: 'A certificate ends soon and has not been renewed; once for each details.threshold, `soon` and `last`.' },
  CA_EXPIRING: { severity: 'HIGH', meaning: 'A certification authority ends soon and has no successor: details.threshold says how soon.' },
  CERT_ROTATION_STARTED: { severity: 'INFO', meaning: 'A bulk rotation of certificates was ordered.' },
  CERT_ROTATION_FINISHED: { severity: 'INFO', meaning: 'A bulk rotation of certificates ended.' },
  CA_CREATED: { severity: 'HIGH', meaning: 'A certification authority was created.' },
  CA_REQUESTED: { severity: 'HIGH', meaning: 'A key for an issuing CA was made, whose certificate is signed elsewhere.' },
  CA_RETIRED: { severity: 'HIGH', meaning: 'A CA was replaced: it issues nothing more, and what it issued stays good.' },
  CA_ENDED: { severity: 'INFO', meaning: 'Nothing good rests on a replaced CA any more: brokers need not trust it.' },
  SIGNING_KEY_ROTATED: { severity: 'HIGH', meaning: 'The key that signs device tokens was replaced.' },

  // Groups and topic rules
  GROUP_CREATED: { severity: 'INFO', meaning: 'A group was created.' },
  GROUP_UPDATED: { severity: 'INFO', meaning: 'A group was changed.' },
  GROUP_DELETED: { severity: 'INFO', meaning: 'A group was deleted.' },
  GROUP_MEMBER_ADDED: { severity: 'INFO', meaning: 'Devices joined a group.' },
  GROUP_MEMBER_REMOVED: { severity: 'INFO', meaning: 'Devices left a group.' },
  RULE_CREATED: { severity: 'INFO', meaning: 'A topic rule was added.' },
  RULE_UPDATED: { severity: 'INFO', meaning: 'A topic rule was changed.' },
  RULE_DELETED: { severity: 'INFO', meaning: 'A topic rule was taken away.' },

  // Roles on groups and devices
  ROLE_BINDING_CREATED: { severity: 'INFO', meaning: 'A person was given a role on a group or a device.' },
  ROLE_BINDING_DELETED: { severity: 'INFO', meaning: 'A role on a group or a device was taken away.' },

  // Service accounts
  SERVICE_ACCOUNT_CREATED: { severity: 'INFO', meaning: 'A service account was created.' },
  SERVICE_ACCOUNT_DISABLED: { severity: 'HIGH', meaning: 'A service account was disabled.' },
  SERVICE_ACCOUNT_ENABLED: { severity: 'INFO', meaning: 'A service account was enabled again.' },

  // People
  USER_BOOTSTRAPPED: { severity: 'HIGH', meaning: 'The first admin of the installation was made.' },
  USER_CREATED: { severity: 'INFO', meaning: 'An admin created an account or a membership.' },
  USER_REGISTERED: { severity: 'INFO', meaning: 'A person registered.' },
  USER_UPDATED: { severity: 'INFO', meaning: 'Name or address of an account were changed.' },
  USER_ROLE_CHANGED: { severity: 'HIGH', meaning: 'A membership or, on the platform, an account was given another role.' },
  USER_DISABLED: { severity: 'HIGH', meaning: 'A membership or account was disabled; its sessions ended.' },
  USER_ENABLED: { severity: 'INFO', meaning: 'A membership or account was enabled again.' },
  USER_REMOVED: { severity: 'HIGH', meaning: 'A membership or account was removed.' },
  USER_PASSWORD_CHANGED: { severity: 'INFO', meaning: 'A password was changed or reset.' },
  USER_PASSWORD_RESET_REQUESTED: { severity: 'INFO', meaning: 'A recovery token was asked for.' },
  USER_INVITED: { severity: 'INFO', meaning: 'An invitation was sent.' },
  USER_INVITATION_REVOKED: { severity: 'INFO', meaning: 'An invitation was taken back.' },
  USER_INVITATION_ACCEPTED: { severity: 'INFO', meaning: 'An invitation was accepted.' },
  USER_EMAIL_CHANGE_REQUESTED: { severity: 'HIGH', meaning: 'Somebody with the password asked for another e-mail address.' },
  USER_EMAIL_CHANGED: { severity: 'HIGH', meaning: 'An e-mail address was changed, after both addresses agreed.' },
  SESSION_STARTED: { severity: 'INFO', meaning: 'A person logged in.' },
  SESSION_ENDED: { severity: 'INFO', meaning: 'A session was ended.' },
  SESSION_REUSED: { severity: 'HIGH', meaning: 'A spent refresh token came again: its whole family was revoked.' },
  PAT_CREATED: { severity: 'INFO', meaning: 'A personal access token was created.' },
  PAT_UPDATED: { severity: 'INFO', meaning: 'Scopes of a personal access token were changed.' },
  PAT_RESET: { severity: 'INFO', meaning: 'A personal access token was given a new secret.' },
  PAT_REVOKED: { severity: 'INFO', meaning: 'A personal access token was revoked.' },

  // Tenants
  TENANT_CREATED: { severity: 'HIGH', meaning: 'A tenant was created.' },
  TENANT_UPDATED: { severity: 'INFO', meaning: 'Name or slug of a tenant were changed.' },
  TENANT_FROZEN: { severity: 'HIGH', meaning: 'A tenant was frozen: nothing of it may connect.' },
  TENANT_UNFROZEN: { severity: 'HIGH', meaning: 'A frozen tenant was opened again.' },
  TENANT_DELETED: { severity: 'HIGH', meaning: 'A tenant was deleted.' },
  TENANT_ENTERED: { severity: 'HIGH', meaning: 'A platform operator acted inside a tenant.' },
  TENANT_MEMBER_ADDED: { severity: 'INFO', meaning: 'The platform added a member to a tenant.' },
  TENANT_MEMBER_REMOVED: { severity: 'HIGH', meaning: 'The platform removed a member from a tenant.' },

  // Commands
  COMMAND_CREATED: { severity: 'INFO', meaning: 'A command was ordered.' },
  COMMAND_SENT: { severity: 'INFO', meaning: 'A command was signed and handed to the broker.' },
  COMMAND_ACKED: { severity: 'INFO', meaning: 'The device confirmed a command.' },
  COMMAND_FAILED: { severity: 'WARNING', meaning: 'The device reported that a command failed.' },
  COMMAND_EXPIRED: { severity: 'WARNING', meaning: 'A command ended without an answer.' },
  COMMAND_CANCELLED: { severity: 'INFO', meaning: 'A command was cancelled.' },

  // The log itself
  AUDIT_EXPORTED: { severity: 'INFO', meaning: 'Somebody exported the security log; details bears the filters.' },
  AUDIT_PRUNED: { severity: 'HIGH', meaning: 'Months of the security log were dropped: details.partitions names them, details.keepMonths says how many are kept.' },
  LOG_GAP: { severity: 'HIGH', meaning: 'Events of a lane were dropped: details.count of them between details.from and details.to.' },
} as const satisfies Record<string, AuditEventDefinition>;

export type AuditEventType = keyof typeof AUDIT_EVENTS;

/** Who did it: `user`, `pat`, `device`, `service`, `provisioner`, `system` (jobs) or `anonymous` (nobody was proven). */
export interface AuditActor {
  readonly kind: string;
  readonly id: string | null;
  /** Of a personal access token: the account for which it acted. */
  readonly userId?: string;
}

export const SYSTEM_ACTOR: AuditActor = { kind: 'system', id: null };
export const ANONYMOUS_ACTOR: AuditActor = { kind: 'anonymous', id: null };

/** One thing that happened. What is left out is filled in: severity by type, ip and request id by the current request. */
export interface AuditEvent {
  readonly type: AuditEventType;
  readonly severity?: Severity;
  /** `null`: nobody's, such as an unknown device; only the platform plane reads it. */
  readonly tenantId: string | null;
  readonly deviceId?: string | null;
  /** The account that it is about; left out, the acting one. */
  readonly userId?: string | null;
  readonly actor: AuditActor;
  readonly ip?: string | null;
  readonly requestId?: string | null;
  /** Free members; `reason` tells kinds of refusal apart when repeats are aggregated. Never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The actor of an authenticated request. */
export function actorOf(principal: Pick<Principal, 'kind' | 'id' | 'credentialId'>): AuditActor {
  if (principal.kind === 'pat') return { kind: 'pat', id: principal.credentialId ?? null, userId: principal.id };
  return { kind: principal.kind, id: principal.id };
}
