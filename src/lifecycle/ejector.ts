import { Injectable } from '@nestjs/common';
import type { AuditEventType } from '../audit/audit-event.js';
import { AuditStream } from '../audit/audit.stream.js';
import type { Subject } from '../devices/narrowing.js';
import { Clock } from '../platform/clock/clock.js';
import type { Transaction } from '../platform/database/transactions.js';
import { logger } from '../platform/telemetry/logger.js';
import { BrokerControl, subjectOfClient, type LiveSession } from './broker-control.js';
import { EjectionJobs, type EjectionJob } from './ejection-jobs.js';
import { Stopwatch, type EjectionStep } from './stopwatch.js';

/** What an ejection did and how long each step took. */
export interface Ejection {
  /** The broker was asked again afterwards and had no session left that must go. */
  readonly confirmed: boolean;
  readonly steps: EjectionStep[];
  readonly totalMs: number;
  /** When a second look catches a CONNECT that was under way; `null` if none is due. */
  readonly sweepAt: string | null;
}

/** Short: the door refuses by itself from the change on; the ban only covers what is under way, wills among it. */
const BAN_SECONDS = 10;
/** The broker waits this long for an authentication answer, and facts may be this stale elsewhere. */
const SWEEP_AFTER_MS = 5_000 + 1_000;
/** Whoever ordered an ejection does it at once; if it dies before, the worker takes it up after this. */
const GRACE_MS = 5_000;
const LOOKS = 5;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;

/** Cuts the live sessions of a device or service account, and proves it by looking again. */
@Injectable()
export class Ejector {
  constructor(
    private readonly broker: BrokerControl,
    private readonly jobs: EjectionJobs,
    private readonly clock: Clock,
    private readonly audit: AuditStream,
  ) {}

  /**
   * Orders it in the transaction of the change; `eject` after the commit does it. Between the two nothing is lost by a crash.
   * @param ban also keep the client ids out for a moment; not for a quarantine, which may come straight back.
   * @param factsVersion sessions let in on facts of this version or newer are welcome; `null`: none is.
   */
  async order(tx: Transaction, subject: Subject, why: string, ban: boolean, factsVersion: number | null): Promise<EjectionJob | null> {
    if (this.broker.kind === 'none') return null;
    const [job] = await this.jobs.order(tx, [subject], { why, ban, announce: true, factsVersion, graceMs: GRACE_MS });
    return job ?? null;
  }

  /** As `order` for many at once; the worker does them, and says nothing of those that have no session. */
  async orderMany(tx: Transaction, subjects: readonly Subject[], why: string): Promise<void> {
    if (this.broker.kind === 'none') return;
    await this.jobs.order(tx, subjects, { why, ban: false, announce: false, factsVersion: null, graceMs: 0 });
  }

  /** @param job as `order` answered it; `null`: the broker cannot be managed, and the answer says so. */
  async eject(job: EjectionJob | null, watch = new Stopwatch()): Promise<Ejection> {
    const confirmed = job !== null && (await this.work(job, watch));
    const sweepAt = confirmed ? new Date(this.clock.now() + SWEEP_AFTER_MS).toISOString() : null;
    return { confirmed, steps: watch.steps, totalMs: watch.totalMs, sweepAt };
  }

  /** One attempt at a job, and the note of what comes next. Never throws: what failed is tried again. */
  async work(job: EjectionJob, watch = new Stopwatch()): Promise<boolean> {
    let outcome: { confirmed: boolean; sessions: number } = { confirmed: false, sessions: 0 };
    try {
      outcome = await this.cut(job, watch);
    } catch (error) {
      logger.warn({ err: error, subject: subjectOf(job.subject) }, 'the broker did not confirm an ejection');
    }
    this.tell(job, outcome.confirmed, outcome.sessions, watch.totalMs);
    try {
      await this.jobs.settle(job, nextStep(job, outcome.confirmed));
    } catch (error) {
      // The row stays as it is and is due again: twice is safe, never is not.
      logger.warn({ err: error, subject: subjectOf(job.subject) }, 'the outcome of an ejection could not be kept');
    }
    return outcome.confirmed;
  }

  /**
   * As `work` for many at once: the broker's sessions are looked through once a round, not once a subject. Each job has its own outcome;
   * where the broker answers nothing, none is confirmed.
   */
  async workMany(jobs: readonly EjectionJob[]): Promise<void> {
    const [only] = jobs;
    if (only === undefined) return;
    if (jobs.length === 1) return void (await this.work(only));
    const watch = new Stopwatch();
    const left = new Map(jobs.map((job) => [subjectOf(job.subject), { job, sessions: new Set<string>(), confirmed: false }]));
    try {
      await this.broker.resetCaches();
      await this.cutMany(left);
    } catch (error) {
      logger.warn({ err: error, subjects: jobs.length }, 'the broker did not confirm ejections');
    }
    for (const { job, sessions, confirmed } of left.values()) this.tell(job, confirmed, sessions.size, watch.totalMs);
    try {
      await this.jobs.settleMany([...left.values()].map(({ job, confirmed }) => ({ job, next: nextStep(job, confirmed) })));
    } catch (error) {
      logger.warn({ err: error, subjects: jobs.length }, 'the outcome of ejections could not be kept');
    }
  }

