import http from 'node:http';

export interface ServerEvent {
  readonly id?: string;
  readonly event?: string;
  readonly data: Record<string, unknown>;
}

/** A reader of server-sent events (HTML Living Standard, §9.2). */
export class EventReader {
  private text = '';
  private readonly chunks: AsyncIterator<Buffer>;

  private constructor(private readonly response: http.IncomingMessage) {
    this.chunks = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  get status(): number {
    return this.response.statusCode ?? 0;
  }

  /** Not `fetch`: when it is aborted it connects anew and says nothing, and a server that stops waits for the request. */
  static async open(url: string, headers: Record<string, string>): Promise<EventReader> {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http.get(url, { headers, agent: false }, resolve).on('error', reject);
    });
    // A reader that was closed on purpose.
    response.on('error', () => undefined);
    if (response.statusCode === 200) {
      expect(response.headers['content-type']).toMatch(/^text\/event-stream/);
      expect(response.headers['cache-control']).toBe('no-store');
    }
    return new EventReader(response);
  }

  /** The next event; comments are passed over. `null`: the server ended the stream. */
  async next(): Promise<ServerEvent | null> {
    for (;;) {
      const end = this.text.indexOf('\n\n');
      if (end !== -1) {
        const lines = this.text.slice(0, end).split('\n');
        this.text = this.text.slice(end + 2);
        const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const data = field('data');
        if (data === undefined) continue;
        return { id: field('id'), event: field('event'), data: JSON.parse(data) as Record<string, unknown> };
      }
      const { value, done } = await this.chunks.next();
      if (done) return null;
      this.text += value.toString('utf8');
    }
  }

  /** The next event that names this device. */
  async about(deviceId: string): Promise<ServerEvent> {
    for (;;) {
      const event = await this.next();
      if (event === null) throw new Error('the stream ended');
      if (event.data['deviceId'] === deviceId) return event;
    }
  }

  /** The server's last word; what comes before it is passed over. */
  async end(): Promise<ServerEvent> {
    for (;;) {
      const event = await this.next();
      if (event === null) throw new Error('the stream ended without a word');
      if (event.event === 'end') return event;
    }
  }

  close(): void {
    this.response.destroy();
  }
}
