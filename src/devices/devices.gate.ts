import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { Clock } from '../platform/clock/clock.js';
import { CONFIG, type Config } from '../platform/config/config.js';
import { DataKeys } from '../platform/crypto/data-keys.js';
import { Notifications } from '../platform/database/notifications.js';
import { Pools } from '../platform/database/pools.js';
import type { Transaction } from '../platform/database/transactions.js';
import { isCanonicalUuid } from '../platform/http/uuid-param.js';
import { KeyValueStore } from '../platform/redis/key-value.js';
import { VersionedCache, type CacheEvent } from '../platform/redis/versioned-cache.js';
import { Metrics } from '../platform/telemetry/metrics.js';
import { compileFacts, readFacts, type CompileOptions, type Facts, type FactsRow, type PlainFacts } from './facts.js';

export interface FactsAnswer {
  /** `null`: no such device or service account. */
  readonly facts: Facts | null;
  /** Postgres cannot be asked; these are its last words, not older than `STALE_FACTS_MAX`. */
  readonly stale: boolean;
}

type Kind = Facts['kind'];

const CHANNEL = 'portcullis:facts';
/** Of Postgres; its triggers send there. */
const NOTICES = 'portcullis_facts';
const SERVICE_KEY = 'service:';
const MOST_FRESH_MS = 30_000;
/** A fleet that came back in one moment is read anew over six seconds. */
const FRESH_SPREAD = 0.2;
/** One subject's facts weigh some kilobytes once compiled. */
const MAX_ENTRIES = 16_000;
/** Subjects read and invalidated at a time when a whole tenant changes. */
const BATCH = 500;
const UNKNOWN: FactsAnswer = { facts: null, stale: false };

const COLUMNS = 'kind, id, tenant_id, tenant_status, status, slug, version, allowed_proofs, tokens_not_before, clockless, groups, rules';
/** Named, so that each connection plans it once. `kind` stands in the text: the planner then drops the other half of the view. */
const STATEMENTS = {
  device: { name: 'facts-of-device', text: `SELECT ${COLUMNS} FROM subject_facts WHERE kind = 'device' AND id = $1` },
  service: { name: 'facts-of-service', text: `SELECT ${COLUMNS} FROM subject_facts WHERE kind = 'service' AND id = $1` },
} as const;

/**
 * The broker's view of the registry: facts by id, from process memory, the shared store or one SQL statement, in this order.
 * Who changes anything in the facts raises their version in the same transaction and calls `invalidate` after the commit.
 */
