import net from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

export interface FloodResult {
  readonly allow: number;
  readonly deny: number;
  /** Anything that is neither: another status, another body. */
  readonly other: readonly string[];
}

const HEAD_END = Buffer.from('\r\n\r\n');

/** Sends requests over kept connections, several under way on each, as EMQX does, and counts the answers. */
export async function flood(
  port: number,
  requests: Iterator<Buffer>,
  { connections = 8, pipelining = 16 }: { connections?: number; pipelining?: number } = {},
): Promise<FloodResult> {
  const count = { allow: 0, deny: 0, other: [] as string[] };
  await Promise.all(Array.from({ length: connections }, () => drive(port, requests, pipelining, (answer) => {
    if (answer.startsWith('200 {"result":"allow"')) count.allow += 1;
    else if (answer.startsWith('200 {"result":"deny"')) count.deny += 1;
    else if (count.other.length < 10) count.other.push(answer);
  })));
  return count;
}

function drive(port: number, requests: Iterator<Buffer>, pipelining: number, answered: (answer: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    let underWay = 0;
    let rest: Buffer = Buffer.alloc(0);
    const send = (): void => {
      socket.cork();
      for (; underWay < pipelining; underWay += 1) {
        const { value, done } = requests.next();
        if (done === true) break;
        socket.write(value);
      }
      socket.uncork();
      if (underWay === 0) socket.end(resolve);
    };
    socket.once('connect', send).once('error', reject);
    socket.once('close', () => (underWay > 0 ? reject(new Error('the door closed a connection')) : resolve()));
    socket.on('data', (chunk: Buffer) => {
      let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (let end = bytes.indexOf(HEAD_END); end !== -1; end = bytes.indexOf(HEAD_END)) {
        const head = bytes.toString('latin1', 0, end);
        const next = end + 4 + Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
        if (bytes.length < next) break;
        answered(`${head.slice(9, 12)} ${bytes.toString('utf8', end + 4, next)}`);
        underWay -= 1;
        bytes = bytes.subarray(next);
      }
      rest = bytes;
      send();
    });
  });
}

/** Bytes of the heap that are in use after everything that can be let go of was let go of. */
export function heapInUse(): number {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  gc();
  gc();
  return process.memoryUsage().heapUsed;
}

/** Asks again until it holds, or a bounded time is over. */
export async function eventually(holds: () => Promise<boolean>, withinMs = 5_000): Promise<boolean> {
  for (const end = performance.now() + withinMs; performance.now() < end;) {
    if (await holds()) return true;
  }
  return false;
}
