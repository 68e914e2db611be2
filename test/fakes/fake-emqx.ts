import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Ban {
  readonly as: string;
  readonly who: string;
  readonly by: string;
  readonly until: string;
}

/** How the server behaves from now on. */
export type Mood = 'well' | 'silent' | 'failing' | 'garbage' | 'closed';

/** Calls of EMQX's management API that ejections use, with the answers that EMQX's sources give, and its failures. */
export class FakeEmqx {
  readonly calls: string[] = [];
  readonly clients = new Map<string, { ver?: string }>();
  readonly bans = new Map<string, Ban>();
  mood: Mood = 'well';
  /** Page size at most, whatever is asked for. */
  pageLimit = 1000;
  /** Node caches exist from 5.9 on. */
  nodeCaches = false;
  /** Since 5.1. */
  bulkKick = true;
  private readonly server: Server;

  private constructor(readonly key: string, readonly secret: string) {
    this.server = createServer((request, response) => void this.handle(request, response));
  }

  static async start(key = 'portcullis', secret = 'api-secret'): Promise<FakeEmqx> {
    const emqx = new FakeEmqx(key, secret);
    await new Promise<void>((resolve) => emqx.server.listen(0, '127.0.0.1', resolve));
    return emqx;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? '/', 'http://emqx');
    this.calls.push(`${request.method} ${url.pathname.replace('/api/v5', '')}`);
    const send = (status: number, body?: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(body === undefined ? undefined : JSON.stringify(body));
    };
    switch (this.mood) {
      case 'silent':
        return;
      case 'failing':
        return send(503, { code: 'SERVICE_UNAVAILABLE' });
      case 'garbage':
        return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
      case 'closed':
        return void request.socket.destroy();
      case 'well':
    }
    const expected = `Basic ${Buffer.from(`${this.key}:${this.secret}`).toString('base64')}`;
    if (request.headers.authorization !== expected) return send(401, { code: 'BAD_API_KEY_OR_SECRET' });
    this.answer(request.method ?? '', url, Buffer.concat(chunks).toString('utf8'), send);
  }

  private answer(method: string, url: URL, body: string, send: (status: number, body?: unknown) => void): void {
    const path = url.pathname.replace('/api/v5', '');
    const last = decodeURIComponent(path.split('/').at(-1) ?? '');
    if (method === 'GET' && path === '/clients') {
      const like = url.searchParams.get('like_clientid') ?? '';
      const rows = [...this.clients].filter(([id]) => id.includes(like)).map(([clientid, attrs]) => ({ clientid, connected: true, client_attrs: attrs }));
      return send(200, this.page(rows, url));
    }
    if (method === 'GET' && path === '/banned') return send(200, this.page([...this.bans.values()], url));
    if (method === 'POST' && path === '/banned') {
      const ban = JSON.parse(body) as Ban;
      if (Date.parse(ban.until) <= Date.now()) return send(400, { code: 'BAD_REQUEST' });
      if (this.bans.has(ban.who)) return send(400, { code: 'ALREADY_EXISTS' });
      this.bans.set(ban.who, ban);
      return send(200, ban);
    }
    if (method === 'DELETE' && path.startsWith('/banned/clientid/')) return this.bans.delete(last) ? send(204) : send(404, { code: 'NOT_FOUND' });
    if (method === 'POST' && path === '/clients/kickout/bulk') {
      if (!this.bulkKick) return send(404, { code: 'NOT_FOUND' });
      for (const id of JSON.parse(body) as string[]) this.clients.delete(id);
      return send(204);
    }
    if (method === 'DELETE' && path.startsWith('/clients/')) return this.clients.delete(last) ? send(204) : send(404, { code: 'CLIENTID_NOT_FOUND' });
    if (method === 'POST' && path.endsWith('/node_cache/reset')) return this.nodeCaches ? send(204) : send(404, { code: 'NOT_FOUND' });
    send(404, { code: 'NOT_FOUND' });
  }

  private page(rows: readonly unknown[], url: URL): object {
    const limit = Math.min(Number(url.searchParams.get('limit') ?? 100), this.pageLimit);
    const page = Number(url.searchParams.get('page') ?? 1);
    const data = rows.slice((page - 1) * limit, page * limit);
    return { data, meta: { page, limit, count: rows.length, hasnext: page * limit < rows.length } };
  }
}
