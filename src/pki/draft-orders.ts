import { AppError } from '../platform/problem/app-error.js';
import { packed, unpacked } from '../platform/work/thread.js';
import { draftCertificate, type CertificateDraft, type IssuerFacts } from './certificate-issue.js';
import { readCsr } from './csr.js';
import { keyHashOf } from './keys.js';
import { pkiError, type PkiErrorCode } from './pki.errors.js';
import { PROFILES, type ProfileName } from './profiles.js';

/** What a client certificate is made of: plain values, so that another thread can be told. */
export interface DraftOrder {
  /** A request to be judged (PEM), or a key that was made here (SubjectPublicKeyInfo). Bytes are packed. */
  readonly key: { readonly csr: string } | { readonly spki: string };
  readonly profile: ProfileName;
  readonly commonName: string;
  readonly uri: string;
  /** Milliseconds; left out, the profile's own. */
  readonly ttlMs?: number;
}

export interface DraftQuestion {
  readonly issuer: Omit<IssuerFacts, 'name' | 'keyId'> & { readonly name: string; readonly keyId: string };
  /** Milliseconds. */
  readonly now: number;
  readonly orders: readonly DraftOrder[];
}

/** Of one order: a draft, or why the request was refused. */
export type DraftAnswer =
  | { readonly signed: string; readonly serial: string; readonly notBefore: Date; readonly notAfter: Date; readonly keyHash: string }
  | { readonly refused: PkiErrorCode; readonly detail?: string; readonly internal: string };

export interface DraftedCertificate extends CertificateDraft {
  readonly keyHash: Buffer;
}

/** The question as it goes to the thread. */
export function questionOf({ name, keyId, algorithm, notAfter, distribution }: IssuerFacts, now: number, orders: readonly DraftOrder[]): DraftQuestion {
  return { issuer: { name: packed(name), keyId: packed(keyId), algorithm, notAfter, distribution }, now, orders };
}

/** Judges requests and drafts certificates: all of issuing but the signature. @throws LintError */
export async function draftAll({ issuer, now, orders }: DraftQuestion): Promise<DraftAnswer[]> {
  const facts: IssuerFacts = { ...issuer, name: unpacked(issuer.name), keyId: unpacked(issuer.keyId) };
  const answers: DraftAnswer[] = [];
  for (const order of orders) answers.push(await draftOne(facts, now, order));
  return answers;
}

/** What came back from the thread. */
export function draftedOf(answer: DraftAnswer): DraftedCertificate | AppError {
  if ('refused' in answer) {
    const { refused, detail, internal } = answer;
    return pkiError(refused, { internal, ...(detail === undefined ? {} : { detail }) });
  }
  const { signed, serial, keyHash, ...times } = answer;
  return { signed: unpacked(signed), serial: unpacked(serial), keyHash: unpacked(keyHash), ...times };
}

async function draftOne(issuer: IssuerFacts, now: number, { key, profile: profileName, commonName, uri, ttlMs }: DraftOrder): Promise<DraftAnswer> {
  try {
    const spki = 'csr' in key ? await readCsr(key.csr) : unpacked(key.spki);
    const profile = PROFILES[profileName];
    const { signed, serial, notBefore, notAfter } = draftCertificate(issuer, {
      profile, commonName, altNames: [{ uri }], spki, ttlMs: ttlMs ?? profile.defaultMs, now,
    });
    return { signed: packed(signed), serial: packed(serial), notBefore, notAfter, keyHash: packed(keyHashOf(spki)) };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { code, detail, message, cause } = error;
    // Only errors of this room come out of reading a request.
    return { refused: code as PkiErrorCode, internal: cause instanceof Error ? cause.message : message, ...(detail === undefined ? {} : { detail }) };
  }
}
