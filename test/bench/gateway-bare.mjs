/** What the gateway is compared with: an mqtt.js subscriber that acknowledges and counts. */
import { connectAsync } from 'mqtt';
import { serve } from './child.mjs';

let client;
let heard = 0;

serve({
  async open({ url, filter }) {
    client = await connectAsync(url, { protocolVersion: 5 });
    client.on('message', () => (heard += 1));
    await client.subscribeAsync(filter, { qos: 1 });
  },
  heard: () => heard,
}, () => client?.endAsync(true));
