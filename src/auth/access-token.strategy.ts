import { createSecretKey } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import type { FastifyReply, FastifyRequest } from 'fastify';
import passport from 'passport';
import { Strategy } from 'passport-jwt';
import type { Principal } from '../access/principal.js';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { ALGORITHM, AUDIENCE, hasOurHeader, readClaims } from './access-token.js';
import { presentedBy } from './presented.js';
import { PrincipalsService } from './principals.service.js';
import { SessionCookies } from './session-cookies.js';

const NAME = 'access-token';

type PassportHandler = (request: FastifyRequest, reply: FastifyReply, next: (error?: Error) => void) => void;

/** Judges access tokens, from the Authorization header or the cookie, by passport-jwt with everything pinned that can be. */
@Injectable()
export class AccessTokenStrategy extends PassportStrategy(Strategy, NAME) {
  // Not passport's global instance: two applications in one process would judge each other's tokens.
  private declare own: passport.Authenticator;

  constructor(
    @Inject(CONFIG) config: Config,
    cookies: SessionCookies,
    private readonly clock: Clock,
    private readonly principals: PrincipalsService,
  ) {
    // A key, not its text: jsonwebtoken tries any text as a public key first, which costs most of a millisecond a request. It takes a
    // `KeyObject`; the types of passport-jwt, which hands it on, do not know that yet.
    const key = createSecretKey(config.web.jwtSecret, 'utf8') as unknown as Buffer;
    super({
      jwtFromRequest: (request: unknown) => {
        const { headers } = request as FastifyRequest;
        const presented = presentedBy(headers.authorization, cookies.read(request as FastifyRequest, 'access_token'));
        return presented.kind === 'token' ? presented.token : null;
      },
      secretOrKeyProvider: (_request: unknown, token: string, done: (error: unknown, secret?: Buffer) => void) => {
        if (hasOurHeader(token)) done(null, key);
        else done(new Error('the header is not that of a web token'));
      },
      algorithms: [ALGORITHM],
      issuer: config.http.publicUrl,
      audience: AUDIENCE,
      // Not ignored: `readClaims` judges all times by the application's clock.
      ignoreExpiration: true,
      passReqToCallback: true,
    });
  }

  getPassportInstance(): passport.Authenticator {
    this.own ??= new passport.Passport();
    return this.own;
  }

  async validate(request: FastifyRequest, payload: unknown): Promise<Principal | false> {
    const claims = readClaims(payload, this.clock.now());
    if (!claims) return false;
    const credential = request.headers.authorization === undefined ? 'cookie' : 'bearer';
    return (await this.principals.find(claims, credential)) ?? false;
  }

  /** Whom the request's token speaks for now; `null` if it is not valid, for whatever reason. */
  async judge(request: FastifyRequest, reply: FastifyReply): Promise<Principal | null> {
    return new Promise((resolve, reject) => {
      const done = (error: Error | null | undefined, principal: Principal | false | null | undefined): void => {
        if (error) reject(error);
        else resolve(principal || null);
      };
      const handler = this.own.authenticate(NAME, { session: false }, done) as PassportHandler;
      handler(request, reply, (error) => done(error, null));
    });
  }
}
