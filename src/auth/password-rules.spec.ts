import { isCommonPassword } from './common-passwords.js';
import { passwordFault } from './password-rules.js';

const OWNER = { email: 'ada.lovelace@example.org', name: 'Ada Lovelace' };
const fault = (password: string) => passwordFault(password, OWNER);

describe('the rules for a new password', () => {
  it.each([
    ['eight characters', 'vbx7-aqk'],
    ['128 characters', 'vbx7-aqk'.repeat(16)],
    ['lower case alone', 'correcthorsebatterystaple'],
    ['spaces', 'a b c  d e f'],
    ['no Latin letter at all', 'пароль-для-ады'],
    ['eight emoji', '🔑🐎🔋📎🦉🌊🧵🪵'],
    ['128 characters outside of the basic plane', '🔑🐎'.repeat(64)],
    ['a tab and a newline', 'vbx7\taqk\nzz'],
  ])('take %s', (_, password) => expect(fault(password)).toBeNull());

  it.each([
    ['seven characters', 'vbx7-aq', /at least 8/],
    ['seven emoji, whose UTF-16 length is 14', '🔑🐎🔋📎🦉🌊🧵', /at least 8/],
    ['129 characters', `${'vbx7-aqk'.repeat(16)}!`, /at most 128/],
    ['NUL', 'vbx7-aqk\0tail', /NUL/],
    ['half of a surrogate pair', 'vbx7-aqk\ud83d', /well-formed/],
    ['the other half', '\udd11vbx7-aqk', /well-formed/],
    ['a password of the top list', 'password', /everybody/],
    ['one of the list in another case', 'PassWord1', /everybody/],
    ['one character over and over', 'zzzzzzzzzzzzzzzzzzzzzzzzz', /everybody/],
    ['digits in a row, longer than any list', '01234567890'.slice(0, 10), /everybody/],
    ['the alphabet backwards', 'zyxwvutsrqp', /everybody/],
    ['the own address', 'Ada.Lovelace@Example.org', /e-mail/],
    ['the own mailbox', 'ada.lovelace', /e-mail/],
    ['the own name', 'ada lovelace', /e-mail/],
  ])('refuse %s', (_, password, reason) => expect(fault(password)).toMatch(reason));

  it('know the passwords that any attacker tries first', () => {
    const first = ['password', '12345678', '123456789', '1234567890', 'qwertyuiop', 'iloveyou', 'sunshine', 'princess', 'football',
      'baseball', 'superman', 'trustno1', 'qwerty123', 'password1', 'password123', 'passw0rd', 'p@ssw0rd', 'admin123', 'welcome1',
      'changeme', 'abcd1234', '1q2w3e4r', '1qaz2wsx', '11111111', '00000000', '87654321', 'letmein1', 'administrator'];
    expect(first.filter((password) => !isCommonPassword(password))).toEqual([]);
    expect(isCommonPassword('')).toBe(false);
  });
});
