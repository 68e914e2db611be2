import type { KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataKeys, type SealContext } from '../platform/crypto/data-keys.js';
import { Lru } from '../platform/redis/lru.js';
import { fromPkcs8, generateKey, signBytes, spkiOf, toPkcs8, type KeyType, type SignatureAlgorithm } from './keys.js';

/** A key that an authority signs with, as its row keeps it. */
export interface HeldKey {
  /** Id of the row that holds it. */
  readonly id: string;
  /** The signer's own bytes: a sealed key here, a key's name for a signer outside. */
  readonly handle: Buffer;
}

export interface MadeKey {
  readonly handle: Buffer;
  readonly spki: Buffer;
}

/**
 * Port: whoever holds the keys of authorities. This form keeps them as sealed rows; a key management service or an external CA
 * stands behind it by making a key, handing out its public half and signing with it.
 */
export abstract class Signer {
  abstract make(id: string, type: KeyType): Promise<MadeKey>;
  /** Signature in the form that X.509 wants: DER for ECDSA, PKCS #1 v1.5 for RSA. */
  abstract sign(key: HeldKey, algorithm: SignatureAlgorithm, bytes: Buffer): Promise<Buffer>;
}

const MAX_OPENED = 200;

/** Keys as sealed rows; opened once a process, used on the thread pool. */
@Injectable()
export class SealedSigner extends Signer {
  private readonly opened = new Lru<string, KeyObject>(MAX_OPENED);

  constructor(private readonly keys: DataKeys) {
    super();
  }

  async make(id: string, type: KeyType): Promise<MadeKey> {
    const key = await generateKey(type);
    return { handle: await this.keys.seal(sealContext(id), toPkcs8(key)), spki: spkiOf(key) };
  }

  async sign(held: HeldKey, algorithm: SignatureAlgorithm, bytes: Buffer): Promise<Buffer> {
    return signBytes(algorithm, await this.open(held), bytes);
  }

  private async open({ id, handle }: HeldKey): Promise<KeyObject> {
    const known = this.opened.get(id);
    if (known) return known;
    const key = fromPkcs8(await this.keys.open(sealContext(id), handle));
    this.opened.set(id, key);
    return key;
  }
}

function sealContext(id: string): SealContext {
  return { purpose: 'authority-key', table: 'certificate_authorities', tenant: null, row: id, version: 1 };
}
