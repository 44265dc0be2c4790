/** Lines of a stream that hold a text, or (without a text) look like errors. The server searches; what comes later is searched alone. */

interface Found {
  lines: number[];
  more: boolean;
  line: number;
  offset: number;
}

export class Finder {
  lines: number[] = [];
  more = false;
  #line = 0;
  #offset = 0;
  #busy = false;
  #again = false;
  #stopped = false;

  constructor(
    private readonly address: string,
    readonly text: string,
    private readonly changed: () => void,
  ) {}

  stop(): void {
    this.#stopped = true;
  }

  /** Look at what has come since, or, where the last search stopped early, at what follows. */
  async go(): Promise<void> {
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      do {
        this.#again = false;
        await this.#step();
      } while (this.#again && !this.#stopped);
    } finally {
      this.#busy = false;
    }
  }

  async #step(): Promise<void> {
    const reply = await fetch(`${this.address}&text=${encodeURIComponent(this.text)}&offset=${this.#offset}&line=${this.#line}`).catch(() => undefined);
    if (!reply?.ok || this.#stopped) return;
    const found = (await reply.json()) as Found;
    while (this.lines.length > 0 && this.lines[this.lines.length - 1]! >= this.#line) this.lines.pop(); // the last line may have grown
    for (const line of found.lines) this.lines.push(line);
    this.more = found.more;
    this.#line = found.line;
    this.#offset = found.offset;
    this.changed();
  }

  /** The place in `lines` of the next hit after a line, going round; -1 where there is none. */
  next(line: number, by: 1 | -1): number {
    if (this.lines.length === 0) return -1;
    const after = this.lines.findIndex((hit) => hit > line);
    if (by > 0) return after < 0 ? 0 : after;
    const from = this.lines.findIndex((hit) => hit >= line);
    return (from < 0 ? this.lines.length : from) - 1 < 0 ? this.lines.length - 1 : (from < 0 ? this.lines.length : from) - 1;
  }
}
