import { allFilters, allTopics, bruteForceMatches, TopicSets } from '../../test/fakes/brute-force-topics.js';
import { isSubset, isTopicFilter, isTopicName, matches, parseFilter, stripShare } from './topic.js';

const deep = (levels: number): string => Array(levels).fill('x').join('/');

describe('topic names', () => {
  it.each([
    ['a plain topic', 'devices/1/telemetry'],
    ['a single slash: two empty levels', '/'],
    ['empty levels', 'a//b/'],
    ['a space and a comma', 'a b/c,d'],
    ['text beyond ASCII, in and out of the BMP', 'größe/温度/🌡'],
    ['a dollar', '$SYS/x'],
    ['the byte order mark, which is a character like any other', '\ufeffa'],
    ['65535 bytes', 'x'.repeat(65_535)],
    ['65535 bytes of three-byte characters', '温'.repeat(21_845)],
    ['128 levels', deep(128)],
  ])('accept %s', (_, topic) => {
    expect(isTopicName(topic)).toBe(true);
    expect(isTopicFilter(topic)).toBe(true);
  });

  it.each([
    ['nothing', ''],
    ['NUL', 'a\0b'],
    ['a line feed', 'a\nb'],
    ['U+001F', 'a\u001f'],
    ['DEL', 'a\u007f'],
    ['a C1 control', 'a\u0085'],
    ['U+009F', '\u009f'],
    ['a lone high surrogate', 'a\ud83c'],
    ['a high surrogate before a slash', 'a\ud83c/b'],
    ['a lone low surrogate', '\udf21'],
    ['surrogates the wrong way round', '\udf21\ud83c'],
    ['65536 bytes', 'x'.repeat(65_536)],
    ['65536 bytes in 32768 characters', 'é'.repeat(32_768)],
    ['65536 bytes in surrogate pairs', '🌡'.repeat(16_384)],
    ['129 levels', deep(129)],
  ])('refuse %s, as filters do', (_, topic) => {
    expect(isTopicName(topic)).toBe(false);
    expect(isTopicFilter(topic)).toBe(false);
  });
});

describe('topic filters', () => {
  it.each(['#', '+', '+/#', 'a/#', '/#', '/+', '+/', 'a/+/b', '+/+/+', '$SYS/#', `${deep(127)}/#`])(
    'accept %p, which is no topic name unless it has no wildcard',
    (filter) => {
      expect(isTopicFilter(filter)).toBe(true);
      expect(isTopicName(filter)).toBe(false);
    },
  );

  it.each(['a#', '#a', 'a/#/b', '#/', '##', '+#', 'a+', '+a', 'a/b+/c', '++', 'a/+#', `${deep(128)}/#`])(
    'refuse %p',
    (filter) => {
      expect(isTopicFilter(filter)).toBe(false);
      expect(isTopicName(filter)).toBe(false);
    },
  );

  it('are cut into levels, with a closing # told apart', () => {
    expect(parseFilter('a//+/#')).toEqual({ text: 'a//+/#', levels: ['a', '', '+'], open: true });
    expect(parseFilter('#')).toEqual({ text: '#', levels: [], open: true });
    expect(parseFilter('/')).toEqual({ text: '/', levels: ['', ''], open: false });
    expect(parseFilter('a/#/b')).toBeNull();
  });
});

describe('matching', () => {
  // The examples of MQTT 5 §4.7.1 and §4.7.2, then corner cases.
  it.each<[filter: string, topic: string, expected: boolean]>([
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/#', 'sport', true],
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/x', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/monitor/Clients', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    ['a/$x/#', 'a/$x/b', true],
    ['a/+', 'a/$x', true],
    ['A', 'a', false],
    ['a', 'a', true],
    ['a/#', 'a/+', false],
    ['a/#/b', 'a/x/b', false],
  ])('%p and %p: %p', (filter, topic, expected) => {
    expect(matches(filter, topic)).toBe(expected);
  });
});

