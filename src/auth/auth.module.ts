import { Global, Module, type DynamicModule } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { JwtModule } from '@nestjs/jwt';
import { Standing } from '../access/standing.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { PasswordHashing } from '../users/password-hashing.js';
import { StandingAccess } from '../users/standing-access.js';
import { DevicesModule } from '../devices/devices.module.js';
import { UsersModule } from '../users/users.module.js';
import { AccessGuard } from './access.guard.js';
import { AdmissionService } from './admission.service.js';
import { AccessTokenStrategy } from './access-token.strategy.js';
import { AccessTokens } from './access-tokens.js';
import { AccountTokensRepository } from './account-tokens.repository.js';
import { AuthHttpService } from './auth-http.service.js';
import { AuthController } from './auth.controller.js';
import { BootstrapService } from './bootstrap.service.js';
import { CsrfTokens } from './csrf.js';
import { EmailChangeService } from './email-change.service.js';
import { IdentifyService } from './identify.service.js';
import { InvitationsController } from './invitations.controller.js';
import { InvitationsRepository } from './invitations.repository.js';
import { InvitationsService } from './invitations.service.js';
import { KnownBrowsers } from './known-browser.js';
import { Letters } from './letters.js';
import { LoginThrottle } from './login-throttle.js';
import { LoginService } from './login.service.js';
import { DEFAULT_ROUNDS, PASSWORD_ROUNDS, Passwords } from './passwords.js';
import { PrincipalStanding } from './principal-standing.js';
import { PatJudge } from './pat-judge.js';
import { PatUses } from './pat-uses.js';
import { MemberPatsController, PatsController } from './pats.controller.js';
import { PatsRepository } from './pats.repository.js';
import { PatsService } from './pats.service.js';
import { PrincipalsService } from './principals.service.js';
import { ProfileService } from './profile.service.js';
import { RecoveryController } from './recovery.controller.js';
import { RecoveryService } from './recovery.service.js';
import { RefreshSecrets } from './refresh-secrets.js';
import { RefreshService } from './refresh.service.js';
import { RegistrationService } from './registration.service.js';
import { RightsController } from './rights.controller.js';
import { RightsRepository } from './rights.repository.js';
import { RightsService } from './rights.service.js';
import { SessionCookies } from './session-cookies.js';
import { SessionsController } from './sessions.controller.js';
import { SessionsRepository } from './sessions.repository.js';
import { SessionsService } from './sessions.service.js';
import { StandingAccessService } from './standing-access.service.js';

/**
 * People at the door: passwords, sessions, and the guard in front of every route. Global, because it answers for two ports of the
 * room of people below it. Needs a `DeviceProof` from its neighbour that keeps device secrets.
 */
@Global()
@Module({
  imports: [
    UsersModule,
    DevicesModule,
    JwtModule.registerAsync({ inject: [CONFIG], useFactory: (config: Config) => ({ secret: config.web.jwtSecret }) }),
  ],
  controllers: [AuthController, SessionsController, PatsController, MemberPatsController, RecoveryController, InvitationsController, RightsController],
  providers: [
    { provide: PASSWORD_ROUNDS, useValue: DEFAULT_ROUNDS },
    { provide: PasswordHashing, useExisting: Passwords },
    { provide: Standing, useClass: PrincipalStanding },
    { provide: StandingAccess, useClass: StandingAccessService },
    { provide: APP_GUARD, useClass: AccessGuard },
    AccessTokens,
    AccountTokensRepository,
    AdmissionService,
    AccessTokenStrategy,
    AuthHttpService,
    BootstrapService,
    CsrfTokens,
    EmailChangeService,
    IdentifyService,
    InvitationsRepository,
    InvitationsService,
    KnownBrowsers,
    Letters,
    LoginService,
    LoginThrottle,
    Passwords,
    PatJudge,
    PatUses,
    PatsRepository,
    PatsService,
    PrincipalsService,
    ProfileService,
    RecoveryService,
    RefreshSecrets,
    RefreshService,
    RegistrationService,
    RightsRepository,
    RightsService,
    SessionCookies,
    SessionsRepository,
    SessionsService,
  ],
  exports: [PasswordHashing, Standing, StandingAccess, BootstrapService],
})
export class AuthModule {
  /** The same with a cheaper bcrypt: tests check many passwords. */
  static withPasswordRounds(rounds: number): DynamicModule {
    return { module: AuthModule, providers: [{ provide: PASSWORD_ROUNDS, useValue: rounds }] };
  }
}
