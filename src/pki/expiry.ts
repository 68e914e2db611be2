import type { CertificateOwner } from './certificate.js';

/** How near the end is: told once each. */
export type ExpiryThreshold = 'soon' | 'last';

/** The end of a certificate or of an authority is near, and nothing has taken its place. */
export interface ExpiryNotice {
  readonly kind: 'certificate' | 'authority';
  readonly id: string;
  /** `null`: of the installation, as a root is. */
  readonly tenantId: string | null;
  readonly serial: string;
  readonly notAfter: Date;
  readonly threshold: ExpiryThreshold;
  /** `null`: an authority's. */
  readonly owner: CertificateOwner | null;
}

/** A window opens this long before the end, or at this part of the whole life, whichever is the shorter time. */
export interface ExpiryWindow {
  readonly days: number;
  readonly part: number;
}

/**
 * Of certificates: 30 days or a third of life, the shorter, so that one that lives for a day is not warned of at its birth; then
 * 7 days or a twelfth.
 */
export const CERTIFICATE_WINDOWS: Readonly<Record<ExpiryThreshold, ExpiryWindow>> = {
  soon: { days: 30, part: 3 },
  last: { days: 7, part: 12 },
};

/** Of authorities: while they can still give a year, then while somebody can still do something about it. */
export const AUTHORITY_WINDOWS: Readonly<Record<ExpiryThreshold, ExpiryWindow>> = {
  soon: { days: 400, part: 3 },
  last: { days: 90, part: 12 },
};

const DAY_MS = 86_400_000;

/** Milliseconds before the end at which a window opens. */
export function windowMs({ days, part }: ExpiryWindow, life: { readonly notBefore: Date; readonly notAfter: Date }): number {
  return Math.min(days * DAY_MS, (life.notAfter.getTime() - life.notBefore.getTime()) / part);
}

/** Which threshold is passed at `now` (ms); `null`: none, or the end itself. Pure. */
export function thresholdOf(
  windows: Readonly<Record<ExpiryThreshold, ExpiryWindow>>,
  life: { readonly notBefore: Date; readonly notAfter: Date },
  now: number,
): ExpiryThreshold | null {
  const left = life.notAfter.getTime() - now;
  if (left <= 0) return null;
  if (left <= windowMs(windows.last, life)) return 'last';
  return left <= windowMs(windows.soon, life) ? 'soon' : null;
}
