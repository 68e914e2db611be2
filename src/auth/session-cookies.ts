import { Inject, Injectable } from '@nestjs/common';
import type { CookieSerializeOptions } from '@fastify/cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import type { Grant } from './session.js';

const BROWSER_TTL_SECONDS = 365 * 24 * 3600;

type CookieName = 'access_token' | 'refresh_token' | 'known_browser';

/**
 * The cookies of a browser session: httpOnly, SameSite=Strict, for this host only, and Secure wherever the installation is
 * reached over https. In production they bear the `__Host-` prefix, so that no other host of the domain can plant them; the
 * prefix wants Path=/, hence the refresh token travels with every request, but is read by the refresh alone.
 */
@Injectable()
export class SessionCookies {
  private readonly prefix: string;
  private readonly options: CookieSerializeOptions;

  constructor(
    @Inject(CONFIG) config: Config,
    private readonly clock: Clock,
  ) {
    this.prefix = config.production ? '__Host-' : '';
    const secure = config.production || config.http.publicUrl.startsWith('https://');
    this.options = { path: '/', httpOnly: true, sameSite: 'strict', secure };
  }

  /** In production a cookie without the prefix is not read. */
  read(request: FastifyRequest, name: CookieName): string | undefined {
    const value = request.cookies[this.prefix + name];
    return value === '' ? undefined : value;
  }

  write(reply: FastifyReply, grant: Grant): void {
    const refreshSeconds = Math.max(0, Math.floor((grant.refreshExpiresAt - this.clock.now()) / 1000));
    this.set(reply, 'access_token', grant.accessToken, grant.expiresIn);
    this.set(reply, 'refresh_token', grant.refreshToken, refreshSeconds);
  }

  writeMark(reply: FastifyReply, mark: string): void {
    this.set(reply, 'known_browser', mark, BROWSER_TTL_SECONDS);
  }

  clear(reply: FastifyReply): void {
    for (const name of ['access_token', 'refresh_token'] as const) this.set(reply, name, '', 0);
  }

  private set(reply: FastifyReply, name: CookieName, value: string, maxAge: number): void {
    void reply.setCookie(this.prefix + name, value, { ...this.options, maxAge });
  }
}
