import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { compiled, packed, Thread, unpacked } from './thread.js';

const built = compiled('./thread.js', pathToFileURL(path.join(process.cwd(), 'src/platform/work/thread.spec.ts')).href).href;

/** Answers what is in the question: a square, an error, its own end, or nothing ever. */
const PROGRAM = `
import { readFileSync } from 'node:fs';
import { answerQuestions, packed, unpacked } from '${built}';
answerQuestions(async (question) => {
  if (question === 'throw') throw new Error('cannot');
  if (question === 'exit') process.exit(3);
  if (question === 'hang') for (;;);
  if (question === 'nice') return Number(readFileSync('/proc/thread-self/stat', 'latin1').split(') ')[1].split(' ')[16]);
  if (typeof question === 'string') return packed(unpacked(question).reverse());
  return question * question;
});
`;

describe('Thread', () => {
  let folder: string;
  let threads: Thread<unknown, unknown>[] = [];

  const open = async (program = PROGRAM, limitMs = 60_000): Promise<Thread<unknown, unknown>> => {
    const file = path.join(folder, 'program.mjs');
    await writeFile(file, program);
    const thread = new Thread(pathToFileURL(file), limitMs);
    threads.push(thread);
    return thread;
  };

  beforeEach(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'thread-'));
  });

  afterEach(async () => {
    await Promise.all(threads.map((thread) => thread.stop()));
    threads = [];
    await rm(folder, { recursive: true });
  });

  it('is the module beside the one that asks, wherever that was installed, and the built one of a source', () => {
    expect(compiled('./a.thread.js', 'file:///home/me/src/portcullis/dist/pki/a.js').href).toBe('file:///home/me/src/portcullis/dist/pki/a.thread.js');
    expect(compiled('./a.thread.js', 'file:///home/me/src/portcullis/src/pki/a.ts').href).toBe('file:///home/me/src/portcullis/dist/pki/a.thread.js');
  });

  it('answers each question, however many are asked at once', async () => {
    const thread = await open();
    expect(await Promise.all(Array.from({ length: 100 }, (_, n) => thread.ask(n)))).toEqual(Array.from({ length: 100 }, (_, n) => n * n));
  });

  it('tells of an error, and goes on', async () => {
    const thread = await open();
    await expect(thread.ask('throw')).rejects.toThrow('cannot');
    expect(await thread.ask(3)).toBe(9);
  });

  it('that ends fails what was asked, and is there again for what comes next', async () => {
    const thread = await open();
    expect(await thread.ask(2)).toBe(4);
    const [first, second] = [thread.ask('exit'), thread.ask(5)];
    await expect(first).rejects.toThrow('the thread has ended');
    await expect(second).rejects.toThrow('the thread has ended');
    expect(await thread.ask(6)).toBe(36);
  });

  it('that cannot be started fails what was asked', async () => {
    const thread = await open('throw new Error("broken")');
    await expect(thread.ask(1)).rejects.toThrow('broken');
  });

  it('that never answers is ended, and started anew', async () => {
    const thread = await open(PROGRAM, 300);
    await expect(thread.ask('hang')).rejects.toThrow('did not answer in time');
    expect(await (await open()).ask(7)).toBe(49);
  });

  it('stopped, fails what was asked', async () => {
    const thread = await open();
    const asked = thread.ask('hang');
    const stopped = thread.stop();
    await expect(asked).rejects.toThrow('the thread was stopped');
    await stopped;
  });

  it('is given bytes and gives them, each value as it is', async () => {
    const thread = await open();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
    expect(unpacked((await thread.ask(packed(bytes))) as string)).toEqual(Buffer.from(bytes).reverse());
  });

  (process.platform === 'linux' ? it : it.skip)('goes behind the event loop where both want one processor', async () => {
    const thread = await open();
    expect(await thread.ask('nice')).toBe(19);
    expect(os.getPriority()).toBeLessThan(19);
  });
});
