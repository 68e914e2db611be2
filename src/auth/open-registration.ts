import { createParamDecorator, SetMetadata, type ExecutionContext } from '@nestjs/common';
import type { TenantPrincipal } from '../access/principal.js';

export const OPEN_REGISTRATION = 'portcullis:open-registration';

/** The route's permission is not asked for while `REGISTRATION=open`; then nobody is identified either. */
export const OpenRegistration = (): MethodDecorator => SetMetadata(OPEN_REGISTRATION, true);

/** The admin who registers somebody, `null` while registration is open. */
export const Registrar = createParamDecorator((_: unknown, context: ExecutionContext): TenantPrincipal | null => {
  return context.switchToHttp().getRequest<{ principal?: TenantPrincipal }>().principal ?? null;
});
