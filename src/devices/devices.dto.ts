import {
  BooleanField, EnumField, IntegerField, IntegerListField, JsonField, ListField, ObjectField, TextField, TimeField,
  UuidField,
} from '../platform/http/fields.js';
import { PageQuery, type Page } from '../platform/http/paging.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { DEVICE_STATES, MAX_GROUPS_PER_DEVICE, PROOF_KINDS, SLUG_HINT, SLUG_PATTERN } from './device.js';
import type { DeviceStatus, ProofKind } from './device.js';
import { DeviceView } from './device.view.js';
import type { DeviceQuery } from './devices.service.js';
import type { GroupRecord } from './groups.repository.js';
import { CREDENTIAL_KINDS, type CredentialKind } from './holdings.js';
import type { RuleRecord } from './rules.repository.js';
import { SERVICE_ACCOUNT_STATES, usernameOf, type ServiceAccountRecord, type ServiceAccountStatus } from './service-account.js';
import type { Qos, RuleAction } from './topic-rule.js';

const SLUG = { max: 63, pattern: SLUG_PATTERN, patternHint: SLUG_HINT } as const;

/* Requests */

export class DeviceListQuery extends PageQuery {
  @EnumField(DEVICE_STATES, { optional: true })
  status?: DeviceStatus;

  @UuidField({ optional: true, description: 'Members of this group.' })
  group?: string;

  @TextField({
    optional: true,
    min: 1,
    max: 100,
    description: 'Part of slug or name, or the beginning of the id; case does not matter.',
  })
  q?: string;

  @EnumField(CREDENTIAL_KINDS, {
    optional: true,
    description: 'Holders of a live credential of this kind. Such a page may be shorter than `limit` and still have a '
      + '`nextCursor`.',
  })
  credential?: CredentialKind;

  @TimeField({ optional: true, description: 'Holders of a live credential that ends before this.' })
  expiringBefore?: string;
}

export class UpdateDeviceRequest {
  @TextField({ optional: true, max: 200 })
  name?: string;

  @TextField({ optional: true, ...SLUG })
  slug?: string;

  @JsonField({ optional: true, description: 'Replaces what there was. At most 16 KiB of JSON, nested at most 8 levels deep.' })
  metadata?: Record<string, unknown>;

  @ListField('uuid', { optional: true, max: MAX_GROUPS_PER_DEVICE, description: 'Ids of all groups that the device is to be in.' })
  groups?: string[];

  @ListField({ enum: PROOF_KINDS }, {
    optional: true,
    nullable: true,
    max: PROOF_KINDS.length,
    description: 'What may prove the device; `null` lets all of its credentials count.',
  })
  allowedProofs?: ProofKind[] | null;

  @BooleanField({ optional: true, description: 'The device has no clock: its messages may bear a challenge in place of the time.' })
  clockless?: boolean;
}

export class CreateGroupRequest {
  @TextField(SLUG)
  slug!: string;

  @TextField({ optional: true, max: 200 })
  name?: string;

  @UuidField({ optional: true, nullable: true, description: 'The group in which it lies; `null`: none. At most 8 levels.' })
  parentId?: string | null;
}

export class UpdateGroupRequest {
  @TextField({ optional: true, ...SLUG })
  slug?: string;

  @TextField({ optional: true, max: 200 })
  name?: string;

  @UuidField({ optional: true, nullable: true, description: 'The group in which it lies; `null`: none. At most 8 levels.' })
  parentId?: string | null;
}

export class GroupMembersRequest {
  @ListField('uuid', { max: 500, description: 'Ids of devices.' })
  deviceIds!: string[];
}

export class CreateRuleRequest {
  @EnumField(['publish', 'subscribe', 'all'])
  action!: RuleAction;

  @TextField({
    min: 1,
    max: 1024,
    description: 'Topic filter; may name `${device.id}`, `${device.slug}` (devices and groups) and `${tenant.id}`.',
    example: 't/${tenant.id}/floor/1/#',
  })
  topic!: string;

  @IntegerListField({ optional: true, min: 0, max: 2, maxItems: 3, description: 'Left out: any.' })
  qos?: Qos[];

