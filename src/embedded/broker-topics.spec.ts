import { isBrokerOwn, isPrefixed, isTopicFilter, isTopicName, reaches, withoutPrefix } from './broker-topics.js';

describe('broker topics', () => {
  it.each([
    ['a/b', 'a/b', true],
    ['a/b', 'a', false],
    ['a', 'a/b', false],
    ['a/+', 'a/b', true],
    ['a/+', 'a', false],
    ['a/+', 'a/b/c', false],
    ['+/b', 'a/b', true],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['a/b/#', 'a', false],
    ['#', 'a/b', true],
    ['#', '', true],
    ['+', '', true],
    ['a//b', 'a//b', true],
    ['a/+/b', 'a//b', true],
    ['a', 'a/', false],
    ['a/+', 'a/', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['d/+', 'd/$x', true],
  ])('a filter %s reaches %s: %s', (filter, topic, expected) => {
    expect(reaches(filter.split('/'), topic.split('/'))).toBe(expected);
  });

  it('take only well-formed filters', () => {
    for (const good of ['a', '/', '#', '+', 'a/#', '+/+/#', 'a/+/b', '$share/g/a', 'a//b', ' ']) {
      expect([good, isTopicFilter(good)]).toEqual([good, true]);
    }
    for (const bad of ['', 'a#', '#/a', 'a/#/b', '+a', 'a+', 'a/b+/c', 'a/+b', '##', 'a\0b']) {
      expect([bad, isTopicFilter(bad)]).toEqual([bad, false]);
    }
  });

  it('take only names without wildcards', () => {
    expect(['a/b', '$x', ' '].map(isTopicName)).toEqual([true, true, true]);
    expect(['', 'a/+', '#', 'a+b', 'a\0'].map(isTopicName)).toEqual([false, false, false, false, false]);
  });

  it('lose the prefixes that EMQX cuts off, once', () => {
    expect(withoutPrefix('$share/g/a/#')).toBe('a/#');
    expect(withoutPrefix('$queue/a')).toBe('a');
    expect(withoutPrefix('$exclusive/a')).toBe('a');
    expect(withoutPrefix('$share/g/$share/h/a')).toBe('$share/h/a');
    expect(withoutPrefix('a/$share/g')).toBe('a/$share/g');
    expect(withoutPrefix('$shared/g/a')).toBe('$shared/g/a');
    expect(isPrefixed('$share/g')).toBe(true);
    expect(isPrefixed('$shared/g')).toBe(false);
  });

  it('of the broker itself are told by their first level', () => {
    expect(['$SYS', '$SYS/#', '$portcullis/denied'].every(isBrokerOwn)).toBe(true);
    expect(['a/$SYS', '$SYSTEM/x', '#', '+/denied'].some(isBrokerOwn)).toBe(false);
  });
});
