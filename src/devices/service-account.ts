export const SERVICE_ACCOUNT_STATES = ['ACTIVE', 'DISABLED'] as const;
export type ServiceAccountStatus = (typeof SERVICE_ACCOUNT_STATES)[number];

/** A cloud-side MQTT client. */
export interface ServiceAccountRecord {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly status: ServiceAccountStatus;
  readonly createdAt: Date;
  /** Version of its facts: the account's own and its tenant's together, as the gate sees it. */
  readonly version: number;
}

/** Its MQTT username, and the beginning of its client ids. */
export function usernameOf(account: Pick<ServiceAccountRecord, 'id'>): string {
  return `svc:${account.id}`;
}
