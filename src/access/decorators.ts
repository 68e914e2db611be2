import { applyDecorators, createParamDecorator, SetMetadata, type ExecutionContext } from '@nestjs/common';
import { ApiBasicAuth, ApiBearerAuth, ApiCookieAuth, ApiExtension, ApiSecurity } from '@nestjs/swagger';
import type { ObjectKind } from './decision.js';
import type { Permission } from './permission.js';
import type { Principal } from './principal.js';

/** What a route demands; the global guard reads it. A route without any of the three decorators is refused, and fails a test. */
export type Access =
  | { readonly kind: 'public' }
  | { readonly kind: 'session' }
  | PermissionAccess;

export interface PermissionAccess {
  readonly kind: 'permission';
  readonly permission: Permission;
  readonly device: boolean;
  readonly adminKey: boolean;
  readonly interactive: boolean;
  readonly on: ObjectKind | null;
  readonly lists: ObjectKind | null;
}

export const ACCESS = 'portcullis:access';

export interface AllowOptions {
  /** What the path's `id` names: a role bound to that object, or to a group above it, will do as well as one in the tenant. */
  readonly on?: ObjectKind;
  /** The answer is a list of these: who has roles on some objects only is let in, and the handler shows them no others. */
  readonly lists?: ObjectKind;
  /** The device named by the path's `id` may do this for itself, proven by HTTP Basic. */
  readonly device?: boolean;
  /** Only a person who has logged in, not their access tokens. */
  readonly interactive?: boolean;
  /** A provisioning station may do this with `X-Admin-Key`. */
  readonly adminKey?: boolean;
}

/** The route needs this permission in the caller's tenant, or on the object that it is about. */
export function Allow(permission: Permission, options: AllowOptions = {}): MethodDecorator {
  const { device = false, adminKey = false, interactive = false, on = null, lists = null } = options;
  const access: Access = { kind: 'permission', permission, device, adminKey, interactive, on, lists };
  return applyDecorators(
    SetMetadata(ACCESS, access),
    ApiBearerAuth('bearer'),
    ApiCookieAuth('cookie'),
    ApiExtension('x-permission', permission),
    ...(on ? [ApiExtension('x-on', on)] : []),
    ...(lists ? [ApiExtension('x-lists', lists)] : []),
    ...(device ? [ApiBasicAuth('device')] : []),
    ...(adminKey ? [ApiSecurity('adminKey')] : []),
  );
}

/** Anybody may call; the route itself decides what that means. */
export function Public(): MethodDecorator {
  return applyDecorators(SetMetadata(ACCESS, { kind: 'public' } satisfies Access), ApiExtension('x-permission', 'public'));
}

/** Self routes: an interactive session of a person, and nothing else; no permission is needed to look after oneself. */
export function Interactive(): MethodDecorator {
  return applyDecorators(
    SetMetadata(ACCESS, { kind: 'session' } satisfies Access),
    ApiBearerAuth('bearer'),
    ApiCookieAuth('cookie'),
    ApiExtension('x-permission', 'session'),
  );
}

/** The caller, as the guard found out. */
export const Me = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const { principal } = context.switchToHttp().getRequest<{ principal?: Principal }>();
  if (!principal) throw new Error('a handler asked for the principal of a public route');
  return principal;
});
