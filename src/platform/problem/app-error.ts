/** One entry of a room's error catalogue. `meaning` is what `docs/errors.md` tells an operator. */
export interface ErrorDefinition {
  /** HTTP status with which the REST edge renders the error. */
  readonly status: number;
  /** Short, stable summary: the same for every occurrence (RFC 9457 §3.1.3). */
  readonly title: string;
  readonly meaning: string;
}

export type ErrorCatalogue = Readonly<Record<string, ErrorDefinition>>;

/** A field of the request that was refused; `path` as `rules.0.topic`. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

export interface AppErrorOptions {
  /** Told to the caller. */
  readonly detail?: string;
  /** For the log only. */
  readonly internal?: string;
  readonly errors?: readonly FieldError[];
  /** Response headers, `Retry-After` for one. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/**
 * The one internal error: a code out of a catalogue, a text for the caller and another for the log.
 * It is rendered to problem+json (RFC 9457) at the REST edge only.
 */
export class AppError extends Error {
  readonly status: number;
  readonly title: string;
  readonly detail?: string;
  readonly internal?: string;
  readonly errors?: readonly FieldError[];
  readonly headers?: Readonly<Record<string, string>>;

  constructor(
    readonly code: string,
    definition: ErrorDefinition,
    options: AppErrorOptions = {},
  ) {
    super(options.internal ?? options.detail ?? definition.title, { cause: options.cause });
    this.name = 'AppError';
    this.status = definition.status;
    this.title = definition.title;
    this.detail = options.detail;
    this.internal = options.internal;
    this.errors = options.errors;
    this.headers = options.headers;
  }
}

/** Binds a catalogue to a constructor, so that a code that is not listed does not compile. */
export function errorsOf<T extends ErrorCatalogue>(
  catalogue: T,
): (code: keyof T & string, options?: AppErrorOptions) => AppError {
  return (code, options) => {
    const definition = catalogue[code];
    if (!definition) throw new Error(`error code ${code} is not in its catalogue`);
    return new AppError(code, definition, options);
  };
}

/** Whether a thrown thing is one of ours with this code. */
export function isAppError(error: unknown, code?: string): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code);
}
