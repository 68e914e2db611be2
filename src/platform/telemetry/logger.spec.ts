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

  it('does not say which value Postgres did not like', () => {
    const driver = Object.assign(new Error('invalid input syntax for type uuid: "pcs_secret"'), { code: '22P02', severity: 'ERROR' });
    for (const error of [driver, new QueryFailedError('SELECT $1::uuid', ['pcs_secret'], driver)]) {
      const shown = describeError(error);
      expect(JSON.stringify(shown)).not.toContain('pcs_secret');
      expect(shown).toMatchObject({ message: 'Postgres refused a value', code: '22P02', stack: expect.stringContaining('logger.spec') as string });
    }
  });

  it('tells its cause, and survives what is no error', () => {
    expect(describeError(new Error('outer', { cause: new Error('inner') }))).toMatchObject({ message: 'outer', cause: { message: 'inner' } });
    expect(describeError({ secret: 1 })).toBe('[object Object]');
  });
});
