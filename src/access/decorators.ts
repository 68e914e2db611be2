import { applyDecorators, createParamDecorator, SetMetadata, type ExecutionContext } from '@nestjs/common';
import { ApiBasicAuth, ApiBearerAuth, ApiCookieAuth, ApiExtension, ApiSecurity } from '@nestjs/swagger';
import type { Permission } from './permission.js';
import type { Principal } from './principal.js';

/** What a route demands; the global guard reads it. A route without any of the three decorators is refused, and fails a test. */
export type Access =
  | { readonly kind: 'public' }
  | { readonly kind: 'session' }
  | { readonly kind: 'permission'; readonly permission: Permission; readonly device: boolean; readonly adminKey: boolean; readonly interactive: boolean };

export const ACCESS = 'portcullis:access';

export interface AllowOptions {
  /** The device named by the path's `id` may do this for itself, proven by HTTP Basic. */
  readonly device?: boolean;
  /** Only a person who has logged in, not their access tokens. */
  readonly interactive?: boolean;
  /** A provisioning station may do this with `X-Admin-Key`. */
  readonly adminKey?: boolean;
}

/** The route needs this permission in the caller's tenant. */
export function Allow(permission: Permission, options: AllowOptions = {}): MethodDecorator {
  const { device = false, adminKey = false, interactive = false } = options;
  const access: Access = { kind: 'permission', permission, device, adminKey, interactive };
  return applyDecorators(
    SetMetadata(ACCESS, access),
    ApiBearerAuth('bearer'),
    ApiCookieAuth('cookie'),
    ApiExtension('x-permission', permission),
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
