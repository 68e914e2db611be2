/** States of a device's life. The database holds the same table of transitions (trigger `devices_guard`); a test compares the two. */
export const DEVICE_STATES = ['PENDING', 'ACTIVE', 'SUSPENDED', 'QUARANTINED', 'DECOMMISSIONED'] as const;
export type DeviceStatus = (typeof DEVICE_STATES)[number];

/** What a device may prove itself with when it connects. */
export const PROOF_KINDS = ['secret', 'token', 'certificate'] as const;
export type ProofKind = (typeof PROOF_KINDS)[number];

/** Unique in its tenant; may stand in a topic, so it holds no `/`, `+`, `#` or `$`. */
export const SLUG_PATTERN = /^[a-z0-9][a-z0-9._-]{0,62}$/;
export const SLUG_HINT = '1 to 63 of a-z, 0-9, ".", "_" and "-", beginning with a letter or digit';

/** A group adds a subscription and up to a hundred rules to each member: more of them would make facts heavy. */
export const MAX_GROUPS_PER_DEVICE = 50;

/** A device as services hand it on. `groups` are ids in ascending order. */
export interface DeviceRecord {
  readonly id: string;
  readonly tenantId: string;
  readonly slug: string;
  readonly name: string;
  readonly status: DeviceStatus;
  readonly statusReason: string | null;
  /** Set in QUARANTINED alone: where a release goes back to. */
  readonly statusBeforeQuarantine: DeviceStatus | null;
  readonly groups: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  /** `null`: whatever its credentials are. */
  readonly allowedProofs: readonly ProofKind[] | null;
  readonly tokensNotBefore: Date | null;
  /** It has no clock: its messages may bear a challenge in place of the time. */
  readonly clockless: boolean;
  readonly reportedStatus: string | null;
  readonly lastSeenAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** Version of its facts: the device's own and its tenant's together, as the gate sees it. */
  readonly version: number;
}

const TRANSITIONS: Readonly<Record<DeviceStatus, readonly DeviceStatus[]>> = {
  PENDING: ['ACTIVE', 'DECOMMISSIONED'],
  ACTIVE: ['SUSPENDED', 'QUARANTINED', 'DECOMMISSIONED'],
  SUSPENDED: ['ACTIVE', 'QUARANTINED', 'DECOMMISSIONED'],
  QUARANTINED: ['ACTIVE', 'SUSPENDED', 'DECOMMISSIONED'],
  DECOMMISSIONED: [],
};

/** Where the device may go from here. Out of quarantine only back to where it came from, or to its end. */
export function nextStates(device: Pick<DeviceRecord, 'status' | 'statusBeforeQuarantine'>): readonly DeviceStatus[] {
  const table = TRANSITIONS[device.status];
  if (device.status !== 'QUARANTINED') return table;
  return table.filter((to) => to === 'DECOMMISSIONED' || to === device.statusBeforeQuarantine);
}
