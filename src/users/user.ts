import type { PlatformRole, Role } from '../access/permission.js';

export type MembershipStatus = 'ACTIVE' | 'DISABLED';
export type AccountStatus = 'ACTIVE' | 'DISABLED';

/** A person as a member of one tenant: the account's e-mail and name, the membership's role and status. */
export interface Member {
  /** Id of the account. */
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly status: MembershipStatus;
  /** When the membership began; ISO 8601, microseconds kept. */
  readonly since: string;
}

/** An account: one a person and installation, whatever tenants it belongs to. */
export interface Account {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly status: AccountStatus;
  readonly platformRole: PlatformRole | null;
  readonly passwordHash: string;
}

export interface NewAccount {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly passwordHash: string;
  readonly platformRole?: PlatformRole;
}

/** A tenant in which an account may act. */
export interface Belonging {
  readonly tenantId: string;
  readonly slug: string;
  readonly name: string;
  readonly role: Role;
}

/** The form by which e-mail addresses are compared: one account a folded address and installation. */
export function emailKey(email: string): string {
  return email.normalize('NFC').toLowerCase();
}
