import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { openDataDirectory } from './data-directory.js';

const IN_USE = /^The data directory \S+ is in use by another Portcullis \(pid \d+\)\. Stop it or set PORTCULLIS_DATA_DIR\.$/;

describe('the data directory', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'pc-data-'));
  });
  afterEach(async () => {
    await fs.rm(folder, { recursive: true, force: true });
  });

  it('is created for its owner alone', async () => {
    const held = await openDataDirectory(path.join(folder, 'a', 'b'));
    expect((await fs.stat(held.path)).mode & 0o777).toBe(0o700);
    await held.close();
  });

  it('is refused to a second starter in one sentence, and free again once closed', async () => {
    const held = await openDataDirectory(folder);
    await expect(openDataDirectory(folder)).rejects.toThrow(IN_USE);
    await expect(openDataDirectory(`${folder}/../${path.basename(folder)}`)).rejects.toThrow(`(pid ${process.pid})`);
    await held.close();
    const again = await openDataDirectory(folder);
    await again.close();
    await again.close();
    expect(await fs.readdir(folder)).toEqual([]);
  });

  it('goes to exactly one of many that start at once', async () => {
    for (let round = 0; round < 5; round += 1) {
      const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => openDataDirectory(folder)));
      const winners = attempts.filter((attempt) => attempt.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      for (const winner of winners) await winner.value.close();
    }
  });

  it('is free again after its holder was killed without a chance to tidy up', async () => {
    const socket = path.join(folder, 'hold-1-00.sock');
    const holder = spawn(process.execPath, [
      '-e',
      `require('node:net').createServer((s) => s.end(JSON.stringify({ pid: process.pid, holding: true })))
         .listen(process.argv[1], () => console.log('ready'))`,
      socket,
    ]);
    await once(holder.stdout, 'data');
    await expect(openDataDirectory(folder)).rejects.toThrow(`(pid ${holder.pid})`);
    const gone = once(holder, 'exit');
    holder.kill('SIGKILL');
    await gone;
    expect(await fs.readdir(folder)).toContain('hold-1-00.sock');
    const held = await openDataDirectory(folder);
    await held.close();
    expect(await fs.readdir(folder)).toEqual([]);
  });

  it('is held as firmly where its path is too long for a socket', async () => {
    const deep = path.join(folder, 'd'.repeat(60), 'e'.repeat(60));
    const held = await openDataDirectory(deep);
    await expect(openDataDirectory(deep)).rejects.toThrow(IN_USE);
    await held.close();
    await (await openDataDirectory(deep)).close();
  });

  it('that cannot be written is reported in one sentence', async () => {
    await fs.writeFile(path.join(folder, 'file'), '');
    await expect(openDataDirectory(path.join(folder, 'file', 'data'))).rejects.toThrow(
      /^The data directory \S+ cannot be written \(ENOTDIR\): give this user the right .* or set PORTCULLIS_DATA_DIR\.$/,
    );
  });
});
