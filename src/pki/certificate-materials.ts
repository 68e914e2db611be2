import { Injectable } from '@nestjs/common';
import type { Facts } from '../devices/facts.js';
import { Clock } from '../platform/clock/clock.js';
import { isStoreUnavailable } from '../platform/database/database-errors.js';
import { Pools } from '../platform/database/pools.js';
import { Lru } from '../platform/redis/lru.js';
import { logger } from '../platform/telemetry/logger.js';
import type { RecordedCertificate } from './certificate.decision.js';

type Owner = Pick<Facts, 'kind' | 'id' | 'version'>;

/** Records of one owner's certificates, by serial. They show every change up to this version of its facts. */
export interface CertificateMaterial {
  readonly version: number;
  readonly bySerial: ReadonlyMap<string, RecordedCertificate>;
}

interface Row {
  readonly id: string;
  readonly serial: string;
  readonly fingerprint: string;
  readonly not_after: Date;
  readonly ends_at: Date | null;
  readonly revoked_at: Date | null;
}

interface Flight {
  readonly version: number;
  readonly material: Promise<CertificateMaterial>;
}

const MAX_ENTRIES = 20_000;
/** Certificates of one owner that have not ended; more than that is no device. */
const MAX_RECORDS = 200;
/** After Postgres failed it is left alone this long. */
const FAILURE_PAUSE_MS = 500;

function statement(kind: Facts['kind']): { name: string; text: string } {
  const owner = kind === 'device' ? 'device_id' : 'service_account_id';
  return {
    name: `certificates-of-${kind}`,
    text: `SELECT id, serial, fingerprint, not_after, ends_at, revoked_at FROM certificates
      WHERE ${owner} = $1 AND not_after > $2 ORDER BY created_at DESC, id LIMIT ${MAX_RECORDS}`,
  };
}

const STATEMENTS = { device: statement('device'), service: statement('service') } as const;

/**
 * Records by owner: process memory → one SQL statement. Every change of an owner's certificates raises the version of its facts in
 * the same transaction, so records are good for facts of their own version or an older one, and never for newer ones.
 */
@Injectable()
export class CertificateMaterials {
  private readonly memory = new Lru<string, CertificateMaterial>(MAX_ENTRIES);
  private readonly flights = new Map<string, Flight>();
  private pausedUntil = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly pools: Pools,
  ) {}

  /** What this process has at hand for these facts; no promise, no I/O. */
  peek({ kind, id, version }: Owner): CertificateMaterial | undefined {
    const held = this.memory.get(`${kind}:${id}`);
    return held !== undefined && held.version >= version ? held : undefined;
  }

  /** @throws when Postgres cannot tell. */
  load(owner: Owner): Promise<CertificateMaterial> {
    const key = `${owner.kind}:${owner.id}`;
    const flying = this.flights.get(key);
    // A look-up that was begun for older facts may have read what a newer version changed.
    if (flying !== undefined && flying.version >= owner.version) return flying.material;
    const material = this.read(key, owner).finally(() => {
      if (this.flights.get(key) === flight) this.flights.delete(key);
    });
    const flight: Flight = { version: owner.version, material };
    this.flights.set(key, flight);
    return material;
  }

  private async read(key: string, { kind, id, version }: Owner): Promise<CertificateMaterial> {
    const now = this.clock.now();
    if (now < this.pausedUntil) throw new Error('Postgres did not answer a moment ago');
    try {
      const { rows } = await this.pools.gate.query<Row>({ ...STATEMENTS[kind], values: [id, new Date(now)] });
      const material = { version, bySerial: new Map(rows.map((row) => [row.serial, recordOf(row)])) };
      const held = this.memory.peek(key);
      if (held !== undefined && held.version > version) return held;
      this.memory.set(key, material);
      return material;
    } catch (error) {
      if (isStoreUnavailable(error)) this.pausedUntil = now + FAILURE_PAUSE_MS;
      logger.warn({ err: error }, 'certificates could not be read');
      throw error;
    }
  }
}

function recordOf(row: Row): RecordedCertificate {
  return {
    id: row.id,
    serial: row.serial,
    fingerprint: row.fingerprint,
    notAfter: row.not_after.getTime(),
    endsAt: row.ends_at === null ? null : row.ends_at.getTime(),
    revoked: row.revoked_at !== null,
  };
}
