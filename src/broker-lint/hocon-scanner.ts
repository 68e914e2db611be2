/** Ends a reading where it cannot go on; never leaves `readHocon`. */
export class HoconStop extends Error {
  constructor(
    readonly line: number,
    readonly what: string,
  ) {
    super(what);
  }
}

/** Words of a value, joined. */
export interface Words {
  readonly text: string;
  /** Any part of it stood in quotes, so that it is text whatever it looks like. */
  readonly quoted: boolean;
  /** The first `${…}` outside quotes. */
  readonly substitution: string | null;
}

const BLANK = /[ \t\f\v\u00a0\ufeff]/;
/** Ends a word of a value; `#` and `//` are looked for apart. */
const VALUE_END = /[,{}[\]\r\n"]/;
const KEY_END = /[\s=:{}[\],"#.+]/;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' };

/** Characters of a HOCON text, in order. */
export class HoconScanner {
  private at_ = 0;
  private line_ = 1;

  constructor(private readonly text: string) {}

  get line(): number {
    return this.line_;
  }

  get ended(): boolean {
    return this.at_ >= this.text.length;
  }

  stop(what: string): HoconStop {
    return new HoconStop(this.line_, what);
  }

  at(token: string): boolean {
    return this.text.startsWith(token, this.at_);
  }

  take(token: string): boolean {
    if (!this.at(token)) return false;
    this.at_ += token.length;
    return true;
  }

  /** `=`, `:` or `+=`; `null` if there is none (allowed before `{`). */
  takeSign(): '=' | '+=' | null {
    if (this.take('+=')) return '+=';
    return this.take('=') || this.take(':') ? '=' : null;
  }

  /** Blanks, comments and line ends; between a key and its value a line may end. */
  skipBlank(): void {
    for (;;) {
      const char = this.text[this.at_];
      if (char === undefined) return;
      if (char === '\n') this.line_ += 1;
      if (char === '\n' || char === '\r' || BLANK.test(char)) this.at_ += 1;
      else if (this.atComment()) this.skipLine();
      else return;
    }
  }

  /** Blanks, comments, line ends and commas. */
  skipSeparators(): void {
    do this.skipBlank();
    while (this.take(','));
  }

  /** Takes `include …` to the end of the line, if the member is one. */
  takeInclude(): boolean {
    const rest = /^include[ \t]+(?=["a-z])(?![=:{])/.exec(this.text.slice(this.at_, this.at_ + 40));
    if (!rest) return false;
    this.skipLine();
    return true;
  }

  /** `a.b."c.d"` as its parts. */
  keyPath(): string[] {
    const path: string[] = [];
    do {
      while (BLANK.test(this.text[this.at_] ?? '')) this.at_ += 1;
      path.push(this.at('"') ? this.quoted() : this.unquotedKey());
      if (path.length > 32) throw this.stop('a key of too many parts');
    } while (this.take('.'));
    return path;
  }

  /** Whether a further value follows on this line. */
  continues(): boolean {
    while (BLANK.test(this.text[this.at_] ?? '')) this.at_ += 1;
    const char = this.text[this.at_];
    return char !== undefined && !/[,\r\n}\]]/.test(char) && !this.atComment();
  }

  /** Quoted and unquoted words up to the end of the value. */
  words(): Words {
    let text = '';
    let quoted = false;
    let substitution: string | null = null;
    for (;;) {
      if (this.at('"')) {
        text += this.quoted();
        quoted = true;
      } else {
        const word = this.unquotedWord();
        substitution ??= /\$\{[^}]*\}?/.exec(word)?.[0] ?? null;
        text += word;
      }
      if (!this.at('"') && !this.at('${')) break;
    }
    if (!quoted && text.trim() === '') throw this.stop('a value is missing');
    return { text: quoted ? text : text.trim(), quoted, substitution };
  }

  private atComment(): boolean {
    // `http://…` without quotes is no comment.
    return this.at('#') || (this.at('//') && this.text[this.at_ - 1] !== ':');
  }

  private skipLine(): void {
    const end = this.text.indexOf('\n', this.at_);
    this.at_ = end === -1 ? this.text.length : end;
  }

  private unquotedKey(): string {
    const start = this.at_;
    while (!this.ended && !KEY_END.test(this.text[this.at_] ?? '')) this.at_ += 1;
    if (this.at_ === start) throw this.stop(`a key was expected, not ${JSON.stringify(this.text[start] ?? 'the end')}`);
    return this.text.slice(start, this.at_);
  }

  private unquotedWord(): string {
    const start = this.at_;
    while (!this.ended) {
      if (this.at('${')) {
        const end = this.text.indexOf('}', this.at_);
        this.at_ = end === -1 ? this.text.length : end + 1;
        continue;
      }
      if (VALUE_END.test(this.text[this.at_] ?? '') || this.atComment()) break;
      this.at_ += 1;
    }
    const word = this.text.slice(start, this.at_);
    this.line_ += word.split('\n').length - 1;
    return this.at('"') || this.at('{') || this.at('[') ? word : word.trimEnd();
  }

  private quoted(): string {
    if (this.take('"""')) return this.tripleQuoted();
    this.at_ += 1;
    let text = '';
    for (;;) {
      const char = this.text[this.at_];
      if (char === undefined || char === '\n') throw this.stop('a quoted text is not closed');
      this.at_ += 1;
      if (char === '"') return text;
      text += char === '\\' ? this.escape() : char;
    }
  }

  private escape(): string {
    const char = this.text[this.at_];
    if (char === undefined) throw this.stop('a quoted text is not closed');
    this.at_ += 1;
    if (char !== 'u') return ESCAPES[char] ?? char;
    const digits = this.text.slice(this.at_, this.at_ + 4);
    if (!/^[0-9a-f]{4}$/i.test(digits)) throw this.stop('\\u needs four hexadecimal digits');
    this.at_ += 4;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }

  private tripleQuoted(): string {
    const end = this.text.indexOf('"""', this.at_);
    if (end === -1) throw this.stop('a text in three quotes is not closed');
    const raw = this.text.slice(this.at_, end);
    this.at_ = end + 3;
    this.line_ += raw.split('\n').length - 1;
    // EMQX 5.7 and later print long texts as """~ … ~""", indented.
    const framed = /^~\r?\n([^]*?)~?$/.exec(raw);
    if (!framed) return raw;
    const lines = (framed[1] ?? '').split(/\r?\n/);
    const indents = lines.filter((line) => line.trim() !== '').map((line) => /^ */.exec(line)?.[0].length ?? 0);
    const indent = Math.min(...indents, 1_000);
    return lines.map((line) => line.slice(indent)).join('\n').trimEnd();
  }
}
