import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface ReceivedMail {
  readonly to: string;
  readonly text: string;
}

/** A mail server that takes everything (RFC 5321, as much of it as one client speaks) and keeps it. */
export class FakeSmtp {
  readonly mails: ReceivedMail[] = [];

  private constructor(private readonly server: Server) {}

  static async start(): Promise<FakeSmtp> {
    const server = createServer();
    const fake = new FakeSmtp(server);
    server.on('connection', (socket) => fake.talk(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return fake;
  }

  get url(): string {
    return `smtp://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Tokens of this kind in mails to the address, oldest first. */
  tokens(to: string, prefix: string): string[] {
    const pattern = new RegExp(`#token=(${prefix}[A-Za-z0-9_-]+)`);
    return this.mails.filter((mail) => mail.to === to).flatMap(({ text }) => pattern.exec(text)?.[1] ?? []);
  }

  async stop(): Promise<void> {
    this.server.close();
    await once(this.server, 'close');
  }

  private talk(socket: Socket): void {
    let to = '';
    let data: string[] | null = null;
    let rest = '';
    socket.on('error', () => undefined);
    socket.write('220 fake\r\n');
    socket.on('data', (chunk) => {
      const lines = (rest + chunk.toString('utf8')).split('\r\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (data !== null) {
          if (line !== '.') {
            data.push(line);
            continue;
          }
          // Quoted-printable (RFC 2045 §6.7): soft line breaks, then the one escape that a link can hold.
          this.mails.push({ to, text: data.join('\n').replaceAll('=\n', '').replaceAll('=3D', '=') });
          data = null;
          socket.write('250 kept\r\n');
        } else if (/^DATA/i.test(line)) {
          data = [];
          socket.write('354 go on\r\n');
        } else {
          to = /^RCPT TO:<([^>]*)>/i.exec(line)?.[1] ?? to;
          socket.write(/^QUIT/i.test(line) ? '221 bye\r\n' : '250 ok\r\n');
        }
      }
    });
  }
}
