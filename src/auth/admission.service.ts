import { Injectable } from '@nestjs/common';
import type { PermissionAccess } from '../access/decorators.js';
import { decide, decideList, standpointOf } from '../access/decision.js';
import type { Principal } from '../access/principal.js';
import { devicesError } from '../devices/devices.errors.js';
import { ObjectRights } from '../devices/object-rights.service.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import { platformError } from '../platform/problem/platform.errors.js';
import { authError } from './auth.errors.js';

const MISSING = { device: 'DEVICE_NOT_FOUND', group: 'GROUP_NOT_FOUND' } as const;

/** Those who act for an account, to which roles can be bound. */
const ACCOUNTS: readonly Principal['kind'][] = ['user', 'pat'];

/**
 * Whether a caller has what a route demands. Who has it in the whole tenant costs no look-up; for everybody else one statement finds
 * the roles that are bound to the object in the path.
 */
@Injectable()
export class AdmissionService {
  constructor(private readonly objects: ObjectRights) {}

  /**
   * @param id the `{id}` of the request's path
   * @throws PERMISSION_DENIED; DEVICE_NOT_FOUND, GROUP_NOT_FOUND or NOT_FOUND to who may not even see the object, as if there were none
   */
  async require(principal: Principal, { permission, on, lists }: PermissionAccess, id: string | undefined): Promise<void> {
    const { tenantId } = principal;
    const denied = () => authError('PERMISSION_DENIED', { detail: `This needs the permission ${permission}.` });
    if (tenantId === null && !permission.startsWith('platform.')) throw denied();
    if (principal.permissions.has(permission)) return;
    const standpoint = standpointOf(principal);
    if (lists !== null && decideList(permission, standpoint) === 'own') return;
    const target = { kind: on, id };
    const atFirst = decide(permission, target, standpoint, []);
    if (atFirst.allowed) return;
    if (on === null || tenantId === null || atFirst.why === 'scope' || !ACCOUNTS.includes(principal.kind)) throw denied();
    // An id that cannot exist is told apart from one that does not by nobody.
    if (id === undefined || !isCanonicalUuid(id)) throw platformError('NOT_FOUND');
    const bindings = await this.objects.reaching({ tenantId, userId: principal.id }, on, [id]);
    const verdict = decide(permission, target, standpoint, bindings);
    if (verdict.allowed) return;
    throw verdict.why === 'hidden' ? devicesError(MISSING[on]) : denied();
  }
}