  @BooleanField({ optional: true, description: 'For publishing alone. Left out: either.' })
  retain?: boolean;
}

/* Answers */

export class DevicePage {
  @ObjectField(() => DeviceView, { list: true }) items!: DeviceView[];
  @TextField({ nullable: true, max: 512 }) nextCursor!: string | null;
}

export class GroupView {
  @UuidField() id!: string;
  @TextField({ max: 63 }) slug!: string;
  @TextField({ max: 200 }) name!: string;
  @UuidField({ nullable: true, description: 'The group in which it lies.' }) parentId!: string | null;
  @TimeField() createdAt!: string;
}

export class GroupPage {
  @ObjectField(() => GroupView, { list: true }) items!: GroupView[];
  @TextField({ nullable: true, max: 512 }) nextCursor!: string | null;
}

export class MemberView {
  @UuidField({ description: 'Of the device.' }) id!: string;
  @TextField({ max: 63 }) slug!: string;
  @TextField({ max: 200 }) name!: string;
  @EnumField(DEVICE_STATES) status!: DeviceStatus;
  @TimeField() addedAt!: string;
}

export class MemberPage {
  @ObjectField(() => MemberView, { list: true }) items!: MemberView[];
  @TextField({ nullable: true, max: 512 }) nextCursor!: string | null;
}

export class MembersAdded {
  @IntegerField({ min: 0, max: 500, description: 'How many were not members before.' }) added!: number;
}

export class RuleView {
  @UuidField() id!: string;
  @EnumField(['publish', 'subscribe', 'all']) action!: RuleAction;
  @TextField({ max: 1024 }) topic!: string;
  @IntegerListField({ nullable: true, min: 0, max: 2, maxItems: 3, description: '`null`: any.' }) qos!: readonly Qos[] | null;
  @BooleanField({ nullable: true, description: '`null`: either.' }) retain!: boolean | null;
  @TimeField() createdAt!: string;
}

export class RulePage {
  @ObjectField(() => RuleView, { list: true }) items!: RuleView[];
  @TextField({ nullable: true, max: 512 }) nextCursor!: string | null;
}

export class ServiceAccountView {
  @UuidField() id!: string;
  @TextField({ max: 100 }) name!: string;
  @TextField({ max: 40, description: 'MQTT username and client id (with an optional `:suffix`).' }) username!: string;
  @EnumField(SERVICE_ACCOUNT_STATES) status!: ServiceAccountStatus;
  @TimeField() createdAt!: string;
}

export class ServiceAccountPage {
  @ObjectField(() => ServiceAccountView, { list: true }) items!: ServiceAccountView[];
  @TextField({ nullable: true, max: 512 }) nextCursor!: string | null;
}

/* Between the two */

export function queryOf({ credential, expiringBefore, ...rest }: DeviceListQuery): DeviceQuery {
  if (expiringBefore === undefined) return { ...rest, kind: credential };
  const date = new Date(expiringBefore);
  if (Number.isNaN(date.getTime())) {
    const problem = { path: 'expiringBefore', message: 'expiringBefore must be a point in time' };
    throw platformError('VALIDATION_FAILED', { errors: [problem] });
  }
  return { ...rest, kind: credential, expiringBefore: date };
}

export function viewGroup({ id, slug, name, parentId, createdAt }: GroupRecord): GroupView {
  return { id, slug, name, parentId, createdAt: createdAt.toISOString() };
}

export function viewMember(member: { id: string; slug: string; name: string; status: DeviceStatus; addedAt: Date }): MemberView {
  const { id, slug, name, status } = member;
  return { id, slug, name, status, addedAt: member.addedAt.toISOString() };
}

export function viewRule({ id, action, topic, qos, retain, createdAt }: RuleRecord): RuleView {
  return { id, action, topic, qos, retain, createdAt: createdAt.toISOString() };
}

export function viewServiceAccount(account: ServiceAccountRecord): ServiceAccountView {
  const { id, name, status } = account;
  return { id, name, username: usernameOf(account), status, createdAt: account.createdAt.toISOString() };
}

export function viewPage<T, V>(page: Page<T>, view: (item: T) => V): Page<V> {
  return { items: page.items.map(view), nextCursor: page.nextCursor };
}
