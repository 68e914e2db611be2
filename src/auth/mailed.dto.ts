import { ROLES, type Role } from '../access/permission.js';
import { BooleanField, EmailField, EnumField, ObjectField, OpaqueField, TextField, TimeField, UuidField } from '../platform/http/fields.js';
import type { Page } from '../platform/http/paging.js';
import type { Invitation } from './invitations.repository.js';

export class ForgotPasswordRequest {
  @EmailField({ example: 'ada@example.org' })
  email!: string;
}

/** The same whether or not there is such an account. */
export class MailAnswer {
  @BooleanField({ description: 'A mail is sent to the address, if an account has it.' })
  accepted!: true;
}

export class ResetPasswordRequest {
  @TextField({ min: 1, max: 4096, description: '`pcp_…` from the mail; good for five minutes and once.' })
  token!: string;

  @OpaqueField({ min: 8, max: 128 })
  newPassword!: string;

  @BooleanField({ optional: true, description: 'Access tokens end as well, in every tenant. False by default.' })
  revokeTokens?: boolean;
}

export class ChangeEmailRequest {
  @EmailField({ example: 'ada@example.net' })
  newEmail!: string;

  @OpaqueField({ min: 1, max: 256, description: 'The current one.' })
  password!: string;
}

export class ConfirmEmailRequest {
  @TextField({ min: 1, max: 4096, description: '`pce_…` from the mail.' })
  token!: string;
}

export class EmailConfirmedResponse {
  @BooleanField({ description: 'False: the other address has yet to agree.' })
  changed!: boolean;
}

export class InviteRequest {
  @EmailField({ example: 'ada@example.org' })
  email!: string;

  @EnumField(ROLES, { optional: true, description: 'VIEWER by default; no more than you may yourself.' })
  role?: Role;
}

export class AcceptInvitationRequest {
  @TextField({ min: 1, max: 4096, description: '`pci_…` from the mail; good for 168 hours and once.' })
  token!: string;

  @OpaqueField({ min: 8, max: 128, description: 'Of the new account, or that of the account which the address has already.' })
  password!: string;

  @TextField({ optional: true, min: 1, max: 200, description: 'Of the new account.' })
  name?: string;
}

export class AcceptedResponse {
  @UuidField()
  id!: string;

  @EmailField()
  email!: string;

  @UuidField()
  tenantId!: string;

  @EnumField(ROLES)
  role!: Role;
}

export class InvitationResponse {
  @UuidField()
  id!: string;

  @EmailField()
  email!: string;

  @EnumField(ROLES)
  role!: Role;

  @UuidField()
  invitedBy!: string;

  @TimeField()
  createdAt!: string;

  @TimeField()
  expiresAt!: string;
}

export class InvitationListResponse {
  @ObjectField(() => InvitationResponse, { list: true })
  items!: InvitationResponse[];

  @TextField({ max: 512, nullable: true })
  nextCursor!: string | null;
}

export function showInvitation({ id, email, role, invitedBy, createdAt, expiresAt }: Invitation): InvitationResponse {
  return { id, email, role, invitedBy, createdAt: createdAt.toISOString(), expiresAt: expiresAt.toISOString() };
}

export function showInvitations({ items, nextCursor }: Page<Invitation>): InvitationListResponse {
  return { items: items.map(showInvitation), nextCursor };
}
