import { Injectable } from '@nestjs/common';
import type { Transaction } from '../platform/database/transactions.js';
import type { Keyset } from '../platform/http/paging.js';
import type { CredentialKind } from './holdings.js';

/** A credential of a device as it may be listed: never the secret. */
export interface ListedCredential {
  readonly id: string;
  readonly kind: CredentialKind;
  readonly createdAt: Date;
  readonly notBefore: Date;
  readonly expiresAt: Date | null;
  readonly supersededAt: Date | null;
  readonly revokedAt: Date | null;
  readonly parentId: string | null;
  readonly lastUsedAt: Date | null;
  /** Creation with its microseconds, and id: the order of the list. */
  readonly key: Keyset;
}

/** Port: a room that keeps credentials of its own kind and lists those of a device. */
export abstract class CredentialListing {
  /** At most `limit`, in the order of their creation, after `after`. The device exists in the transaction's tenant. */
  abstract list(tx: Transaction, deviceId: string, after: Keyset | undefined, limit: number): Promise<ListedCredential[]>;
}

/** Rooms that keep credentials do not know each other; here their lists become one. */
@Injectable()
export class CredentialListings {
  private readonly sources: CredentialListing[] = [];

  register(source: CredentialListing): void {
    this.sources.push(source);
  }

  /** As one source would list them all. */
  async list(tx: Transaction, deviceId: string, after: Keyset | undefined, limit: number): Promise<ListedCredential[]> {
    const all: ListedCredential[] = [];
    for (const source of this.sources) all.push(...(await source.list(tx, deviceId, after, limit)));
    return inOrder(all).slice(0, limit);
  }
}

/** By creation, then id: the order of every such list. */
export function inOrder(credentials: ListedCredential[]): ListedCredential[] {
  return credentials.sort((a, b) => compare(a.key.at, b.key.at) || compare(a.key.id, b.key.id));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
