import { WorkLimit, type Caller } from './work-limit.js';

interface Task {
  done(): void;
  fail(error: Error): void;
  readonly result: Promise<string>;
}

function open(limit: WorkLimit, started: string[], name: string, caller: Caller = 'anybody'): Task {
  const controls: Partial<Task> = {};
  const gate = new Promise<string>((resolve, reject) => {
    controls.done = () => resolve(name);
    controls.fail = reject;
  });
  const result = limit.run(() => {
    started.push(name);
    return gate;
  }, caller);
  return { result, done: () => controls.done?.(), fail: (error) => controls.fail?.(error) };
}

describe('WorkLimit', () => {
  it('runs no more at a time than allowed, the rest in the order they came', async () => {
    const started: string[] = [];
    const limit = new WorkLimit(2, 10, () => new Error('full'));
    const a = open(limit, started, 'a');
    const rest = ['b', 'c', 'd'].map((name) => open(limit, started, name));
    expect(started).toEqual(['a', 'b']);
    a.done();
    await a.result;
    await Promise.resolve();
    expect(started).toEqual(['a', 'b', 'c']);
    for (const task of rest) task.done();
    expect(await Promise.all(rest.map((task) => task.result))).toEqual(['b', 'c', 'd']);
  });

  it('hands the place on when work fails', async () => {
    const started: string[] = [];
    const limit = new WorkLimit(1, 10, () => new Error('full'));
    const bad = open(limit, started, 'bad');
    const good = open(limit, started, 'good');
    bad.fail(new Error('broken'));
    await expect(bad.result).rejects.toThrow('broken');
    good.done();
    expect(await good.result).toBe('good');
  });

  it('refuses at once what would wait beyond the queue', async () => {
    const started: string[] = [];
    const limit = new WorkLimit(1, 1, () => new Error('full'));
    const first = open(limit, started, 'first');
    const second = open(limit, started, 'second');
    await expect(open(limit, started, 'third').result).rejects.toThrow('full');
    first.done();
    second.done();
    await Promise.all([first.result, second.result]);
    expect(started).toEqual(['first', 'second']);
  });

  it('keeps room for known callers, who go first, however many strangers wait', async () => {
    const started: string[] = [];
    const limit = new WorkLimit(1, 1, () => new Error('full'));
    const tasks = ['first', 'stranger'].map((name) => open(limit, started, name));
    await expect(open(limit, started, 'crowd').result).rejects.toThrow('full');
    tasks.push(open(limit, started, 'known', 'known'));
    await expect(open(limit, started, 'too many', 'known').result).rejects.toThrow('full');
    for (const task of tasks) task.done();
    await Promise.all(tasks.map((task) => task.result));
    expect(started).toEqual(['first', 'known', 'stranger']);
  });
});
