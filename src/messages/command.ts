import type { JsonObject } from './canonical-json.js';

export const COMMAND_STATES = ['PENDING', 'SENT', 'ACKED', 'FAILED', 'EXPIRED', 'CANCELLED'] as const;
export type CommandStatus = (typeof COMMAND_STATES)[number];
/** In these a command may still be sent, answered, cancelled or expire. */
export const OPEN_STATES: readonly CommandStatus[] = ['PENDING', 'SENT'];

export interface CommandRecord {
  readonly id: string;
  readonly tenantId: string;
  readonly deviceId: string;
  readonly type: string;
  readonly payload: JsonObject;
  readonly status: CommandStatus;
  /** What the device said of its failure. */
  readonly error: string | null;
  /** How often it was published; a device tells repetitions by `cmdId`. */
  readonly attempts: number;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly sentAt: Date | null;
  readonly endedAt: Date | null;
}

export const DEFAULT_TTL_SECONDS = 3_600;
export const MAX_TTL_SECONDS = 7 * 86_400;

/** Body of the signed message. */
export function commandBody({ id, type, payload }: Pick<CommandRecord, 'id' | 'type' | 'payload'>): JsonObject {
  return { cmdId: id, type, payload };
}

/** Milliseconds after the given attempt at which a command without an answer is sent again. */
export function retryAfter(attempt: number): number {
  return [5_000, 15_000, 30_000][attempt - 1] ?? 60_000;
}
