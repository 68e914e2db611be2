import { once } from 'node:events';
import { EmbeddedBroker } from './broker.js';
import type { BrokerOptions } from './broker-types.js';

/**
 * The embedded broker as a process of its own: runs until SIGINT or SIGTERM, then stops cleanly. Rejects with one
 * sentence if the port cannot be had. Nobody can kick or ban from another process: connections end at `expire_at`.
 */
export async function runStandaloneBroker(options: BrokerOptions): Promise<void> {
  const broker = await EmbeddedBroker.start(options);
  options.logger.info({ host: options.host, port: broker.port, callbackUrl: options.callbackUrl }, 'MQTT broker is up');
  const listening = new AbortController();
  const signal = listening.signal;
  await Promise.race([once(process, 'SIGINT', { signal }), once(process, 'SIGTERM', { signal })]);
  listening.abort();
  await broker.stop();
}
