import { EmailField, EnumField, IntegerField, ObjectField, OpaqueField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import type { Page } from '../platform/http/paging.js';
import { ROLES, type Role } from '../access/permission.js';
import type { Member, MembershipStatus } from './user.js';

export class CreateUserRequest {
  @EmailField({ example: 'ada@example.org' })
  email!: string;

  @OpaqueField({ min: 8, max: 128, description: 'No composition rules; passwords that everybody uses are refused.' })
  password!: string;

  @TextField({ min: 1, max: 200, example: 'Ada Lovelace' })
  name!: string;

  @EnumField(ROLES, { optional: true, description: 'VIEWER by default.' })
  role?: Role;
}

export class UpdateUserRequest {
  @EnumField(ROLES, { description: 'Name and e-mail are the person’s own to change.' })
  role!: Role;
}

export class UserResponse {
  @UuidField()
  id!: string;

  @EmailField()
  email!: string;

  @TextField({ max: 200 })
  name!: string;

  @EnumField(ROLES, { description: 'In your tenant.' })
  role!: Role;

  @EnumField(['ACTIVE', 'DISABLED'], { description: 'Of the membership in your tenant.' })
  status!: MembershipStatus;

  @TimeField({ description: 'When the membership began.' })
  createdAt!: string;
}

export class OffboardRequest {
  @TextField({ min: 1, max: 500, description: 'Stands in the audit log.' })
  reason!: string;
}

export class OffboardedResponse extends UserResponse {
  @IntegerField({ min: 0, max: 1_000_000 })
  sessionsEnded!: number;

  @IntegerField({ min: 0, max: 1_000_000 })
  patsRevoked!: number;

  @IntegerField({ min: 0, max: 1_000_000 })
  invitationsRevoked!: number;

  @IntegerField({ min: 0, max: 1e9, description: 'Milliseconds.' })
  tookMs!: number;
}

export class UserListResponse {
  @ObjectField(() => UserResponse, { list: true })
  items!: UserResponse[];

  @TextField({ max: 512, nullable: true })
  nextCursor!: string | null;
}

export function showUser(member: Member): UserResponse {
  const { id, email, name, role, status, since } = member;
  return { id, email, name, role, status, createdAt: new Date(since).toISOString() };
}

export function showUsers(page: Page<Member>): UserListResponse {
  return { items: page.items.map(showUser), nextCursor: page.nextCursor };
}
