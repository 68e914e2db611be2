import { Injectable } from '@nestjs/common';
import { rightsOf, type PlatformRole, type Role } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { Clock } from '../platform/clock/clock.js';
import { Pools } from '../platform/database/pools.js';
import type { AccessClaims } from './access-token.js';

interface Row {
  tenantId: string | null;
  role: Role | null;
  platformRole: PlatformRole | null;
  tenantFrozen: boolean;
}

/** Session, account and membership as they are now. */
const STANDING = `
    SELECT s.tenant_id AS "tenantId", m.role, u.platform_role AS "platformRole",
      coalesce(t.status = 'FROZEN', false) AS "tenantFrozen"
    FROM sessions s
    JOIN users u ON u.id = s.user_id AND u.status = 'ACTIVE'
    LEFT JOIN memberships m ON m.tenant_id = s.tenant_id AND m.user_id = s.user_id AND m.status = 'ACTIVE'
    LEFT JOIN tenants t ON t.id = s.tenant_id
    WHERE s.id = $1 AND s.user_id = $2 AND s.ended_at IS NULL AND s.absolute_expires_at > $3
      AND (s.tenant_id IS NULL OR m.role IS NOT NULL)`;

/** One statement a request: whatever the token once said, its tenant must be the session's. */
const LOOK_UP = { name: 'session-principal', text: `${STANDING} AND s.tenant_id IS NOT DISTINCT FROM $4::uuid` };
const LOOK_AGAIN = { name: 'session-again', text: STANDING };

/**
 * Finds out who a request's token speaks for. Nothing is cached: an ended session, a disabled account or membership and a new
 * role hold on the very next request.
 */
@Injectable()
export class PrincipalsService {
  constructor(
    private readonly pools: Pools,
    private readonly clock: Clock,
  ) {}

  /** `null`: the session, account or membership has ended. */
  async find({ userId, sessionId, tenantId }: AccessClaims, credential: 'bearer' | 'cookie'): Promise<Principal | null> {
    // The reader role: before the look-up there is no tenant to which row security could narrow it.
    const { rows } = await this.pools.reader.query<Row>({
      ...LOOK_UP,
      values: [sessionId, userId, new Date(this.clock.now()), tenantId],
    });
    return rows[0] ? this.principal(rows[0], userId, sessionId, credential) : null;
  }

  /** As `find`, for a session that was judged before, whatever tenant it acted in. */
  async again(userId: string, sessionId: string, credential: 'bearer' | 'cookie'): Promise<Principal | null> {
    const { rows } = await this.pools.reader.query<Row>({ ...LOOK_AGAIN, values: [sessionId, userId, new Date(this.clock.now())] });
    return rows[0] ? this.principal(rows[0], userId, sessionId, credential) : null;
  }

  private principal(row: Row, userId: string, sessionId: string, credential: 'bearer' | 'cookie'): Principal {
    const { role, platformRole } = row;
    return {
      kind: 'user',
      id: userId,
      tenantId: row.tenantId,
      role,
      platformRole,
      permissions: rightsOf(role, platformRole),
      sessionId,
      credential,
      tenantFrozen: row.tenantFrozen,
    };
  }
}
