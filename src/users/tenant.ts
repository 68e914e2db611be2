export type TenantStatus = 'ACTIVE' | 'FROZEN';

/** The isolation unit: what belongs to one tenant is not there for another. */
export interface Tenant {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly status: TenantStatus;
  /** Why it was frozen. */
  readonly statusReason: string | null;
  /** When it will be deleted; `null`: it stays. */
  readonly deleteAfter: Date | null;
  readonly createdAt: Date;
}

/** Slug of the tenant that a fresh installation has. */
export const DEFAULT_SLUG = 'default';
export const DEFAULT_GRACE_SECONDS = 7 * 86_400;
