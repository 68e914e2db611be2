import { readlinkSync } from 'node:fs';
import os from 'node:os';
import { parentPort, Worker } from 'node:worker_threads';

interface Question<Q> {
  readonly number: number;
  readonly question: Q;
}

type Answer<A> = { readonly number: number } & ({ readonly answer: A } | { readonly fault: string });

interface Asker<A> {
  readonly resolve: (answer: A) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * A thread that answers questions, for what would hold the event loop up: the loop goes first, however much there is to do here. Started at the first question, and anew after its end. What goes in and out is copied: plain objects, text, numbers and
 * dates; bytes as `packed`.
 */
export class Thread<Q, A> {
  private worker: Worker | null = null;
  private readonly asked = new Map<number, Asker<A>>();
  private next = 0;

  /**
   * @param file URL of the compiled module that calls `answerQuestions`
   * @param limitMs a thread that is silent for so long is ended
   */
  constructor(
    private readonly file: URL,
    private readonly limitMs: number,
  ) {}

  /** @throws when the answer failed, and when the thread ended before it was there */
  ask(question: Q): Promise<A> {
    const worker = this.running();
    const number = this.next;
    this.next += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => void this.end(worker, new Error('the thread did not answer in time')), this.limitMs);
      if (this.asked.size === 0) worker.ref();
      this.asked.set(number, { resolve, reject, timer });
      worker.postMessage({ number, question } satisfies Question<Q>);
    });
  }

  async stop(): Promise<void> {
    if (this.worker !== null) await this.end(this.worker, new Error('the thread was stopped'));
  }

  private running(): Worker {
    if (this.worker !== null) return this.worker;
    const worker = new Worker(this.file);
    // Nobody's question: no reason for the process to stay.
    worker.unref();
    worker.on('message', (answer: Answer<A>) => this.settle(worker, answer));
    worker.on('error', (error: Error) => void this.end(worker, error));
    worker.on('exit', () => void this.end(worker, new Error('the thread has ended')));
    this.worker = worker;
    return worker;
  }

  private settle(worker: Worker, answer: Answer<A>): void {
    const asker = this.asked.get(answer.number);
    if (asker === undefined) return;
    this.asked.delete(answer.number);
    clearTimeout(asker.timer);
    if (this.asked.size === 0) worker.unref();
    if ('answer' in answer) asker.resolve(answer.answer);
    else asker.reject(new Error(answer.fault));
  }

  private async end(worker: Worker, error: Error): Promise<void> {
    if (this.worker !== worker) return;
    this.worker = null;
    const left = [...this.asked.values()];
    this.asked.clear();
    for (const { reject, timer } of left) {
      clearTimeout(timer);
      reject(error);
    }
    await worker.terminate();
  }
}

/** The other side, called once in the module that the thread runs. The event loop goes before it where both want the same processor. */
export function answerQuestions<Q, A>(answer: (question: Q) => Promise<A>): void {
  const port = parentPort;
  if (port === null) throw new Error('this module is for a thread');
  stepBack();
  port.on('message', ({ number, question }: Question<Q>) => {
    void answer(question).then(
      (given): Answer<A> => ({ number, answer: given }),
      (error: unknown): Answer<A> => ({ number, fault: error instanceof Error ? error.message : String(error) }),
    ).then((message) => port.postMessage(message));
  });
}

/** Linux keeps a priority for each thread, under a number that Node does not tell; elsewhere the thread stays as it is. */
function stepBack(): void {
  if (process.platform !== 'linux') return;
  try {
    os.setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), os.constants.priority.PRIORITY_LOW);
  } catch {
    // Where /proc is not to be seen, or somebody took the right away: it works all the same.
  }
}

/**
 * A thread runs what was compiled. Where modules are compiled in memory, by a test runner, it runs what the last build left.
 * @param module relative to `base`, the URL of the module that asks
 */
export function compiled(module: string, base: string): URL {
  const { href } = new URL(module, base);
  if (!base.endsWith('.ts')) return new URL(href);
  const at = href.lastIndexOf('/src/');
  return new URL(`${href.slice(0, at)}/dist/${href.slice(at + '/src/'.length)}`);
}

/** Bytes on their way to another thread, as text: every `Uint8Array` would bring memory of its own along, which the collector pays for. */
export function packed(bytes: Buffer): string {
  return bytes.toString('latin1');
}

export function unpacked(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
