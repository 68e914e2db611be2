import { processEnvironment } from './platform/config/environment.js';
import { logger } from './platform/telemetry/logger.js';
import { startRuntime, type Runtime } from './runtime.js';
import { welcome } from './welcome.js';

const STOP_LIMIT_MS = 15_000;

let runtime: Runtime | undefined;
let stopping = false;

/** Stops in order; a second signal, or a stop that hangs, ends the process at once. */
function stopOn(signal: string, code: number): void {
  if (stopping) process.exit(code === 0 ? 1 : code);
  stopping = true;
  logger.info({ signal }, 'stopping');
  setTimeout(() => process.exit(1), STOP_LIMIT_MS).unref();
  const stopped = runtime ? runtime.stop() : Promise.resolve();
  void stopped.finally(() => process.exit(code));
}

process.on('SIGTERM', () => stopOn('SIGTERM', 0));
process.on('SIGINT', () => stopOn('SIGINT', 0));
process.on('unhandledRejection', (reason) => {
  logger.fatal({ err: reason }, 'a promise was rejected and nobody looked');
  stopOn('unhandledRejection', 1);
});

try {
  runtime = await startRuntime(processEnvironment(), (error) => {
    logger.fatal({ err: error }, 'a part that cannot be done without has gone');
    stopOn('fatal', 1);
  });
  if (!runtime.config.production) process.stdout.write(welcome(runtime));
} catch (error) {
  process.stderr.write(`\n${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
