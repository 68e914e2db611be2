import { hash, randomBytes } from 'node:crypto';
import { findShown, type CredentialMaterial, type SecretMaterial } from './credential-material.js';

interface Shown {
  readonly digest: string;
  readonly found: SecretMaterial;
}

/**
 * Remembers for each material which secret was shown last and found: a device shows the same one at every connect, and finding it
 * takes an HMAC for each candidate. Only that is remembered: revocation and times are judged anew at each use, and material is
 * replaced with every change of the owner's credentials.
 */
export class ShownSecrets {
  /** Known to this process alone, so where two digests differ tells nobody anything. */
  private readonly salt = randomBytes(32).toString('base64');
  private readonly last = new WeakMap<CredentialMaterial, Shown>();

  find(material: CredentialMaterial, ownerId: string, secret: string): SecretMaterial | null {
    const digest = hash('sha256', this.salt + secret, 'base64');
    const last = this.last.get(material);
    if (last?.digest === digest) return last.found;
    const found = findShown(material, ownerId, secret);
    if (found !== null) this.last.set(material, { digest, found });
    return found;
  }
}
