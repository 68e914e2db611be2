/** A set of environment variables, as the process or a test gives it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The one place that reads `process.env`; everything else is handed a `Config`. */
export function processEnvironment(): Environment {
  return { ...process.env };
}
