import type { Clock } from '../clock/clock.js';
import { logger } from '../telemetry/logger.js';
import type { KeyValueStore } from './key-value.js';
import { MemoryStore } from './memory-store.js';
import { RedisStore } from './redis-store.js';

/**
 * The store that the configuration asks for: Redis where a URL is given, else the one of this process.
 * A Redis that is down does not stop the start: it is tried for ever, and until then all that has
 * another source goes on without it. What it says of its eviction policy goes to the log.
 */
export async function openStore(url: string | undefined, clock: Clock): Promise<KeyValueStore> {
  if (url === undefined) return new MemoryStore({ clock });
  const store = new RedisStore({
    url,
    onEvent: ({ connection, up, reason }) => {
      if (up) logger.info({ connection }, 'redis: connected');
      else logger.error({ connection, reason }, 'redis: connection lost; trying again');
    },
  });
  await store.connect();
  const { problem } = await store.checkEviction();
  if (problem !== null) logger.error(`redis: ${problem}`);
  return store;
}
