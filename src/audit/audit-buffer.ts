import type { AuditEvent, Severity } from './audit-event.js';
import { complete, draftOf, orderedId, type AuditDraft, type AuditRow } from './audit-row.js';
import { boundedJson, cleanText } from './escape.js';

/** Lanes have room of their own, so that none can crowd out another. */
export type Lane = 'high' | 'success' | 'rest';
export const LANES: readonly Lane[] = ['high', 'success', 'rest'];

/** What a lane may hold. Its memory is bounded by `bytes` plus a fixed part per row and kind. */
export interface LaneRoom {
  /** Rows that wait. */
  readonly rows: number;
  /** Kinds whose repeats are being counted. */
  readonly kinds: number;
  /** Details of both, in characters. */
  readonly bytes: number;
}

const MIB = 1024 * 1024;
export const LANE_ROOM: Readonly<Record<Lane, LaneRoom>> = {
  high: { rows: 10_000, kinds: 10_000, bytes: 12 * MIB },
  success: { rows: 50_000, kinds: 20_000, bytes: 24 * MIB },
  rest: { rows: 20_000, kinds: 10_000, bytes: 16 * MIB },
};

/** Repeats of a kind are counted for this long and then written as one row. */
export const AGGREGATION_MS = 60_000;
/** So many refusals of one reason about one device are told apart, by actor and address, in such a time; the rest of the crowd is one kind. */
export const MAX_FACES = 200;
/** Devices and reasons whose crowds are watched; beyond, watching begins anew. */
const MAX_CROWDS = 10_000;
/** While drops go on, what was dropped is told this often; when they end, at once. */
const GAP_MS = 10_000;
/** Tenants whose drops are told apart; those of the others are told without a tenant. */
const GAP_TENANTS = 256;
/** Kinds that are closed in one go: keeps a flush short after a quiet minute that followed a storm. */
const CLOSE_AT_ONCE = 5_000;

interface Kind {
  /** The first of its kind; opened the minute. */
  readonly first: AuditRow;
  repeats: number;
  firstAt: number;
  lastAt: number;
}

/** Different actors and addresses that were refused for one reason at one device. */
interface Crowd {
  readonly since: number;
  faces: number;
}

interface Gap {
  readonly lane: Lane;
  readonly tenantId: string | null;
  readonly from: number;
  to: number;
  count: number;
}

interface LaneState {
  readonly lane: Lane;
  readonly room: LaneRoom;
  rows: AuditRow[];
  /** Oldest first: all stay open equally long. */
  readonly kinds: Map<string, Kind>;
  bytes: number;
  dropped: number;
}

/** Keeps events until they are written: bounded, constant work for each event, no I/O. */
export class AuditBuffer {
  private readonly lanes: Readonly<Record<Lane, LaneState>>;
  private readonly gaps = new Map<string, Gap>();
  private readonly crowds = new Map<string, Crowd>();
  /** Where the repeats of an event are counted that is the same object each time. */
  private readonly places = new WeakMap<AuditEvent, { readonly lane: LaneState; readonly key: string }>();
  private absorbed = 0;

  constructor(room: Readonly<Record<Lane, LaneRoom>> = LANE_ROOM) {
    const open = (lane: Lane): LaneState => ({ lane, room: room[lane], rows: [], kinds: new Map(), bytes: 0, dropped: 0 });
    this.lanes = { high: open('high'), success: open('success'), rest: open('rest') };
  }

  /** Rows that wait to be taken. */
  get queued(): number {
    return LANES.reduce((sum, lane) => sum + this.lanes[lane].rows.length, 0);
  }

  /** Events that found no room, since the start. */
  get dropped(): Readonly<Record<Lane, number>> {
    return { high: this.lanes.high.dropped, success: this.lanes.success.dropped, rest: this.lanes.rest.dropped };
  }

  /** Events that became part of another row, since the start. */
  get aggregated(): number {
    return this.absorbed;
  }

  /** Takes an event in: as a row if it is the first of its kind within a minute, else into the count of its kind. */
  add(event: AuditEvent, now: number): void {
    const draft = draftOf(event);
    const lane = this.lanes[laneOf(draft.severity)];
    let key = keyOf(draft, event);
    let known = lane.kinds.get(key);
    if (known === undefined && lane.lane === 'rest' && this.isCrowded(draft, event, now)) {
      // Names and addresses cost an attacker nothing: let each have a row, and they fill the log and the room for everybody else.
      draft.actorId = null;
      draft.ip = null;
      event = { ...event, details: { reason: event.details?.['reason'], various: true } };
      key = keyOf(draft, event);
      known = lane.kinds.get(key);
    }
    if (known && this.repeat(lane, key, known, now)) return;
    const row = complete(draft, event, now);
    const bytes = row.details.length;
    if (lane.rows.length >= lane.room.rows || lane.bytes + bytes > lane.room.bytes) {
      this.drop(lane.lane, row.tenantId, now);
      return;
    }
    lane.rows.push(row);
    lane.bytes += bytes;
    // Without room for another kind its repeats are written one by one.
    if (lane.kinds.size >= lane.room.kinds || lane.bytes + bytes > lane.room.bytes) return;
    lane.bytes += bytes;
    lane.kinds.set(key, { first: row, repeats: 0, firstAt: now, lastAt: now });
  }

  /** As `add`, of one object that comes again and again unchanged: it is looked at the first time only. */
  addAgain(event: AuditEvent, now: number): void {
    const place = this.places.get(event);
    const known = place?.lane.kinds.get(place.key);
    if (place && known && this.repeat(place.lane, place.key, known, now)) return;
    if (place === undefined) {
      const draft = draftOf(event);
      this.places.set(event, { lane: this.lanes[laneOf(draft.severity)], key: keyOf(draft, event) });
    }
    this.add(event, now);
  }

