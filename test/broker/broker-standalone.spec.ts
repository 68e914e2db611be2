import { runStandaloneBroker } from '../../src/embedded/broker-standalone.js';
import { TestClient } from '../fakes/mqtt-client.js';
import { ScriptedCallbacks } from '../fakes/scripted-callbacks.js';

describe('the broker as a process of its own', () => {
  it('serves until it is told to stop', async () => {
    const callbacks = await ScriptedCallbacks.start();
    const nothing = (): void => undefined;
    let running: Promise<void> | undefined;
    const port = await new Promise<number>((resolve) => {
      const info = (fields: object): void => resolve((fields as { port: number }).port);
      running = runStandaloneBroker({
        host: '127.0.0.1',
        port: 0,
        callbackUrl: callbacks.url,
        internalSecret: 's',
        logger: { debug: nothing, info, warn: nothing, error: nothing },
      });
    });
    const client = await TestClient.connect(port, { clientId: 'a', username: 'a' });
    process.emit('SIGTERM');
    await running;
    await client.closed;
    await callbacks.stop();
  });
});
