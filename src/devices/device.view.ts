import { BooleanField, EnumField, JsonField, ListField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import { DEVICE_STATES, MAX_GROUPS_PER_DEVICE, PROOF_KINDS } from './device.js';
import type { DeviceRecord, DeviceStatus, ProofKind } from './device.js';

/** A device as every answer shows it; answers that hold more extend it. */
export class DeviceView {
  @UuidField() id!: string;
  @TextField({ max: 63 }) slug!: string;
  @TextField({ max: 200 }) name!: string;
  @EnumField(DEVICE_STATES) status!: DeviceStatus;
  @TextField({ nullable: true, max: 500 }) statusReason!: string | null;
  @ListField('uuid', { max: MAX_GROUPS_PER_DEVICE }) groups!: readonly string[];
  @JsonField() metadata!: Readonly<Record<string, unknown>>;
  @ListField({ enum: PROOF_KINDS }, { nullable: true, max: PROOF_KINDS.length }) allowedProofs!: readonly ProofKind[] | null;
  @BooleanField({ description: 'It has no clock: its messages may bear a challenge in place of the time.' }) clockless!: boolean;
  @TextField({ nullable: true, max: 32, description: 'Last verified `status` message.' }) reportedStatus!: string | null;
  @TimeField({ nullable: true }) lastSeenAt!: string | null;
  @TimeField() createdAt!: string;
  @TimeField() updatedAt!: string;
}

export function viewDevice(device: DeviceRecord): DeviceView {
  const { id, slug, name, status, statusReason, groups, metadata, allowedProofs, clockless, reportedStatus } = device;
  return {
    id, slug, name, status, statusReason, groups, metadata, allowedProofs, clockless, reportedStatus,
    lastSeenAt: device.lastSeenAt?.toISOString() ?? null,
    createdAt: device.createdAt.toISOString(),
    updatedAt: device.updatedAt.toISOString(),
  };
}
