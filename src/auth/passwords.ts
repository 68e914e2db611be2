import { createHmac } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import bcrypt from 'bcrypt';
import { DataKeys } from '../platform/crypto/data-keys.js';
import type { PasswordHashing, PasswordOwner } from '../users/password-hashing.js';
import { authError } from './auth.errors.js';
import { passwordFault } from './password-rules.js';
import { WorkLimit, type Caller } from '../platform/work/work-limit.js';

/** Injection token of bcrypt's cost. Only tests inject another than `DEFAULT_ROUNDS`; nothing reads it from the environment. */
export const PASSWORD_ROUNDS = Symbol('PASSWORD_ROUNDS');
/** About 0.2 s of one core. */
export const DEFAULT_ROUNDS = 12;

const PEPPER = 'password-pepper';
/** libuv has four threads, which files and DNS need as well. */
const CONCURRENT = 2;
const QUEUE = 64;
/** Salt and digest of nobody's password: the check of an unknown account takes as long as that of a known one. */
const NOBODY = 'Vn1kZr3wTq0uYh5sLxGd8eK3mOa7pRcWb2fJzQ6tXyHgNvDsMlPiU';
const STORED = /^v1:([0-9a-f-]{36}):(\$2b\$(\d\d)\$[./A-Za-z0-9]{53})$/;

export interface PasswordVerdict {
  readonly matches: boolean;
  /** Right, but kept under an older pepper or at a lower cost: hash it anew. */
  readonly outdated: boolean;
}

/**
 * Hashes people's passwords: bcrypt over base64(HMAC-SHA-384(pepper, password)). The MAC is 64 characters, so nothing is cut at
 * bcrypt's 72 bytes and no NUL ends it early; without the pepper a stolen table cannot be guessed at.
 * Kept as `v1:{id of the pepper}:{bcrypt}`.
 */
@Injectable()
export class Passwords implements PasswordHashing {
  private readonly limit = new WorkLimit(CONCURRENT, QUEUE, () =>
    authError('PASSWORD_CHECKS_BUSY', { headers: { 'Retry-After': '2' } }));

  constructor(
    private readonly keys: DataKeys,
    @Inject(PASSWORD_ROUNDS) private readonly rounds: number,
  ) {}

  /** @throws PASSWORD_NOT_ACCEPTED, PASSWORD_CHECKS_BUSY */
  async hash(password: string, owner: PasswordOwner, caller: Caller = 'known'): Promise<string> {
    const fault = passwordFault(password, owner);
    if (fault !== null) throw authError('PASSWORD_NOT_ACCEPTED', { errors: [{ path: 'password', message: `password ${fault}` }] });
    return this.rehash(password, caller);
  }

  /** As `hash`, for a password that was accepted before: rules that came later do not lock its owner out. */
  async rehash(password: string, caller: Caller = 'known'): Promise<string> {
    const pepper = await this.keys.current(PEPPER);
    return `v1:${pepper.id}:${await this.limit.run(() => bcrypt.hash(peppered(pepper.key, password), this.rounds), caller)}`;
  }

  /** @param stored `null` for an account that does not exist: never matches, and takes as long. @throws PASSWORD_CHECKS_BUSY */
  async verify(password: string, stored: string | null, caller: Caller): Promise<PasswordVerdict> {
    const current = await this.keys.current(PEPPER);
    const nobody = `$2b$${String(this.rounds).padStart(2, '0')}$${NOBODY}`;
    const [, keyId = current.id, hash = nobody, rounds] = STORED.exec(stored ?? '') ?? [];
    const pepper = keyId === current.id ? current : await this.keys.find(keyId);
    if (!pepper) throw new Error(`the password pepper ${keyId} is gone`);
    const same = await this.limit.run(() => bcrypt.compare(peppered(pepper.key, password), hash), caller);
    const matches = same && rounds !== undefined;
    return { matches, outdated: matches && (pepper.id !== current.id || Number(rounds) < this.rounds) };
  }
}

function peppered(pepper: Buffer, password: string): string {
  return createHmac('sha384', pepper).update(password, 'utf8').digest('base64');
}
