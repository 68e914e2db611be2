import { Injectable } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { Pools } from '../platform/database/pools.js';
import { Lru } from '../platform/redis/lru.js';
import { logger } from '../platform/telemetry/logger.js';
import { AuthoritiesService, type SigningAuthority } from './authorities.service.js';
import type { RevokeReason } from './crl.js';
import {
  buildOcspResponse, namesIssuer, OCSP_INTERNAL_ERROR, OCSP_MALFORMED, OCSP_UNAUTHORIZED, readOcspRequest, type AskedCertificate, type OcspResponder,
  type OcspStatus,
} from './ocsp.js';

interface Speaker {
  readonly signing: SigningAuthority;
  readonly responder: OcspResponder;
  readonly until: number;
}

interface Signed {
  readonly der: Buffer;
  readonly until: number;
}

/** How long an answer says that it is good. */
const VALID_MS = 3_600_000;
/** A signed answer is given again for half of that. */
const REUSE_MS = VALID_MS / 2;
/** A responder's key and certificate are looked up anew after this. */
const SPEAKER_MS = 60_000;
const MAX_SIGNED = 20_000;
const MAX_SPEAKERS = 1_000;

/**
 * Answers about single certificates (RFC 6960), signed on the thread pool by a delegate. The status is read from Postgres for each
 * question, so a revocation shows at once; only the signature over an unchanged status is used again, and only where no nonce was sent.
 */
@Injectable()
export class OcspService {
  private readonly signed = new Lru<string, Signed>(MAX_SIGNED);
  private readonly speakers = new Lru<string, Speaker>(MAX_SPEAKERS);

  constructor(
    private readonly clock: Clock,
    private readonly pools: Pools,
    private readonly authorities: AuthoritiesService,
  ) {}

  /** A DER response for a DER request; never rejects. `null` id: there is no such authority. */
  async answer(authorityId: string, tenantId: string | null, request: Buffer): Promise<Buffer> {
    const question = readOcspRequest(request);
    if (question === null) return OCSP_MALFORMED;
    try {
      const speaker = await this.speakerOf(authorityId, tenantId);
      if (speaker === null || !question.asked.every((asked) => namesIssuer(asked, speaker.signing.issuer))) return OCSP_UNAUTHORIZED;
      const statuses = await this.statusesOf(speaker.signing, question.asked);
      const answers = question.asked.map((asked) => ({ asked, status: statuses.get(asked.serial) ?? ({ kind: 'unknown' } as const) }));
      const now = this.clock.now();
      const key = question.nonce === null && answers.length === 1 ? keyOf(authorityId, answers[0]?.asked, answers[0]?.status) : null;
      const known = key === null ? undefined : this.signed.get(key);
      if (known !== undefined && now < known.until) return known.der;
      const producedAt = new Date(now);
      const der = await buildOcspResponse(
        speaker.responder,
        answers,
        { producedAt, thisUpdate: producedAt, nextUpdate: new Date(now + VALID_MS) },
        question.nonce,
      );
      if (key !== null) this.signed.set(key, { der, until: now + REUSE_MS });
      return der;
    } catch (error) {
      logger.error({ err: error }, 'an OCSP question could not be answered');
      return OCSP_INTERNAL_ERROR;
    }
  }

  private async speakerOf(authorityId: string, tenantId: string | null): Promise<Speaker | null> {
    const now = this.clock.now();
    const known = this.speakers.get(authorityId);
    if (known !== undefined && now < known.until) return known;
    const signing = await this.authorities.find(authorityId, tenantId);
    if (signing === null) return null;
    const speaker = { signing, responder: await this.authorities.responder(signing), until: now + SPEAKER_MS };
    this.speakers.set(authorityId, speaker);
    return speaker;
  }

  /** What was issued and is not revoked is good; what was never issued is not among the answers. */
  private async statusesOf({ authority }: SigningAuthority, asked: readonly AskedCertificate[]): Promise<Map<string, OcspStatus>> {
    const { rows } = await this.pools.reader.query<{ serial: string; revoked_at: Date | null; revoke_reason: RevokeReason | null }>(
      authority.kind === 'root'
        ? `SELECT serial, revoked_at, NULL AS revoke_reason FROM certificate_authorities WHERE parent_id = $1 AND serial = ANY($2)`
        : 'SELECT serial, revoked_at, revoke_reason FROM certificates WHERE authority_id = $1 AND serial = ANY($2)',
      [authority.id, asked.map(({ serial }) => serial)],
    );
    return new Map(rows.map((row): [string, OcspStatus] => [
      row.serial,
      row.revoked_at === null ? { kind: 'good' } : { kind: 'revoked', at: row.revoked_at, reason: row.revoke_reason ?? 'unspecified' },
    ]));
  }
}

function keyOf(authorityId: string, asked: AskedCertificate | undefined, status: OcspStatus | undefined): string | null {
  if (asked === undefined || status === undefined || status.kind === 'unknown') return null;
  return `${authorityId}:${asked.hashOid}:${asked.serial}:${status.kind}`;
}