describe('the subset test', () => {
  it.each<[requested: string, granted: string, expected: boolean]>([
    ['#', '+/#', true],
    ['+/#', '#', true],
    ['#', '+', false],
    ['+', '#', true],
    ['a/#', 'a/+/#', false],
    ['a/+/#', 'a/#', true],
    ['a', 'a/#', true],
    ['a/', 'a/#', true],
    ['a/#', 'a', false],
    ['a/#', 'a/+', false],
    ['a/+', 'a/#', true],
    ['+/+/#', '+/#', true],
    ['+/#', '+/+/#', false],
    ['+/a', '$x/a', false],
    ['$x/a', '+/a', false],
    ['$x/#', '#', false],
    ['$x/#', '$x/#', true],
    ['#', '$x/#', false],
    ['a/$x', 'a/+', true],
    ['/', '+/+', true],
    ['/#', '+/#', true],
    ['/#', '/+/#', true],
    ['/#', '+/+/#', true],
    ['/#', '+/+', false],
    ['//#', '//+/#', false],
    ['//', '/#', true],
    ['a/#/b', '#', false],
    ['a', 'a/#/b', false],
  ])('%p within %p: %p', (requested, granted, expected) => {
    expect(isSubset(requested, granted)).toBe(expected);
  });

  const filters = allFilters(['a', 'b', '', '$x'], 4);

  it('and matching agree with brute force on every filter and topic of up to four levels', () => {
    const topics = allTopics(['a', 'b', '', '$x', 'z'], 4);
    let cases = 0;
    const wrong: string[] = [];
    for (const filter of filters) {
      for (const topic of topics) {
        cases += 1;
        const expected = bruteForceMatches(filter, topic);
        if (matches(filter, topic) !== expected) wrong.push(`matches(${filter}, ${topic}) should be ${expected}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(cases).toBeGreaterThan(700_000);
  });

  it('agrees with brute force on every pair of filters of up to four levels', () => {
    // "z" and "$z" occur in no filter: they stand for all the words that a wildcard matches besides the named ones.
    // One level more than any filter has tells "#" from a row of "+".
    const sets = new TopicSets(filters, allTopics(['a', 'b', '', '$x', 'z', '$z'], 5));
    let cases = 0;
    const wrong: string[] = [];
    for (const requested of filters) {
      for (const granted of filters) {
        cases += 1;
        const expected = sets.isSubset(requested, granted);
        if (isSubset(requested, granted) !== expected) {
          wrong.push(`isSubset(${requested}, ${granted}) should be ${expected}`);
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(cases).toBeGreaterThan(800_000);
  });
});

describe('shared subscriptions', () => {
  it.each<[filter: string, expected: ReturnType<typeof stripShare>]>([
    ['a/#', { kind: 'plain', filter: 'a/#' }],
    ['a/$share/x', { kind: 'plain', filter: 'a/$share/x' }],
    ['$share/g/a/+', { kind: 'shared', group: 'g', filter: 'a/+' }],
    ['$share/g/#', { kind: 'shared', group: 'g', filter: '#' }],
    ['$share/g//a', { kind: 'shared', group: 'g', filter: '/a' }],
    ['$share/$queue/a', { kind: 'shared', group: '$queue', filter: 'a' }],
  ])('%p is taken apart', (filter, expected) => {
    expect(stripShare(filter)).toEqual(expected);
  });

  it.each([
    '', 'a/#/b', '$share/', '$share/g', '$share/g/', '$share//a', '$share/+/a', '$share/#/a', '$share/g+/a',
    '$share/g\0/a', '$share/g/a#', '$share/g/a/#/b',
  ])('%p is invalid', (filter) => {
    expect(stripShare(filter)).toEqual({ kind: 'refused', reason: 'TOPIC_INVALID' });
  });

  it.each([
    '$share', '$shared/g/a', '$SYS/#', '$queue/a', '$exclusive/a', '$delayed/1/a', '$', '$/a',
    '$share/g/$share/h/a', '$share/g/$queue/a', '$share/g/$SYS/#', '$share/g/$exclusive/a',
  ])('%p is reserved', (filter) => {
    expect(stripShare(filter)).toEqual({ kind: 'refused', reason: 'TOPIC_RESERVED' });
  });
});
