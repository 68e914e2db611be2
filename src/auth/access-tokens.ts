import { randomUUID } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { ALGORITHM, AUDIENCE, TOKEN_TYPE, type AccessClaims } from './access-token.js';
import { ACCESS_TTL_MS } from './session.js';

/** Issues the web tokens of people: HS256 under `JWT_SECRET`, an hour long. */
@Injectable()
export class AccessTokens {
  constructor(
    private readonly jwt: JwtService,
    private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /** `expiresIn` in seconds. */
  async issue({ userId, sessionId, tenantId }: AccessClaims): Promise<{ token: string; expiresIn: number }> {
    const iat = Math.floor(this.clock.now() / 1000);
    const expiresIn = ACCESS_TTL_MS / 1000;
    const token = await this.jwt.signAsync(
      {
        iss: this.config.http.publicUrl,
        aud: AUDIENCE,
        sub: userId,
        sid: sessionId,
        ...(tenantId === null ? {} : { tid: tenantId }),
        jti: randomUUID(),
        iat,
        exp: iat + expiresIn,
      },
      { algorithm: ALGORITHM, header: { alg: ALGORITHM, typ: TOKEN_TYPE } },
    );
    return { token, expiresIn };
  }
}
