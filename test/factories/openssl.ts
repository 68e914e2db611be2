import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Outcome {
  readonly code: number;
  /** stdout and stderr together. */
  readonly text: string;
}

/** The openssl of this machine, working in a folder of its own: a second opinion on all that is made here. */
export class OpenSsl {
  private constructor(readonly folder: string) {}

  static async open(): Promise<OpenSsl> {
    return new OpenSsl(await mkdtemp(path.join(os.tmpdir(), 'openssl-')));
  }

  close(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }

  async write(name: string, contents: string | Buffer): Promise<string> {
    const file = path.join(this.folder, name);
    await writeFile(file, contents);
    return file;
  }

  file(name: string): string {
    return path.join(this.folder, name);
  }

  /** Never rejects for an exit code. */
  async run(...args: string[]): Promise<Outcome> {
    try {
      const { stdout, stderr } = await run('openssl', args, { cwd: this.folder, timeout: 20_000, maxBuffer: 64 * 1024 * 1024 });
      return { code: 0, text: stdout + stderr };
    } catch (error) {
      const { code, stdout = '', stderr = '' } = error as { code?: number; stdout?: string; stderr?: string };
      return { code: typeof code === 'number' ? code : 1, text: stdout + stderr };
    }
  }

  /** A key and a request for it, in PEM. */
  async request(name: string, algorithm: readonly string[] = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']): Promise<{ key: string; csr: string }> {
    const key = await this.must('genpkey', '-algorithm', ...algorithm, '-out', `${name}.key`).then(() => this.read(`${name}.key`));
    await this.must('req', '-new', '-key', `${name}.key`, '-subj', '/CN=whoever I like/O=me', '-addext', 'basicConstraints=critical,CA:TRUE',
      '-addext', 'subjectAltName=DNS:evil.example', '-out', `${name}.csr`);
    return { key, csr: await this.read(`${name}.csr`) };
  }

  async must(...args: string[]): Promise<string> {
    const { code, text } = await this.run(...args);
    if (code !== 0) throw new Error(`openssl ${args.join(' ')}: ${text}`);
    return text;
  }

  async read(name: string): Promise<string> {
    return readFile(this.file(name), 'utf8');
  }
}