  private async cutMany(left: ReadonlyMap<string, { readonly job: EjectionJob; readonly sessions: Set<string>; confirmed: boolean }>): Promise<void> {
    const unwelcome = async (): Promise<LiveSession[]> => (await this.broker.findMany(new Set(left.keys()))).filter(({ clientId, factsVersion }) => {
      const accepted = left.get(subjectOfClient(clientId))?.job.factsVersion ?? null;
      return accepted === null || factsVersion === null || factsVersion < accepted;
    });
    let live = await unwelcome();
    for (const [subject, { job }] of left) {
      if (!job.ban) continue;
      const ids = live.map(({ clientId }) => clientId).filter((clientId) => subjectOfClient(clientId) === subject);
      for (const clientId of new Set([subject, ...ids])) await this.broker.ban(clientId, BAN_SECONDS, job.why);
    }
    for (let look = 0; live.length > 0 && look < LOOKS; look += 1) {
      for (const { clientId } of live) left.get(subjectOfClient(clientId))?.sessions.add(clientId);
      await this.broker.kickMany(live.map(({ clientId }) => clientId));
      live = await unwelcome();
    }
    const stubborn = new Set(live.map(({ clientId }) => subjectOfClient(clientId)));
    for (const [subject, one] of left) one.confirmed = !stubborn.has(subject);
  }

  /** Takes back an order, in the transaction that welcomes the subject again. */
  forget(tx: Transaction, subject: Subject): Promise<void> {
    return this.jobs.forget(tx, subject);
  }

  forgetAll(tx: Transaction, why: string): Promise<void> {
    return this.jobs.forgetAll(tx, why);
  }

  /** Lifts our bans before they run out. */
  async readmit(target: Subject): Promise<void> {
    if (this.broker.kind === 'none') return;
    const subject = subjectOf(target);
    try {
      for (const clientId of new Set([subject, ...(await this.broker.bans(subject))])) await this.broker.unban(clientId);
    } catch (error) {
      // Bans are short: the worst that is left is a wait of seconds.
      logger.info({ err: error, subject }, 'bans could not be lifted');
    }
  }

  private async cut(job: EjectionJob, watch: Stopwatch): Promise<{ confirmed: boolean; sessions: number }> {
    const subject = subjectOf(job.subject);
    await watch.time('resetCaches', () => this.broker.resetCaches());
    let live = await watch.time('find', () => this.unwelcome(job, subject));
    // The plain id is banned even without a session: a CONNECT with it may be under way.
    if (job.ban) {
      await watch.time('ban', async () => {
        for (const clientId of new Set([subject, ...live.map((session) => session.clientId)])) {
          await this.broker.ban(clientId, BAN_SECONDS, job.why);
        }
      });
    }
    const seen = new Set<string>();
    await watch.time('kick', async () => {
      for (let look = 0; live.length > 0 && look < LOOKS; look += 1) {
        live.forEach(({ clientId }) => seen.add(clientId));
        await Promise.all(live.map(({ clientId }) => this.broker.kick(clientId)));
        live = await this.unwelcome(job, subject);
      }
    });
    return { confirmed: live.length === 0, sessions: seen.size };
  }

  private async unwelcome({ factsVersion }: EjectionJob, subject: string): Promise<LiveSession[]> {
    const live = await this.broker.find(subject);
    return factsVersion === null ? live : live.filter((session) => session.factsVersion === null || session.factsVersion < factsVersion);
  }

  private tell(job: EjectionJob, confirmed: boolean, sessions: number, totalMs: number): void {
    const type: AuditEventType = !confirmed ? 'DEVICE_EJECTION_UNCONFIRMED' : job.phase === 'SWEEP' ? 'DEVICE_SWEPT' : 'DEVICE_EJECTED';
    if (confirmed && sessions === 0 && !job.announce) return;
    this.audit.note({
      type,
      tenantId: job.subject.tenantId,
      deviceId: job.subject.kind === 'device' ? job.subject.id : null,
      actor: { kind: 'system', id: 'lifecycle' },
      details: { reason: job.why, subject: subjectOf(job.subject), sessions, totalMs, attempt: job.attempts },
    });
  }
}

function nextStep({ phase, attempts }: EjectionJob, confirmed: boolean): { phase: 'EJECT' | 'SWEEP'; inMs: number } | null {
  if (!confirmed) return { phase, inMs: Math.min(FIRST_RETRY_MS * 2 ** Math.min(attempts, 10), LONGEST_RETRY_MS) };
  return phase === 'EJECT' ? { phase: 'SWEEP', inMs: SWEEP_AFTER_MS } : null;
}

/** The client id that stands for a subject. */
export function subjectOf(subject: Pick<Subject, 'kind' | 'id'>): string {
  return subject.kind === 'service' ? `svc:${subject.id}` : subject.id;
}
