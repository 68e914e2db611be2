import { timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { rightsOf } from '../access/permission.js';
import type { Principal } from '../access/principal.js';
import { Clock } from '../platform/clock/clock.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { statusOf } from './pat.js';
import { grantedBy } from './pat-scope.js';
import { digestPat, PAT_PURPOSE, parsePat } from './pat-token.js';
import { PatUses } from './pat-uses.js';
import { PatsRepository } from './pats.repository.js';
import { liesWithin } from './source-networks.js';

const NOBODY = '00000000-0000-0000-0000-000000000000';

/**
 * Finds out whom a personal access token speaks for and what it may do in this one request. Nothing is cached: a scope, a token
 * or a role that was taken away is gone on the next request.
 */
@Injectable()
export class PatJudge {
  constructor(
    private readonly repository: PatsRepository,
    private readonly keys: DataKeys,
    private readonly uses: PatUses,
    private readonly clock: Clock,
  ) {}

  /**
   * `null`: not one of ours, ended, idle for too long, or used from where it may not be.
   * @param pathId the `{id}` of the request's path
   */
  async judge(token: string, ip: string, pathId: string | undefined): Promise<Principal | null> {
    const parts = parsePat(token);
    if (parts === null) return null;
    const pat = await this.repository.standing(parts.id);
    const key = pat === null ? await this.keys.current(PAT_PURPOSE) : await this.keys.find(pat.dataKeyId);
    if (key?.purpose !== PAT_PURPOSE) return null;
    // An unknown token costs what a wrong one does.
    const actual = digestPat(key.key, pat?.userId ?? NOBODY, parts.id, parts.secret);
    if (pat === null || pat.digest.length !== actual.length || !timingSafeEqual(pat.digest, actual)) return null;
    const now = this.clock.now();
    const unwritten = this.uses.unwritten(pat.id);
    const lastUsedAt = unwritten === undefined ? pat.lastUsedAt : new Date(unwritten);
    if (statusOf({ ...pat, lastUsedAt }, now) !== 'ACTIVE') return null;
    if (pat.networks.length > 0 && !liesWithin(ip, pat.networks)) return null;
    this.uses.note(pat.id, { tenantId: pat.tenantId, at: now, ip });
    return {
      kind: 'pat',
      id: pat.userId,
      tenantId: pat.tenantId,
      role: pat.role,
      platformRole: null,
      permissions: grantedBy(pat.scopes, rightsOf(pat.role, null), pathId),
      scopes: pat.scopes,
      sessionId: null,
      credential: 'bearer',
      credentialId: pat.id,
      tenantFrozen: pat.tenantFrozen,
    };
  }
}