  /** Counts an event of a known kind; `false` when its minute is over and it begins anew. */
  private repeat(lane: LaneState, key: string, known: Kind, now: number): boolean {
    if (now >= known.first.occurredAt + AGGREGATION_MS && this.close(lane, key, known)) return false;
    if (known.repeats === 0) known.firstAt = now;
    known.repeats += 1;
    known.lastAt = now;
    this.absorbed += 1;
    return true;
  }

  /** Counts an event, or a row that stands for several, that will never be written. */
  drop(lane: Lane, tenantId: string | null, now: number, count = 1): void {
    this.lanes[lane].dropped += count;
    const own = `${lane}:${tenantId}`;
    const crowded = this.gaps.size >= GAP_TENANTS && !this.gaps.has(own);
    const key = crowded ? `${lane}:null` : own;
    const gap = this.gaps.get(key);
    if (gap) {
      gap.to = now;
      gap.count += count;
    } else {
      this.gaps.set(key, { lane, tenantId: crowded ? null : tenantId, from: now, to: now, count });
    }
  }

  /**
   * Up to `max` rows (gaps come on top) in the order of their weight; the caller owns them from now on.
   * @param ending everything, kinds whose minute is not over included
   */
  take(max: number, now: number, ending = false): AuditRow[] {
    for (const lane of LANES) this.closeKinds(this.lanes[lane], now, ending);
    const high = this.shift('high', max);
    const share = Math.ceil((max - high.length) / 2);
    const rest = this.shift('rest', Math.max(share, max - high.length - this.lanes.success.rows.length));
    const success = this.shift('success', max - high.length - rest.length);
    return [...this.takeGaps(now, ending), ...high, ...rest, ...success];
  }

  /** Counts a new face; true once there have been too many of them within the minute. */
  private isCrowded(draft: AuditDraft, event: AuditEvent, now: number): boolean {
    const key = [draft.eventType, draft.tenantId, draft.deviceId, reasonOf(event)].join('\u0000');
    const crowd = this.crowds.get(key);
    if (crowd !== undefined && now < crowd.since + AGGREGATION_MS) {
      crowd.faces += 1;
      return crowd.faces > MAX_FACES;
    }
    if (this.crowds.size >= MAX_CROWDS) this.crowds.clear();
    this.crowds.set(key, { since: now, faces: 1 });
    return false;
  }

  private shift(lane: Lane, max: number): AuditRow[] {
    const state = this.lanes[lane];
    const taken = state.rows.slice(0, max);
    state.rows = state.rows.slice(max);
    for (const row of taken) state.bytes -= row.details.length;
    return taken;
  }

  private closeKinds(lane: LaneState, now: number, ending: boolean): void {
    let closed = 0;
    for (const [key, kind] of lane.kinds) {
      if (!ending && (now < kind.first.occurredAt + AGGREGATION_MS || closed >= CLOSE_AT_ONCE)) return;
      if (!this.close(lane, key, kind)) return;
      closed += 1;
    }
  }

  /** Turns the repeats of a kind into a row; `false` when there is no room, then it goes on counting. */
  private close(lane: LaneState, key: string, kind: Kind): boolean {
    if (kind.repeats > 0) {
      if (lane.rows.length >= lane.room.rows) return false;
      const { repeats: events, firstAt, lastAt } = kind;
      const counted = { count: events, firstAt: new Date(firstAt), lastAt: new Date(lastAt) };
      const details = boundedJson(counted, JSON.parse(kind.first.details) as Record<string, unknown>);
      lane.rows.push({ ...kind.first, requestId: null, id: orderedId(lastAt), occurredAt: lastAt, details, events });
      lane.bytes += details.length;
    }
    lane.kinds.delete(key);
    lane.bytes -= kind.first.details.length;
    return true;
  }

  private takeGaps(now: number, ending: boolean): AuditRow[] {
    const rows: AuditRow[] = [];
    for (const [key, gap] of this.gaps) {
      const over = this.lanes[gap.lane].rows.length < this.lanes[gap.lane].room.rows / 2;
      if (!ending && !over && now < gap.from + GAP_MS) continue;
      this.gaps.delete(key);
      rows.push(gapRow(gap));
    }
    return rows;
  }
}

export function laneOf(severity: Severity): Lane {
  if (severity === 'HIGH' || severity === 'CRITICAL') return 'high';
  return severity === 'INFO' ? 'success' : 'rest';
}

/** No part can hold NUL any more, so that nobody can make one kind look like another. */
function keyOf(row: AuditDraft, event: AuditEvent): string {
  return [
    row.eventType, row.severity, row.tenantId, row.deviceId, row.userId, row.actorKind, row.actorId, row.ip,
    reasonOf(event),
  ].join('\u0000');
}

function reasonOf(event: AuditEvent): string {
  const reason = event.details?.['reason'];
  return typeof reason === 'string' ? cleanText(reason, 128) : '';
}

function gapRow({ lane, tenantId, from, to, count }: Gap): AuditRow {
  return {
    id: orderedId(to),
    occurredAt: to,
    eventType: 'LOG_GAP',
    severity: 'HIGH',
    tenantId,
    deviceId: null,
    userId: null,
    actorKind: 'system',
    actorId: null,
    ip: null,
    requestId: null,
    details: boundedJson({ lane, from: new Date(from), to: new Date(to), count }),
    events: count,
  };
}
