import { requestContext, requestOver, withRequestContext } from '../context/request-context.js';
import { Together, type TogetherOptions } from './together.js';

interface Item {
  readonly group: string;
  readonly name: string;
}

type Go = { readonly names: readonly string[]; readonly end: (answers?: readonly (string | Error)[]) => void; readonly fail: (error: Error) => void };

/** Goes that end when they are told. */
function scene(options: Partial<TogetherOptions<Item, string>> = {}): { together: Together<Item, string>; goes: Go[] } {
  const goes: Go[] = [];
  const together = new Together<Item, string>({
    groupOf: ({ group }) => group,
    nameOf: ({ name }) => name,
    blamesOne: () => true,
    most: 3,
    concurrent: 1,
    queue: 10,
    refusal: () => new Error('full'),
    work: (items) => new Promise((resolve, reject) => {
      const names = items.map(({ name }) => name);
      goes.push({ names, fail: reject, end: (answers = names.map((name) => `${name} done`)) => resolve(answers) });
    }),
    ...options,
  });
  return { together, goes };
}

const item = (name: string, group = 'g'): Item => ({ name, group });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Together', () => {
  it('lets the first go at once, and takes what comes meanwhile together, no more than allowed', async () => {
    const { together, goes } = scene();
    const answers = ['a', 'b', 'c', 'd', 'e'].map((name) => together.run(item(name)));
    expect(goes.map(({ names }) => names)).toEqual([['a']]);
    for (const at of [0, 1, 2]) {
      goes[at]?.end();
      await turn();
    }
    expect(goes.map(({ names }) => names)).toEqual([['a'], ['b', 'c', 'd'], ['e']]);
    expect(await Promise.all(answers)).toEqual(['a done', 'b done', 'c done', 'd done', 'e done']);
  });

  it('keeps groups apart, and never takes two items of one name in one go', async () => {
    const { together, goes } = scene({ most: 10 });
    const answers = [item('first'), item('x'), item('y', 'other'), item('x'), item('z')].map((one) => together.run(one));
    for (let at = 0; at < 4; at += 1) {
      goes[at]?.end();
      await turn();
    }
    expect(goes.map(({ names }) => names)).toEqual([['first'], ['x', 'z'], ['y'], ['x']]);
    await Promise.all(answers);
  });

  it('runs so many goes at once', async () => {
    const { together, goes } = scene({ concurrent: 2 });
    const answers = ['a', 'b', 'c', 'd'].map((name) => together.run(item(name)));
    expect(goes.map(({ names }) => names)).toEqual([['a'], ['b']]);
    goes[1]?.end();
    await turn();
    expect(goes.map(({ names }) => names)).toEqual([['a'], ['b'], ['c', 'd']]);
    goes[0]?.end();
    goes[2]?.end();
    await Promise.all(answers);
  });

  it('gives each its own answer: one that is refused takes nobody with it', async () => {
    const { together, goes } = scene();
    const answers = ['a', 'b', 'c'].map((name) => together.run(item(name)));
    goes[0]?.end();
    await turn();
    goes[1]?.end([new Error('not you'), 'c done']);
    expect((await Promise.allSettled(answers)).map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason)))).toEqual(['a done', 'Error: not you', 'c done']);
  });

  it('does each alone once more where a go failed as a whole, and goes on', async () => {
    const { together, goes } = scene();
    const answers = ['a', 'b', 'poison', 'c', 'later'].map((name) => together.run(item(name)));
    const settled = Promise.allSettled(answers);
    goes[0]?.end();
    await turn();
    goes[1]?.fail(new Error('all of it'));
    await turn();
    expect(goes[2]?.names).toEqual(['b']);
    goes[2]?.end();
    await turn();
    expect(goes[3]?.names).toEqual(['poison']);
    goes[3]?.fail(new Error('it was me'));
    await turn();
    goes[4]?.end();
    await turn();
    goes[5]?.end();
    expect((await settled).map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason))))
      .toEqual(['a done', 'b done', 'Error: it was me', 'c done', 'later done']);
  });

  it('does nothing twice where nobody is to blame', async () => {
    const { together, goes } = scene({ blamesOne: (error) => String(error) !== 'Error: lost' });
    const settled = Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map((name) => together.run(item(name))));
    goes[0]?.end();
    await turn();
    goes[1]?.fail(new Error('lost'));
    await turn();
    expect(goes.map(({ names }) => names)).toEqual([['a'], ['b', 'c', 'd'], ['e']]);
    goes[2]?.end();
    expect((await settled).map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason))))
      .toEqual(['a done', 'Error: lost', 'Error: lost', 'Error: lost', 'e done']);
  });

  it('refuses what comes when the line is full, and takes again when it is not', async () => {
    const { together, goes } = scene({ queue: 1 });
    const first = together.run(item('a'));
    const second = together.run(item('b'));
    expect(() => together.run(item('c'))).toThrow('full');
    goes[0]?.end();
    await turn();
    const third = together.run(item('d'));
    goes[1]?.end();
    await turn();
    goes[2]?.end();
    expect(await Promise.all([first, second, third])).toEqual(['a done', 'b done', 'd done']);
  });

  it('works outside of the requests that asked, which keep their own', async () => {
    const seen: unknown[] = [];
    const { together } = scene({ work: (items) => {
      seen.push(requestContext());
      return Promise.resolve(items.map(({ name }) => name));
    } });
    const after = await withRequestContext({ requestId: 'r1', ip: '192.0.2.1', readsOnly: true }, async () => {
      await together.run(item('a'));
      return requestContext()?.requestId;
    });
    requestOver();
    expect({ seen, after }).toEqual({ seen: [undefined], after: 'r1' });
  });
});
