import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the scripted server does with one question. */
export type ScriptedReply =
  | { readonly json: unknown; readonly status?: number; readonly contentType?: string | null }
  | { readonly text: string; readonly status?: number; readonly contentType?: string | null }
  | 'hang'
  | 'drop';

export interface RecordedQuestion {
  readonly hook: 'mqtt-auth' | 'mqtt-acl';
  readonly method: string | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Record<string, string>;
}

type Script = (body: Record<string, string>) => ScriptedReply | Promise<ScriptedReply>;

/** Stands for the internal listener: records what a broker asks and answers as the test says. */
export class ScriptedCallbacks {
  readonly questions: RecordedQuestion[] = [];
  /** Accepted since the start. */
  connections = 0;
  openConnections = 0;
  onAuth: Script = () => ({ json: { result: 'allow' } });
  onAcl: Script = () => ({ json: { result: 'deny' } });

  private constructor(private readonly server: http.Server) {}

  static async start(): Promise<ScriptedCallbacks> {
    const server = http.createServer((request, response) => void scripted.handle(request, response));
    const scripted = new ScriptedCallbacks(server);
    server.on('connection', (socket) => {
      scripted.connections += 1;
      scripted.openConnections += 1;
      socket.once('close', () => (scripted.openConnections -= 1));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return scripted;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  of(hook: RecordedQuestion['hook']): Record<string, string>[] {
    return this.questions.filter((question) => question.hook === hook).map((question) => question.body);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private async handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const hook = request.url === '/api/v1/internal/mqtt-auth' ? 'mqtt-auth' : 'mqtt-acl';
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, string>;
    this.questions.push({ hook, method: request.method, headers: request.headers, body });
    const reply = await (hook === 'mqtt-auth' ? this.onAuth : this.onAcl)(body);
    if (reply === 'hang') return;
    if (reply === 'drop') {
      request.socket.destroy();
      return;
    }
    const { status = 200, contentType = 'application/json' } = reply;
    response.writeHead(status, contentType === null ? {} : { 'content-type': contentType });
    response.end(status === 204 ? undefined : 'json' in reply ? JSON.stringify(reply.json) : reply.text);
  }
}
