import { readAclQuestion, readConnectQuestion } from './question.js';

const JSON_TYPE = 'application/json';
const FORM_TYPE = 'application/x-www-form-urlencoded';
const json = (value: unknown) => Buffer.from(JSON.stringify(value));

describe('a connect question', () => {
  it('is read as EMQX sends it, whatever the order of its members', () => {
    const body = Buffer.from('{"username":"ü\\"ser\\\\n","peerhost":"127.0.0.1","password":"pä ss+&\\"\\\\x","clientid":"c-ü/3","cert_subject":"","cert_common_name":"","attr_tenant":""}');
    expect(readConnectQuestion(body, JSON_TYPE)).toMatchObject({ username: 'ü"ser\\n', password: 'pä ss+&"\\x', clientid: 'c-ü/3', cert_pem: '' });
  });

  it('is read from a form, with + and percent escapes', () => {
    const body = Buffer.from('clientid=c+1%26x&n=1&nope=%24%7Bfoo%7D&password=p%25w%26%3D%2B+&username=al+ice%2B%26%3D%C3%BC');
    expect(readConnectQuestion(body, FORM_TYPE)).toMatchObject({ clientid: 'c 1&x', password: 'p%w&=+ ', username: 'al ice+&=ü' });
  });

  it('takes absent, empty and unrendered placeholders for not given', () => {
    expect(readConnectQuestion(json({ clientid: 'a', listener_kind: '${listener}', cert_pem: '' }), JSON_TYPE)).toMatchObject({
      username: '', listener_kind: '', cert_pem: '',
    });
  });

  it('keeps text that only resembles a placeholder', () => {
    expect(readConnectQuestion(json({ password: '${a}b}' }), JSON_TYPE)).toMatchObject({ password: '${a}b}' });
    expect(readConnectQuestion(json({ password: 'x${a}' }), JSON_TYPE)).toMatchObject({ password: 'x${a}' });
  });

  it.each([
    ['a number', json({ clientid: 7 })],
    ['a list', json({ clientid: ['a'] })],
    ['null', json({ password: null })],
    ['an object', json({ username: {} })],
    ['a list at the top', json(['clientid'])],
    ['text at the top', json('clientid')],
    ['nothing', Buffer.alloc(0)],
    ['broken JSON', Buffer.from('{"clientid":')],
    ['not UTF-8 and broken', Buffer.from([0xff, 0xfe, 0x00])],
  ])('is not understood when a field is %s', (_, body) => {
    expect(readConnectQuestion(body, JSON_TYPE)).toBeNull();
  });

  it('does not read members of the prototype', () => {
    const body = Buffer.from('{"__proto__":{"clientid":"evil"},"constructor":"x"}');
    expect(readConnectQuestion(body, JSON_TYPE)).toMatchObject({ clientid: '' });
  });

  it('ignores unknown members of any type', () => {
    expect(readConnectQuestion(json({ clientid: 'a', extra: { deep: [1] } }), JSON_TYPE)).toMatchObject({ clientid: 'a' });
  });
});

describe('an ACL question', () => {
  it('is read as EMQX sends it', () => {
    const body = Buffer.from('{"username":"alice","topic":"a/b c","retain":"false","qos":"1","proto_name":"mqtt","peerhost":"127.0.0.1","mountpoint":"","clientid":"c1","cert_subject":"","cert_common_name":"","attr_tenant":"","action":"publish","access":"2"}');
    expect(readAclQuestion(body, JSON_TYPE)).toMatchObject({ topic: 'a/b c', retain: 'false', qos: '1', action: 'publish', device: '' });
  });

  it('keeps a topic that looks like a placeholder', () => {
    expect(readAclQuestion(json({ topic: '${topic}', device: '${client_attrs.device}' }), JSON_TYPE)).toMatchObject({ topic: '${topic}', device: '' });
  });

  it('is not understood with a QoS that is a number', () => {
    expect(readAclQuestion(json({ topic: 'a', qos: 1 }), JSON_TYPE)).toBeNull();
  });
});
