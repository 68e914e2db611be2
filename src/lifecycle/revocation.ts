import type { CertificateRecord } from '../pki/certificate.js';
import type { Ejection } from './ejector.js';

/** What is to be revoked. */
export interface RevocationScope {
  /** Also what renewed it, and what renewed that. */
  readonly lineage: boolean;
  /** Only what was issued from then on. */
  readonly since: Date | null;
  /** Only tell what would be revoked. */
  readonly dryRun: boolean;
}

export interface RevocationResult {
  readonly dryRun: boolean;
  readonly certificates: readonly CertificateRecord[];
  /** `null`: a preview, or no device was touched. */
  readonly ejection: Ejection | null;
}
