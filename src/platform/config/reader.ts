import { isIP } from 'node:net';
import type { Environment } from './environment.js';
import type { VariableName } from './variables.js';

export interface SslOptions {
  readonly mode: 'disable' | 'require' | 'verify-full';
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Thrown once, with every variable that is wrong; the process stops with its message. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`The configuration is not usable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/** Reads typed values and collects complaints instead of stopping at the first. */
export class Reader {
  readonly problems: string[] = [];

  constructor(private readonly env: Environment) {}

  complain(name: VariableName, what: string): void {
    this.problems.push(`${name} ${what}`);
  }

  /** The value, or `undefined` when it is unset or empty. */
  text(name: VariableName): string | undefined {
    const value = this.env[name];
    return value === undefined || value.trim() === '' ? undefined : value.trim();
  }

  choice<const T extends string>(name: VariableName, allowed: readonly [T, ...T[]], fallback: T = allowed[0]): T {
    const value = this.text(name);
    if (value === undefined) return fallback;
    const found = allowed.find((candidate) => candidate === value);
    if (!found) this.complain(name, `must be one of ${allowed.join(', ')}`);
    return found ?? fallback;
  }

  integer(name: VariableName, fallback: number, min: number, max: number): number {
    const value = this.text(name);
    if (value === undefined) return fallback;
    const number = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
    if (!(number >= min && number <= max)) {
      this.complain(name, `must be a whole number from ${min} to ${max}`);
      return fallback;
    }
    return number;
  }

  list(name: VariableName): string[] {
    return (this.text(name) ?? '').split(',').map((item) => item.trim()).filter((item) => item !== '');
  }

  /** A URL with one of the given schemes. Never repeats the value: it may hold a password. */
  url(name: VariableName, schemes: readonly string[]): string | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    try {
      if (schemes.includes(new URL(value).protocol)) return value;
    } catch {
      // Said below, without the value.
    }
    this.complain(name, `must be a URL that starts with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`);
    return undefined;
  }

  /** Origins as a browser sends them: scheme, host and port alone. */
  origins(name: VariableName): string[] {
    return this.list(name).filter((item) => {
      if (item === '*') {
        this.complain(name, 'must name origins; `*` is refused');
        return false;
      }
      try {
        const url = new URL(item);
        if (url.origin === item.replace(/\/$/, '') && /^https?:$/.test(url.protocol)) return true;
      } catch {
        // Said below.
      }
      this.complain(name, `holds something that is no origin such as https://dashboard.example.com`);
      return false;
    }).map((item) => new URL(item).origin);
  }

  cidrs(name: VariableName): string[] {
    return this.list(name).filter((item) => {
      const [address = '', bits, ...rest] = item.split('/');
      const family = isIP(address);
      const width = family === 6 ? 128 : 32;
      const good = family !== 0 && rest.length === 0
        && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= width));
      if (!good) this.complain(name, 'must be a comma-separated list of addresses or CIDRs; `true` is refused');
      return good;
    });
  }
}
