import net from 'node:net';

/** Stands between a client and a server on loopback and breaks the way on order. */
export class FlakyProxy {
  private readonly pairs = new Set<readonly [net.Socket, net.Socket]>();
  private readonly server: net.Server;
  private refusing = false;
  private frozen = false;
  private delayMs = 0;
  /** Answers kept back while `hold` lasts. */
  private held: (() => void)[] | undefined;

  private constructor(private target: { readonly host: string; readonly port: number }) {
    this.server = net.createServer((client) => this.accept(client));
  }

  static async before(url: string): Promise<FlakyProxy> {
    const proxy = new FlakyProxy(targetOf(url));
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

  /** Whoever comes from now on is led to this server. */
  lead(url: string): void {
    this.target = targetOf(url);
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

  /** What is connected stays so; whoever comes anew is turned away. */
  refuseNew(): void {
    this.refusing = true;
  }

  /** Every piece of an answer takes this long on its way back: a partner that is slow. */
  slow(ms: number): void {
    this.delayMs = ms;
  }

  /** Questions pass, answers wait until `release`. */
  hold(): void {
    this.held ??= [];
  }

  /** How many pieces of answers wait. */
  get holding(): number {
    return this.held?.length ?? 0;
  }

  release(): void {
    const waiting = this.held ?? [];
    this.held = undefined;
    for (const deliver of waiting) deliver();
  }

  /** From here on new connections work. Those that were frozen stay silent until their owner gives them up. */
  heal(): void {
    this.refusing = false;
    this.frozen = false;
    this.delayMs = 0;
    this.release();
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
    server.on('data', (bytes: Buffer) => {
      const deliver = (): void => pass(client)(bytes);
      if (this.held) this.held.push(deliver);
      // Timers of one length fire in the order in which they were set, so the order of the bytes stays.
      else if (this.delayMs > 0) setTimeout(deliver, this.delayMs);
      else deliver();
    });
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

function targetOf(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port || 6379) };
}
