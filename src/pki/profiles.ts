import { OID, type KeyUsage } from './extensions.js';

export const PROFILE_NAMES = ['device', 'service', 'server', 'ocsp'] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** No certificate below an authority lives longer, whatever a profile or a request says. */
export const POLICY_MAX_MS = 8_760 * HOUR_MS;
/** Clocks of devices run behind: a certificate is good from a minute before it was made. */
export const BACKDATE_MS = 60_000;

interface ProfileRule {
  readonly name: ProfileName;
  readonly purposes: readonly string[];
  readonly defaultMs: number;
  readonly maxMs: number;
  /** Says where its revocation is told; a responder's certificate must not (RFC 6960 §4.2.2.2.1). */
  readonly distribution: boolean;
  readonly noCheck: boolean;
}

/** What a certificate of this kind may say. One that exists is a legal one: requests choose a profile, never its fields. */
export class CertificateProfile {
  private constructor(private readonly rule: ProfileRule) {}

  /** @throws for a rule that no certificate may follow. */
  static of(rule: ProfileRule): CertificateProfile {
    const { name, purposes, defaultMs, maxMs, distribution, noCheck } = rule;
    const bad = (what: string): Error => new Error(`profile ${name}: ${what}`);
    if (purposes.length === 0 || new Set(purposes).size !== purposes.length) throw bad('needs distinct purposes');
    if (!(defaultMs > 0 && defaultMs <= maxMs && maxMs <= POLICY_MAX_MS)) throw bad('its lifetimes are beyond the policy');
    const signsStatus = purposes.includes(OID.ocspSigning);
    if (signsStatus && purposes.length > 1) throw bad('who signs OCSP answers does nothing else');
    if (noCheck !== signsStatus || distribution === noCheck) throw bad('no-check is for responders, and only they go without revocation');
    return new CertificateProfile(Object.freeze({ ...rule, purposes: Object.freeze([...purposes]) }));
  }

  get name(): ProfileName {
    return this.rule.name;
  }

  get purposes(): readonly string[] {
    return this.rule.purposes;
  }

  get distribution(): boolean {
    return this.rule.distribution;
  }

  get noCheck(): boolean {
    return this.rule.noCheck;
  }

  get defaultMs(): number {
    return this.rule.defaultMs;
  }

  get maxMs(): number {
    return this.rule.maxMs;
  }

  /** An EC key only ever signs; TLS 1.2 may also encrypt to an RSA key. */
  keyUsages(keyType: string | undefined): KeyUsage[] {
    return keyType === 'rsa' && !this.rule.noCheck ? ['digitalSignature', 'keyEncipherment'] : ['digitalSignature'];
  }
}

export const PROFILES: Readonly<Record<ProfileName, CertificateProfile>> = {
  device: CertificateProfile.of({
    name: 'device', purposes: [OID.clientAuth], defaultMs: 90 * DAY_MS, maxMs: POLICY_MAX_MS, distribution: true, noCheck: false,
  }),
  service: CertificateProfile.of({
    name: 'service', purposes: [OID.clientAuth], defaultMs: 90 * DAY_MS, maxMs: POLICY_MAX_MS, distribution: true, noCheck: false,
  }),
  server: CertificateProfile.of({
    name: 'server', purposes: [OID.serverAuth], defaultMs: 90 * DAY_MS, maxMs: POLICY_MAX_MS, distribution: true, noCheck: false,
  }),
  ocsp: CertificateProfile.of({
    name: 'ocsp', purposes: [OID.ocspSigning], defaultMs: 30 * DAY_MS, maxMs: 30 * DAY_MS, distribution: false, noCheck: true,
  }),
};
