import { belongsTo, BrokerControl, subjectOfClient, type LiveSession } from './broker-control.js';

export interface EmqxApi {
  /** Origin of the management API, `https://emqx:18083`. */
  readonly url: string;
  readonly key: string;
  readonly secret: string;
  readonly timeoutMs?: number;
}

interface ClientRow {
  readonly clientid?: unknown;
  readonly client_attrs?: { readonly ver?: unknown };
}

interface BanRow {
  readonly as?: unknown;
  readonly who?: unknown;
  readonly by?: unknown;
}

interface Paged<T> {
  readonly data?: readonly T[];
  readonly meta?: { readonly hasnext?: boolean; readonly count?: number };
}

/** Bans of ours bear this name; those of operators are never touched. */
const BY = 'portcullis';
const TIMEOUT_MS = 2_000;
const PAGE = 1_000;
const MAX_PAGES = 1_000;
/** EMQX looks through all its clients for each pattern: beyond this many they are listed once instead. */
const ASKED_ONE_BY_ONE = 20;

/**
 * `BrokerControl` over the management API of EMQX 5 (`/api/v5`, HTTP Basic with an API key). Which call answers what was read
 * from EMQX's sources: `docs/broker-integration.md`.
 */
export class EmqxControl extends BrokerControl {
  readonly kind = 'emqx';
  private readonly authorization: string;
  private readonly base: string;

  constructor(private readonly api: EmqxApi) {
    super();
    this.authorization = `Basic ${Buffer.from(`${api.key}:${api.secret}`).toString('base64')}`;
    this.base = `${api.url.replace(/\/+$/, '')}/api/v5`;
  }

  async find(subject: string): Promise<LiveSession[]> {
    // EMQX matches anywhere in the client id; what merely contains the subject is not its session.
    const rows = await this.pages<ClientRow>(`/clients?like_clientid=${encodeURIComponent(subject)}`);
    return rows.flatMap((row) => sessionOf(row, (clientId) => belongsTo(clientId, subject)));
  }

  override async findMany(subjects: ReadonlySet<string>): Promise<LiveSession[]> {
    if (subjects.size <= ASKED_ONE_BY_ONE) return super.findMany(subjects);
    const rows = await this.pages<ClientRow>('/clients?');
    // A list that changes while it is paged through may name one twice.
    const found = rows.flatMap((row) => sessionOf(row, (clientId) => subjects.has(subjectOfClient(clientId))));
    return [...new Map(found.map((session) => [session.clientId, session])).values()];
  }

  async ban(clientId: string, seconds: number, reason: string): Promise<void> {
    const ban = { as: 'clientid', who: clientId, by: BY, reason, until: new Date(Date.now() + seconds * 1000).toISOString() };
    const first = await this.call('POST', '/banned', ban);
    if (first.ok) return;
    // There is no update: an older ban is taken away and made anew.
    if (first.status !== 400) throw this.refused('POST /banned', first.status);
    await this.unban(clientId);
    const second = await this.call('POST', '/banned', ban);
    if (!second.ok) throw this.refused('POST /banned', second.status);
  }

  async unban(clientId: string): Promise<void> {
    const { ok, status } = await this.call('DELETE', `/banned/clientid/${encodeURIComponent(clientId)}`);
    if (!ok && status !== 404) throw this.refused('DELETE /banned', status);
  }

  async bans(subject: string): Promise<string[]> {
    const rows = await this.pages<BanRow>('/banned?');
    return rows.flatMap(({ as, who, by }) => (as === 'clientid' && by === BY && typeof who === 'string' && belongsTo(who, subject) ? [who] : []));
  }

  async kick(clientId: string): Promise<void> {
    const { ok, status } = await this.call('DELETE', `/clients/${encodeURIComponent(clientId)}`);
    if (!ok && status !== 404) throw this.refused('DELETE /clients', status);
  }

  /** In one call, which EMQX has since 5.1; before that one by one. */
  override async kickMany(clientIds: readonly string[]): Promise<void> {
    for (let from = 0; from < clientIds.length; from += PAGE) {
      const some = clientIds.slice(from, from + PAGE);
      const { ok, status } = await this.call('POST', '/clients/kickout/bulk', some);
      if (ok) continue;
      if (status !== 404 && status !== 405) throw this.refused('POST /clients/kickout/bulk', status);
      await super.kickMany(some);
    }
  }

  /** Node-wide caches exist from 5.9 on; before that the calls answer 404, and there is nothing to reset. */
  async resetCaches(): Promise<void> {
    for (const path of ['/authentication/node_cache/reset', '/authorization/node_cache/reset']) {
      const { ok, status } = await this.call('POST', path);
      if (!ok && status !== 404) throw this.refused(`POST ${path}`, status);
    }
  }

  private async pages<T>(path: string): Promise<T[]> {
    const rows: T[] = [];
    for (let page = 1; page <= MAX_PAGES; page += 1) {
      const answer = await this.call('GET', `${path}&page=${page}&limit=${PAGE}`);
      if (!answer.ok) throw this.refused(`GET ${path}`, answer.status);
      const { data, meta } = answer.body as Paged<T>;
      if (!Array.isArray(data)) throw new Error(`EMQX answered GET ${path} without a list`);
      rows.push(...(data as T[]));
      if (!(meta?.hasnext ?? data.length === PAGE)) return rows;
    }
    throw new Error(`EMQX lists more than ${MAX_PAGES * PAGE} entries for GET ${path}`);
  }

  private async call(method: string, path: string, body?: object): Promise<{ ok: boolean; status: number; body: unknown }> {
    const response = await fetch(this.base + path, {
      method,
      headers: { authorization: this.authorization, accept: 'application/json', ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
      redirect: 'error',
      signal: AbortSignal.timeout(this.api.timeoutMs ?? TIMEOUT_MS),
    });
    const text = await response.text();
    return { ok: response.ok, status: response.status, body: text === '' ? null : parsed(text) };
  }

  private refused(what: string, status: number): Error {
    return new Error(`EMQX answered ${status} to ${what}`);
  }
}

function sessionOf({ clientid, client_attrs: attributes }: ClientRow, wanted: (clientId: string) => boolean): LiveSession[] {
  if (typeof clientid !== 'string' || !wanted(clientid)) return [];
  const version = Number(attributes?.ver);
  return [{ clientId: clientid, factsVersion: attributes?.ver !== undefined && Number.isSafeInteger(version) ? version : null }];
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