@Injectable()
export class DevicesGate implements OnModuleInit {
  private cache: VersionedCache<Facts, PlainFacts> | undefined;
  private readonly compileOptions: CompileOptions;
  private readonly countLookup: (event: CacheEvent) => void;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly clock: Clock,
    private readonly store: KeyValueStore,
    private readonly keys: DataKeys,
    private readonly pools: Pools,
    private readonly notifications: Notifications,
    metrics: Metrics,
  ) {
    // Added up here and handed over at a scrape: a counter's own labels cost more than the look-up they count.
    const pending = new Map<CacheEvent, number>();
    const lookups = metrics.counter('portcullis_facts_lookups_total', 'Where facts came from: memory, store, source; and what went wrong.', ['from'], () => {
      for (const [from, count] of pending) lookups.inc({ from }, count);
      pending.clear();
    });
    metrics.gauge('portcullis_change_notices_heard', 'Whether changes are heard from Postgres too: 1 or 0; 1 where nobody else makes any.', () =>
      (!store.shared || notifications.listening ? 1 : 0));
    this.countLookup = (event) => void pending.set(event, (pending.get(event) ?? 0) + 1);
    const { mqtt, gate } = config;
    this.compileOptions = { prefix: mqtt.topicPrefix, profile: mqtt.topicProfile, terminal: gate.aclTerminal };
  }

  async onModuleInit(): Promise<void> {
    const cache = new VersionedCache<Facts, PlainFacts>({
      store: this.store,
      clock: this.clock,
      name: 'facts:1',
      macKey: (await this.keys.current('facts-mac')).key,
      channel: CHANNEL,
      staleMs: this.config.gate.staleFactsMaxMs,
      // Asked anew well before they are worth nothing: an outage finds the facts of busy devices young.
      freshMs: Math.min(MOST_FRESH_MS, this.config.gate.staleFactsMaxMs / 2),
      freshSpread: FRESH_SPREAD,
      maxEntries: MAX_ENTRIES,
      onCount: this.countLookup,
      load: (key) => this.load(key),
      decode: (text) => this.compile(JSON.parse(text) as PlainFacts),
      scopeOf: ({ tenantId }) => tenantId,
    });
    await cache.start();
    this.cache = cache;
    // One process alone has made every change itself.
    if (!this.store.shared) return;
    await this.notifications.listen(NOTICES, { heard: (payload) => hearNotice(cache, payload), began: () => cache.noticesMissed() });
  }

  /** The answer if this process has it at hand; no promise, no I/O. `undefined`: ask `facts`. */
  peek(kind: Kind, id: string): FactsAnswer | undefined {
    if (!isCanonicalUuid(id)) return UNKNOWN;
    const facts = this.cache?.peek(keyOf(kind, id));
    return facts === undefined ? undefined : { facts, stale: false };
  }

  /**
   * The answer from wherever it is to be had. An id that is no canonical UUID is unknown without a look-up.
   * @throws when neither Postgres nor a cache within `STALE_FACTS_MAX` can tell.
   */
  async facts(kind: Kind, id: string): Promise<FactsAnswer> {
    if (!isCanonicalUuid(id)) return UNKNOWN;
    const { value, stale } = await this.opened.get(keyOf(kind, id));
    return { facts: value, stale };
  }

  /** To be called after the commit: facts below `version` are never served again. Does not throw when the store is down. */
  async invalidate(kind: Kind, id: string, version: number): Promise<void> {
    await this.opened.invalidate(keyOf(kind, id), version);
  }

  /** To be called after the tenant's version was raised (it was frozen, or opened again): as `invalidate` for all that it has. */
  async invalidateTenant(tenantId: string): Promise<void> {
    // At once here, however large it is; other processes hear of it from Postgres.
    this.opened.noticedAll(tenantId);
    for (const [kind, table] of [['device', 'devices'], ['service', 'service_accounts']] as const) {
      let after = '00000000-0000-0000-0000-000000000000';
      for (;;) {
        const { rows } = await this.pools.gate.query<{ id: string; version: string }>(
          `SELECT s.id, s.version + t.version AS version FROM ${table} s JOIN tenants t ON t.id = s.tenant_id
            WHERE s.tenant_id = $1 AND s.id > $2 ORDER BY s.id LIMIT ${BATCH}`,
          [tenantId, after],
        );
        await Promise.all(rows.map((row) => this.invalidate(kind, row.id, Number(row.version))));
        const last = rows.at(-1);
        if (last === undefined || rows.length < BATCH) break;
        after = last.id;
      }
    }
  }

  /** Facts as they stand inside a transaction that has not committed; no cache is read or written. */
  async inside(tx: Transaction, kind: Kind, id: string): Promise<Facts | null> {
    const [row] = await tx.query<FactsRow>(STATEMENTS[kind].text, [id]);
    return row ? this.compile(readFacts(row)) : null;
  }

  /** As `inside`, for many devices in one statement; those that do not exist are left out. */
  async devicesInside(tx: Transaction, ids: readonly string[]): Promise<Facts[]> {
    const rows = await tx.query<FactsRow>(`SELECT ${COLUMNS} FROM subject_facts WHERE kind = 'device' AND id = ANY($1::uuid[])`, [ids]);
    return rows.map((row) => this.compile(readFacts(row)));
  }

  /** Renders facts that the caller knows without asking. */
  compile(plain: PlainFacts): Facts {
    return compileFacts(plain, this.compileOptions);
  }

  private get opened(): VersionedCache<Facts, PlainFacts> {
    if (!this.cache) throw new Error('the gate was asked before it was opened');
    return this.cache;
  }

  private async load(key: string): Promise<{ version: number; value: PlainFacts } | null> {
    const kind: Kind = key.startsWith(SERVICE_KEY) ? 'service' : 'device';
    const id = kind === 'service' ? key.slice(SERVICE_KEY.length) : key;
    const { rows } = await this.pools.gate.query<FactsRow>({ ...STATEMENTS[kind], values: [id] });
    if (!rows[0]) return null;
    const value = readFacts(rows[0]);
    return { version: value.version, value };
  }
}

/** `device <id>`, `service <id>`, `tenant <id>`. Whatever else somebody may send costs nothing but a look at the source. */
function hearNotice(cache: VersionedCache<Facts, PlainFacts>, payload: string): void {
  const [what = '', id = ''] = payload.split(' ');
  if (!isCanonicalUuid(id)) return;
  if (what === 'tenant') cache.noticedAll(id);
  else if (what === 'device' || what === 'service') cache.noticed(keyOf(what, id));
}

/** A device's own id: putting a new text together for each question costs more than looking it up. */
function keyOf(kind: Kind, id: string): string {
  return kind === 'device' ? id : `${SERVICE_KEY}${id}`;
}
