import { Injectable } from '@nestjs/common';
import type { Transaction } from '../platform/database/transactions.js';

export const CREDENTIAL_KINDS = ['secret', 'token', 'hmac', 'certificate'] as const;
export type CredentialKind = (typeof CREDENTIAL_KINDS)[number];

export interface HoldingQuestion {
  /** Left out: any kind. */
  readonly kind?: CredentialKind;
  /** Only credentials that end before this. */
  readonly expiringBefore?: Date;
}

/** Port: a room that keeps credentials of some kinds and can say which devices hold a live one. */
export abstract class HoldingsSource {
  abstract readonly kinds: readonly CredentialKind[];

  /**
   * Those of `deviceIds` (a few hundred at most) that hold a credential which fits the question and neither ended nor was
   * revoked. One statement in the given transaction.
   */
  abstract holders(tx: Transaction, deviceIds: readonly string[], question: HoldingQuestion): Promise<readonly string[]>;
}

/**
 * Filters of the device list that ask for credentials. Their tables belong to other rooms, so this one hands over the ids of a
 * page's candidates instead of joining; those rooms register here.
 */
@Injectable()
export class CredentialHoldings {
  private readonly sources: HoldingsSource[] = [];

  register(source: HoldingsSource): void {
    this.sources.push(source);
  }

  /** The devices among these that hold what is asked for; none, if nobody keeps that kind. */
  async among(tx: Transaction, deviceIds: readonly string[], question: HoldingQuestion): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for (const source of this.sources) {
      if (question.kind !== undefined && !source.kinds.includes(question.kind)) continue;
      for (const id of await source.holders(tx, deviceIds, question)) found.add(id);
    }
    return found;
  }
}
