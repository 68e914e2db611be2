export interface InternalAnswer {
  readonly status: number;
  /** JSON text; left out where there is no body. */
  readonly json?: string;
}

/** Reads the body by hand, like every question on the internal listener. A throw is answered 500 without a word. */
export type InternalHandler = (body: Buffer, contentType: string) => Promise<InternalAnswer>;

/**
 * Further POST paths of the internal listener, behind its secret. The room that owns the listener and those that want a path on it
 * are neighbours and do not know each other.
 */
export class InternalRoutes {
  private readonly handlers = new Map<string, InternalHandler>();

  register(path: string, handler: InternalHandler): void {
    this.handlers.set(path, handler);
  }

  find(path: string): InternalHandler | undefined {
    return this.handlers.get(path);
  }
}
