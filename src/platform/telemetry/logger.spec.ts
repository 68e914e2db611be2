import { QueryFailedError } from 'typeorm';
import { describeError } from './logger.js';

describe('an error in the log', () => {
  it('never bears the parameters of a statement', () => {
    const driver = Object.assign(new Error('duplicate key'), { code: '23505', constraint: 'users_email_key', detail: 'Key (email)=(a@b.c)' });
    const error = new QueryFailedError('INSERT INTO users VALUES ($1)', ['$2b$12$password-hash'], driver);
    const shown = JSON.stringify(describeError(error));
    expect(shown).not.toContain('password-hash');
    expect(shown).not.toContain('a@b.c');
    expect(describeError(error)).toMatchObject({ code: '23505', constraint: 'users_email_key' });
  });

  it('tells its cause, and survives what is no error', () => {
    expect(describeError(new Error('outer', { cause: new Error('inner') }))).toMatchObject({ message: 'outer', cause: { message: 'inner' } });
    expect(describeError({ secret: 1 })).toBe('[object Object]');
  });
});
