import { Injectable, type BeforeApplicationShutdown } from '@nestjs/common';
import type { AuditEventType } from '../audit/audit-event.js';
import { AuditStream } from '../audit/audit.stream.js';
import type { Subject } from '../devices/narrowing.js';
import { Clock } from '../platform/clock/clock.js';
import { logger } from '../platform/telemetry/logger.js';
import { BrokerControl } from './broker-control.js';

export interface EjectionStep {
  readonly step: string;
  /** Milliseconds. */
  readonly ms: number;
}

/** What an ejection did and how long each step took. */
export interface Ejection {
  /** The broker was asked again afterwards and had no session left. */
  readonly confirmed: boolean;
  readonly steps: EjectionStep[];
  readonly totalMs: number;
  /** When a second look catches a CONNECT that was under way; `null` if none is due. */
  readonly sweepAt: string | null;
}

/** Short: the door refuses by itself from the change on; the ban only covers what is under way, wills among it. */
const BAN_SECONDS = 10;
/** The broker waits this long for an authentication answer, and facts may be this stale elsewhere. */
const AUTHENTICATION_TIMEOUT_MS = 5_000;
const STALENESS_MS = 1_000;
const LOOKS = 5;

/** Times named steps. */
export class Stopwatch {
  readonly steps: EjectionStep[] = [];
  private readonly started = performance.now();

  async time<T>(step: string, work: () => Promise<T>): Promise<T> {
    const from = performance.now();
    try {
      return await work();
    } finally {
      this.steps.push({ step, ms: round(performance.now() - from) });
    }
  }

  get totalMs(): number {
    return round(performance.now() - this.started);
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** Cuts the live sessions of a device or service account, and proves it by looking again. */
@Injectable()
export class Ejector implements BeforeApplicationShutdown {
  /** Second looks that are due, by subject. */
  private readonly sweeps = new Map<string, NodeJS.Timeout>();

  constructor(
    private readonly broker: BrokerControl,
    private readonly clock: Clock,
    private readonly audit: AuditStream,
  ) {}

  /** @param ban also keep the client ids out for a moment; not for a quarantine, which may come straight back. */
  async eject(target: Subject, why: string, ban: boolean, watch = new Stopwatch()): Promise<Ejection> {
    let confirmed = false;
    let sessions = 0;
    try {
      ({ confirmed, sessions } = await this.cut(subjectOf(target), why, ban, watch));
    } catch (error) {
      logger.warn({ err: error, subject: subjectOf(target) }, 'the broker did not confirm an ejection');
    }
    const sweepAt = this.broker.kind === 'none' ? null : this.sweepLater(target, why, ban);
    this.note(confirmed ? 'DEVICE_EJECTED' : 'DEVICE_EJECTION_UNCONFIRMED', target, { why, sessions, totalMs: watch.totalMs });
    return { confirmed, steps: watch.steps, totalMs: watch.totalMs, sweepAt };
  }

  /** As `eject`, without a ban and without a word about a subject that has no session: for changes that touch many. */
  async ejectIfLive(target: Subject, why: string): Promise<void> {
    if ((await this.broker.find(subjectOf(target))).length > 0) await this.eject(target, why, false);
  }

  /** Lets the subject in again before its bans have run out. */
  async readmit(target: Subject): Promise<void> {
    const subject = subjectOf(target);
    // A second look would now cut sessions that are welcome again.
    this.forgetSweep(subject);
    try {
      for (const clientId of new Set([subject, ...(await this.broker.bans(subject))])) await this.broker.unban(clientId);
    } catch (error) {
      // Bans are short: the worst that is left is a wait of seconds.
      logger.info({ err: error, subject }, 'bans could not be lifted');
    }
  }

  beforeApplicationShutdown(): void {
    for (const subject of [...this.sweeps.keys()]) this.forgetSweep(subject);
  }

  private async cut(subject: string, why: string, ban: boolean, watch: Stopwatch): Promise<{ confirmed: boolean; sessions: number }> {
    await watch.time('resetCaches', () => this.broker.resetCaches());
    let live = await watch.time('find', () => this.broker.find(subject));
    // The plain id is banned even without a session: a CONNECT with it may be under way.
    if (ban) {
      await watch.time('ban', async () => {
        for (const clientId of new Set([subject, ...live])) await this.broker.ban(clientId, BAN_SECONDS, why);
      });
    }
    const seen = new Set<string>();
    await watch.time('kick', async () => {
      for (let look = 0; live.length > 0 && look < LOOKS; look += 1) {
        live.forEach((clientId) => seen.add(clientId));
        await Promise.all(live.map((clientId) => this.broker.kick(clientId)));
        live = await this.broker.find(subject);
      }
    });
    return { confirmed: live.length === 0, sessions: seen.size };
  }

  private sweepLater(target: Subject, why: string, ban: boolean): string {
    const delay = AUTHENTICATION_TIMEOUT_MS + STALENESS_MS;
    const subject = subjectOf(target);
    this.forgetSweep(subject);
    const timer = setTimeout(() => {
      this.sweeps.delete(subject);
      void this.sweep(target, why, ban);
    }, delay);
    timer.unref();
    this.sweeps.set(subject, timer);
    return new Date(this.clock.now() + delay).toISOString();
  }

  private forgetSweep(subject: string): void {
    clearTimeout(this.sweeps.get(subject));
    this.sweeps.delete(subject);
  }

  private async sweep(target: Subject, why: string, ban: boolean): Promise<void> {
    try {
      const found = await this.broker.find(subjectOf(target));
      const { confirmed, sessions } = found.length === 0
        ? { confirmed: true, sessions: 0 }
        : await this.cut(subjectOf(target), why, ban, new Stopwatch());
      this.note(confirmed ? 'DEVICE_SWEPT' : 'DEVICE_EJECTION_UNCONFIRMED', target, { why, sessions });
    } catch (error) {
      logger.warn({ err: error, subject: subjectOf(target) }, 'the second look after an ejection failed');
      this.note('DEVICE_EJECTION_UNCONFIRMED', target, { why });
    }
  }

  private note(type: AuditEventType, target: Subject, details: Record<string, unknown>): void {
    this.audit.note({
      type,
      tenantId: target.tenantId,
      deviceId: target.kind === 'device' ? target.id : null,
      actor: { kind: 'system', id: 'lifecycle' },
      details: { subject: subjectOf(target), ...details },
    });
  }
}

/** The client id that stands for a subject. */
export function subjectOf(target: Pick<Subject, 'kind' | 'id'>): string {
  return target.kind === 'service' ? `svc:${target.id}` : target.id;
}
