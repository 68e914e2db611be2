import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import { CONFIG, type Config } from '../platform/config/config.js';
import { CrlsRepository } from './crls.repository.js';
import { CrlsService } from './crls.service.js';
import { PublicationsService } from './publications.service.js';

/** Files for brokers that read no URL, written where something has changed. A reader sees the old one or the new one, never a part. */
@Injectable()
export class BrokerFiles {
  private listed = '';
  private trusted = '';

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly repository: CrlsRepository,
    private readonly crls: CrlsService,
    private readonly publications: PublicationsService,
  ) {}

  /** Whether somebody waits for them. */
  get wanted(): boolean {
    const { crlFile, caFile } = this.config.pki;
    return crlFile !== undefined || caFile !== undefined;
  }

  /** All that clients' certificates may rest on. A broker does not start without it, so the first authority is made for it. */
  async writeAuthorities(): Promise<void> {
    const file = this.config.pki.caFile;
    if (file === undefined) return;
    if ((await this.publications.trusted()).length === 0) await this.publications.defaultAuthority();
    const text = (await this.publications.trusted()).join('');
    if (text === this.trusted) return;
    await replaceFile(path.resolve(file), text);
    this.trusted = text;
  }

  /** All lists in one file, as Mosquitto wants it. */
  async writeLists(): Promise<void> {
    const file = this.config.pki.crlFile;
    if (file === undefined) return;
    const states = (await this.repository.states()).filter(({ number }) => number !== null);
    const mark = states.map(({ authorityId, number }) => `${authorityId}:${number}`).join();
    if (mark === this.listed || states.length === 0) return;
    const lists = await Promise.all(states.map(({ authorityId, tenantId }) => this.crls.current(authorityId, tenantId)));
    await replaceFile(path.resolve(file), Buffer.concat(lists.flatMap((list) => (list === null ? [] : [list.pem]))));
    this.listed = mark;
  }
}

async function replaceFile(file: string, contents: string | Buffer): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  // Processes in containers may share the folder, and then have one and the same number.
  const aside = `${file}.${randomBytes(6).toString('hex')}.new`;
  try {
    const handle = await open(aside, 'w', 0o644);
    try {
      await handle.writeFile(contents);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, file);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
}
