import type { MigrationInterface } from 'typeorm';
import { Foundation1764000000001 } from './1764000000001-foundation.js';
import { People1764000000002 } from './1764000000002-people.js';
import { Devices1764000000003 } from './1764000000003-devices.js';
import { Credentials1764000000004 } from './1764000000004-credentials.js';
import { Audit1764000000005 } from './1764000000005-audit.js';
import { Idempotency1764000000006 } from './1764000000006-idempotency.js';
import { Ejections1764000000007 } from './1764000000007-ejections.js';
import { AuditRetention1764000000008 } from './1764000000008-audit-retention.js';
import { Pki1764000000010 } from './1764000000010-pki.js';
import { DeviceSecrets1764000000020 } from './1764000000020-device-secrets.js';
import { PersonalAccessTokens1764000000030 } from './1764000000030-personal-access-tokens.js';
import { TenantPlane1764000000031 } from './1764000000031-tenant-plane.js';
import { Invitations1764000000032 } from './1764000000032-invitations.js';
import { ChangeNotices1764000000050 } from './1764000000050-change-notices.js';
import { ExpiryWarnings1764000000060 } from './1764000000060-expiry-warnings.js';
import { AuthoritySuccession1764000000061 } from './1764000000061-authority-succession.js';
import { ListsLeaving1764000000062 } from './1764000000062-lists-leaving.js';
import { ClocklessDevices1764000000070 } from './1764000000070-clockless-devices.js';
import { NestedGroups1764000000080 } from './1764000000080-nested-groups.js';
import { RoleBindings1764000000081 } from './1764000000081-role-bindings.js';
import { OwnerEndsTokens1764000000090 } from './1764000000090-owner-ends-tokens.js';
import { ReaderInATenant1764000000091 } from './1764000000091-reader-in-a-tenant.js';

/** Every migration, oldest first. Written SQL: what runs is what was reviewed. */
export const MIGRATIONS = [
  Foundation1764000000001,
  People1764000000002,
  Devices1764000000003,
  Credentials1764000000004,
  Audit1764000000005,
  Idempotency1764000000006,
  Ejections1764000000007,
  AuditRetention1764000000008,
  Pki1764000000010,
  DeviceSecrets1764000000020,
  PersonalAccessTokens1764000000030,
  TenantPlane1764000000031,
  Invitations1764000000032,
  ChangeNotices1764000000050,
  ExpiryWarnings1764000000060,
  AuthoritySuccession1764000000061,
  ListsLeaving1764000000062,
  ClocklessDevices1764000000070,
  NestedGroups1764000000080,
  RoleBindings1764000000081,
  OwnerEndsTokens1764000000090,
  ReaderInATenant1764000000091,
] satisfies (new () => MigrationInterface)[];
