import net from 'node:net';

/** Stands between a client and a server on loopback and breaks the way on order. */
export class FlakyProxy {
  private readonly pairs = new Set<readonly [net.Socket, net.Socket]>();
  private readonly server: net.Server;
  private refusing = false;
  private frozen = false;

  private constructor(private readonly target: { readonly host: string; readonly port: number }) {
    this.server = net.createServer((client) => this.accept(client));
  }

  static async before(url: string): Promise<FlakyProxy> {
    const { hostname, port } = new URL(url);
    const proxy = new FlakyProxy({ host: hostname, port: Number(port || 6379) });
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }

  /** The same URL, by way of the proxy. */
  route(url: string): string {
    const routed = new URL(url);
    routed.hostname = '127.0.0.1';
    routed.port = String(this.port);
    return routed.href;
  }

  /** Ends all connections and every new one at once. */
  cut(): void {
    this.refusing = true;
    this.drop();
  }

  /** Connections stay open and new ones are accepted, but nothing passes: a partner that hangs. */
  freeze(): void {
    this.frozen = true;
  }

  /** From here on new connections work. Those that were frozen stay silent until their owner gives them up. */
  heal(): void {
    this.refusing = false;
    this.frozen = false;
  }

  async close(): Promise<void> {
    this.drop();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private drop(): void {
    for (const [client, server] of this.pairs) {
      client.destroy();
      server.destroy();
    }
    this.pairs.clear();
  }

  private accept(client: net.Socket): void {
    if (this.refusing) {
      client.destroy();
      return;
    }
    const server = net.connect(this.target);
    const pair = [client, server] as const;
    this.pairs.add(pair);
    let silent = false;
    const pass = (to: net.Socket) => (bytes: Buffer): void => {
      silent ||= this.frozen;
      if (!silent) to.write(bytes);
    };
    client.on('data', pass(server));
    server.on('data', pass(client));
    for (const socket of pair) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.pairs.delete(pair);
        client.destroy();
        server.destroy();
      });
    }
  }
}
