import { randomBytes } from 'node:crypto';

/** Secrets that nobody may meet again once they were told, and where they were met. */
export class Canaries {
  private readonly known = new Map<string, string>();
  readonly met: string[] = [];

  /** A password of our own making. */
  password(name: string): string {
    return this.add(name, `Kanari-${randomBytes(9).toString('base64url')}`);
  }

  /** A secret that an answer told; from here on it is sought. */
  add(name: string, value: string | undefined): string {
    if (value === undefined || value.length < 12) throw new Error(`there is no ${name}`);
    this.known.set(value, name);
    return value;
  }

  get size(): number {
    return this.known.size;
  }

  /** Also in the forms in which text of one kind stands in another: escaped, percent-encoded, as Basic or in base64. */
  seek(where: string, text: string): void {
    for (const [value, name] of this.known) {
      const forms = [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value), Buffer.from(value).toString('base64').replace(/=+$/, '')];
      if (forms.some((form) => text.includes(form))) this.met.push(`${where}: ${name}`);
    }
  }
}
