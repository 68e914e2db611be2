import net from 'node:net';

/** A line to a server that a test can cut and mend: cut, it refuses connections and resets those that are open. */
export interface CutLine {
  readonly port: number;
  cut(): Promise<void>;
  mend(): Promise<void>;
  close(): Promise<void>;
}

export async function openCutLine(host: string, port: number): Promise<CutLine> {
  const sockets = new Set<net.Socket>();
  const accept = (client: net.Socket): void => {
    const server = net.connect(port, host);
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => sockets.delete(socket));
    }
    client.pipe(server);
    server.pipe(client);
  };
  const listen = (on: number): Promise<net.Server> => new Promise((resolve, reject) => {
    const server = net.createServer(accept).once('error', reject).listen(on, '127.0.0.1', () => resolve(server));
  });
  const cut = (): Promise<void> => new Promise((resolve) => {
    for (const socket of sockets) socket.resetAndDestroy();
    if (listener.listening) listener.close(() => resolve());
    else resolve();
  });
  let listener = await listen(0);
  const own = (listener.address() as net.AddressInfo).port;
  return { port: own, cut, mend: async () => { listener = await listen(own); }, close: cut };
}
