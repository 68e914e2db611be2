import { AsyncLocalStorage } from 'node:async_hooks';

/** What is known about a request before anybody is authenticated. Ambient for logs and audit only, never for decisions. */
export interface RequestContext {
  readonly requestId: string;
  /** Client address after `TRUST_PROXY` was applied. */
  readonly ip: string;
  readonly userAgent?: string;
}

const storage = new AsyncLocalStorage<RequestContext>();

/** The current request, or `undefined` outside of one (jobs, start-up). */
export function requestContext(): RequestContext | undefined {
  return storage.getStore();
}

/** Runs `work` and all that it awaits inside the context. */
export function withRequestContext<T>(context: RequestContext, work: () => T): T {
  return storage.run(context, work);
}
