import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { AppError } from '../platform/problem/app-error.js';
import { compiled, Thread } from '../platform/work/thread.js';
import type { IssuerFacts } from './certificate-issue.js';
import { draftedOf, questionOf, type DraftAnswer, type DraftedCertificate, type DraftOrder, type DraftQuestion } from './draft-orders.js';

/** Many times what the largest batch of RSA requests takes. */
const LIMIT_MS = 15_000;

/** Certificates up to their signature, made on a thread: the broker's questions go first. The authority's key never goes there. */
@Injectable()
export class CertificateDrafts implements OnApplicationShutdown {
  private readonly thread = new Thread<DraftQuestion, DraftAnswer[]>(compiled('./drafts.thread.js', import.meta.url), LIMIT_MS);

  /** @returns of each order its draft, or why its request is refused: CSR_MALFORMED, CSR_SIGNATURE, KEY_WEAK */
  async of(issuer: IssuerFacts, now: number, orders: readonly DraftOrder[]): Promise<(DraftedCertificate | AppError)[]> {
    if (orders.length === 0) return [];
    return (await this.thread.ask(questionOf(issuer, now, orders))).map(draftedOf);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.thread.stop();
  }
}
