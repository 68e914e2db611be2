import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

interface Vector {
  readonly name: string;
  readonly form: string;
  readonly topic: string;
  readonly message: string;
  readonly body: string;
  readonly signingInput: string;
  readonly signature: string;
  readonly reason: string | null;
}

const { secrets, vectors } = JSON.parse(readFileSync('docs/device-protocol-vectors.json', 'utf8')) as { secrets: string[]; vectors: Vector[] };
/** What a device could send: those that verify, made with the time and nonce of their message. */
const good = vectors.filter(({ form, reason }) => form === 'json' && reason === null);
const tagOf = ({ signingInput }: Vector): string => signingInput.split('\n')[0] ?? '';
const verb = (vector: Vector): string => (tagOf(vector) === 'v1c' ? 'sign-challenge' : 'sign');
const words = ({ name, signingInput, body }: Vector): string[] => {
  const [, topic = '', ts = '', nonce = ''] = signingInput.split('\n');
  const secret = name.startsWith('the second') ? secrets[1] : secrets[0];
  return [secret ?? '', topic, ts, nonce, body];
};
const lines = (stdout: string): string => stdout.trim();

describe('the test vectors', () => {
  it('are enough to be worth it', () => {
    expect(good.length).toBeGreaterThan(10);
    expect(new Set(good.map(tagOf))).toEqual(new Set(['v1', 'v1c']));
  });

  it.each(good.map((vector) => [vector.name, vector] as const))('are signed alike by openssl: %s', async (_, vector) => {
    const [secret = ''] = words(vector);
    const child = run('openssl', ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `hexkey:${secret}`, '-r']);
    child.child.stdin?.end(Buffer.from(vector.signingInput, 'utf8'));
    expect(lines((await child).stdout).split(' ')[0]).toBe(vector.signature);
  });

  it.each(good.map((vector) => [vector.name, vector] as const))('are signed alike by the example in Python: %s', async (_, vector) => {
    expect(lines((await run('python3', ['docs/examples/device.py', verb(vector), ...words(vector)])).stdout)).toBe(vector.signature);
  });

  it.each(good.map((vector) => [vector.name, vector] as const))('are signed alike by the example in Node: %s', async (_, vector) => {
    expect(lines((await run(process.execPath, ['docs/examples/device.mjs', verb(vector), ...words(vector)])).stdout)).toBe(vector.signature);
  });

  // A compiler and mbedTLS are there wherever the build is judged (.ci/run installs them).
  const MBEDTLS = existsSync('/usr/include/mbedtls/md.h');
  (MBEDTLS || process.env['CI'] === 'true' ? it : it.skip)('are signed alike by the example in C', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'pc-example-'));
    try {
      const program = path.join(folder, 'device');
      await run('cc', ['-Wall', '-Wextra', '-Werror', 'docs/examples/device.c', '-lmbedcrypto', '-o', program]);
      for (const vector of good) expect(lines((await run(program, [...words(vector), tagOf(vector)])).stdout)).toBe(vector.signature);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
