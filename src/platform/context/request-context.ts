import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * What is known about a request before anybody is authenticated. Ambient for logs and audit only, never for decisions; but that a request
 * only reads is said here, so that no transaction of it can forget it.
 */
export interface RequestContext {
  readonly requestId: string;
  /** Client address after `TRUST_PROXY` was applied. */
  readonly ip: string;
  readonly userAgent?: string;
  /** Its transactions run under the database role that can only read. Said by `readOnly`, never taken back. */
  readsOnly?: true;
}

const storage = new AsyncLocalStorage<RequestContext>();

/** The current request, or `undefined` outside of one (jobs, start-up). */
export function requestContext(): RequestContext | undefined {
  return storage.getStore();
}

/** From here on the current request can change nothing. @throws outside of a request: what could not be held is not promised. */
export function readOnly(): void {
  const context = storage.getStore();
  if (context === undefined) throw new Error('there is no request to keep from writing');
  context.readsOnly = true;
}

/** Requests whose context is open. */
let open = 0;

/** Runs `work` and all that it awaits inside the context. Whoever opens one for a request says `requestOver` when it has ended. */
export function withRequestContext<T>(context: RequestContext, work: () => T): T {
  open += 1;
  return storage.run(context, work);
}

/** Runs `work` as jobs run, without a request: for what is done for several of them at once. */
export function outsideRequests<T>(work: () => T): T {
  return storage.exit(work);
}

/**
 * Closes a request's context. With the last one the storage is switched off until the next request: while it is on, Node follows
 * every tick, socket and promise of the process, and each answer at the broker's door costs a microsecond or two more.
 * Work that outlives all requests then runs without a context, as jobs do.
 */
export function requestOver(): void {
  open -= 1;
  if (open === 0) storage.disable();
}
