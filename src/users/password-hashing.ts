/** Whom a password is for: a password that is their own address or name is refused. */
export interface PasswordOwner {
  readonly email: string;
  readonly name: string;
}

/**
 * Port through which a new account gets the hash of its password. How passwords are judged, peppered and hashed is known one
 * floor up, to the room that checks them.
 */
export abstract class PasswordHashing {
  /** Slow on purpose: call it outside of transactions. @throws PASSWORD_NOT_ACCEPTED, PASSWORD_CHECKS_BUSY */
  abstract hash(password: string, owner: PasswordOwner): Promise<string>;
}
