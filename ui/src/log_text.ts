/**
 * A stream as the viewer knows it: how many lines end in each block of 64 KiB (from the server), and the bytes of the blocks that are
 * looked at. So a log of any size opens at once; memory holds the last blocks that were shown.
 */

const CACHED = 128; // blocks: 8 MiB
const AHEAD = 262_144; // bytes that are fetched directly when a stream grows; beyond this the server counts
const LINE_BYTES = 16_384; // of one line that are shown
const NEWLINE = 10;
const RETRY_MS = 2_000;

interface Index {
  block: number;
  lines: number[];
  size: number;
  open: boolean;
  complete: boolean;
  omitted: number;
  gap?: Gap;
}

/** Where something is left out: the number of the line that says so, and of the line after it in the whole stream, if known. */
interface Gap {
  line: number;
  then: number | null;
}

interface Block {
  bytes: Uint8Array;
  ends: number[]; // places of the newlines in it
}

export interface Line {
  text: string;
  /** Bytes of the line, where it is longer than what is shown. */
  cutBytes: number;
}

export class LogText {
  size = 0;
  complete = false;
  omitted = 0;
  /** Grows whenever the text is another one: the middle was left out, or is here again, or it is another attempt's. */
  generation = 0;
  gap: Gap | undefined;
  #block = 65_536;
  #before: number[] = [0]; // newlines before each block, and before the end
  #open = false;
  #blocks = new Map<number, Block>();
  #asked = new Set<number>();
  #busy: Promise<void> | undefined;

  constructor(
    private readonly indexAddress: string,
    private readonly bytesAddress: string,
    private readonly changed: () => void,
  ) {}

  get lines(): number {
    return this.#newlines + (this.#open ? 1 : 0);
  }

  get #newlines(): number {
    return this.#before[this.#before.length - 1]!;
  }

  /** The number of a line in the whole stream, both from 0; undefined where nobody knows, or for the line that tells of the gap. */
  numberOf(line: number): number | undefined {
    const gap = this.gap;
    if (!gap) return this.omitted > 0 ? undefined : line;
    if (line < gap.line) return line;
    return line === gap.line || gap.then === null ? undefined : line - gap.line - 1 + gap.then;
  }

  /** The line with that number, or where it would be. */
  lineOf(number: number): number {
    const gap = this.gap;
    if (!gap || number < gap.line) return number;
    return gap.then === null || number < gap.then ? gap.line : number - gap.then + gap.line + 1;
  }

  /** Lines of the whole stream so far; undefined where nobody knows. */
  get total(): number | undefined {
    const last = this.lines === 0 ? -1 : this.numberOf(this.lines - 1);
    return last === undefined ? undefined : last + 1;
  }

  /** Lines of which nothing is here; undefined where nobody knows. */
  get missing(): number | undefined {
    return this.gap && this.gap.then !== null ? this.gap.then - this.gap.line : undefined;
  }

  /** Ask the server how the stream stands now; `size` and `omitted`: as far as is known already. */
  async refresh(size?: number, omitted?: number): Promise<void> {
    while (this.#busy) await this.#busy;
    this.#busy = this.#refresh(size, omitted).finally(() => (this.#busy = undefined));
    await this.#busy;
  }

  async #refresh(size?: number, omitted?: number): Promise<void> {
    if (omitted !== undefined && omitted !== this.omitted) return this.#recount(true);
    if (size !== undefined && size === this.size) return;
    if (size !== undefined && size < this.size) return this.#recount(true); // another attempt
    if (size !== undefined && this.size > 0 && size - this.size <= AHEAD) return this.#append(size);
    return this.#recount();
  }

  /** Forget all: what the server has now is another text, as when the middle was cut out at the end. */
  async reload(): Promise<void> {
    while (this.#busy) await this.#busy;
    this.#busy = this.#recount(true).finally(() => (this.#busy = undefined));
    await this.#busy;
  }

  #reset(): void {
    this.generation++;
    this.size = 0;
    this.gap = undefined;
    this.#before = [0];
    this.#open = false;
    this.#blocks.clear();
    this.#asked.clear();
  }

  /** Count what has come, or all of it anew; what is shown stays until the answer is here. */
  async #recount(anew = false): Promise<void> {
    const first = anew ? 0 : Math.floor(this.size / this.#block);
    const reply = await fetch(`${this.indexAddress}&block=${first}`);
    if (!reply.ok) throw new Error(String(reply.status));
    const told = (await reply.json()) as Index;
    if (first > 0 && told.omitted !== this.omitted) return this.#recount(true);
    if (anew) this.#reset();
    if (first === 0) this.gap = told.gap;
    this.#block = told.block;
    this.#before.length = first + 1;
    for (const count of told.lines) this.#before.push(this.#newlines + count);
    if (told.lines.length > 0 || told.size === 0) this.#open = told.open;
    if (told.size !== this.size) this.#blocks.delete(first);
    this.#asked.delete(first);
    this.size = told.size;
    this.complete = told.complete;
    this.omitted = told.omitted;
    this.changed();
  }

  /** A little more has come: take it, and count it here. */
  async #append(size: number): Promise<void> {
    const reply = await fetch(`${this.bytesAddress}&offset=${this.size}&limit=${size - this.size}`);
    if (!reply.ok) return;
    if (this.#isOther(reply)) return this.#recount(true);
    const bytes = new Uint8Array(await reply.arrayBuffer());
    let at = 0;
    while (at < bytes.length) {
      const number = Math.floor(this.size / this.#block);
      const filled = this.size - number * this.#block;
      const piece = bytes.subarray(at, at + this.#block - filled);
      const ends = newlines(piece);
      if (filled === 0) this.#before.push(this.#newlines);
      this.#before[number + 1] = this.#newlines + ends.length;
      this.#grow(number, filled, piece);
      this.size += piece.length;
      at += piece.length;
    }
    if (bytes.length > 0) this.#open = bytes[bytes.length - 1] !== NEWLINE;
    this.complete = reply.headers.get("sirdar-complete") === "true";
    this.changed();
  }

  #isOther(reply: Response): boolean {
    return Number(reply.headers.get("sirdar-omitted") ?? this.omitted) !== this.omitted;
  }

  #grow(number: number, filled: number, piece: Uint8Array): void {
    const known = this.#blocks.get(number);
    if (filled > 0 && known?.bytes.length !== filled) {
      this.#blocks.delete(number);
      return;
    }
    const bytes = new Uint8Array(filled + piece.length);
    if (known) bytes.set(known.bytes);
    bytes.set(piece, filled);
    this.#keep(number, bytes);
  }

  #keep(number: number, bytes: Uint8Array): void {
    this.#blocks.delete(number);
    this.#blocks.set(number, { bytes, ends: newlines(bytes) });
    for (const old of this.#blocks.keys()) {
      if (this.#blocks.size <= CACHED) break;
      this.#blocks.delete(old);
    }
  }

  /** A line (from 0); undefined where its bytes are on their way. */
  line(number: number): Line | undefined {
    const start = this.startOf(number);
    const end = number < this.#newlines ? this.#afterNewline(number + 1) : this.size + 1;
    if (start === undefined || end === undefined) return undefined;
    const length = Math.max(0, end - 1 - start);
    if (length <= LINE_BYTES) {
      const bytes = this.#bytes(start, length);
      return bytes && { text: decode(bytes), cutBytes: 0 };
    }
    const last = this.#bytes(start + length - LINE_BYTES, LINE_BYTES);
    if (!last) return undefined;
    const tail = decode(last);
    if (tail.replace(/\r+$/, "").includes("\r")) return { text: tail, cutBytes: 0 }; // a progress bar: only its last word is shown
    const head = this.#bytes(start, LINE_BYTES);
    return head && { text: decode(head), cutBytes: length };
  }

  /** The byte at which a line (from 0) begins; undefined where that is not known yet. */
  startOf(number: number): number | undefined {
    return number === 0 ? 0 : this.#afterNewline(number);
  }

  /** Where the line after newline `count` begins. */
  #afterNewline(count: number): number | undefined {
    let low = 0;
    let high = this.#before.length - 2;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#before[middle + 1]! >= count) high = middle;
      else low = middle + 1;
    }
    const block = this.#loaded(low);
    const end = block?.ends[count - this.#before[low]! - 1];
    return end === undefined ? undefined : low * this.#block + end + 1;
  }

  #bytes(start: number, length: number): Uint8Array | undefined {
    if (length === 0) return new Uint8Array();
    const first = Math.floor(start / this.#block);
    const last = Math.floor((start + length - 1) / this.#block);
    const found = new Uint8Array(length);
    let whole = true;
    for (let number = first; number <= last; number++) {
      const block = this.#loaded(number);
      if (!block) {
        whole = false;
        continue;
      }
      const from = Math.max(start, number * this.#block);
      const to = Math.min(start + length, number * this.#block + block.bytes.length);
      found.set(block.bytes.subarray(from - number * this.#block, to - number * this.#block), from - start);
    }
    return whole ? found : undefined;
  }

  #loaded(number: number): Block | undefined {
    const block = this.#blocks.get(number);
    if (block && block.bytes.length >= Math.min(this.#block, this.size - number * this.#block)) return block;
    if (!this.#asked.has(number)) {
      this.#asked.add(number);
      void this.#fetch(number);
    }
    return undefined;
  }

  async #fetch(number: number): Promise<void> {
    const reply = await fetch(`${this.bytesAddress}&offset=${number * this.#block}&limit=${this.#block}`).catch(() => undefined);
    if (reply?.ok && this.#isOther(reply)) return this.reload();
    const generation = this.generation;
    const bytes = reply?.ok ? new Uint8Array(await reply.arrayBuffer()) : undefined;
    if (generation !== this.generation) return;
    if (bytes) this.#keep(number, bytes.subarray(0, Math.max(0, this.size - number * this.#block)));
    else await new Promise((resolve) => window.setTimeout(resolve, RETRY_MS));
    this.#asked.delete(number);
    this.changed();
  }
}

function newlines(bytes: Uint8Array): number[] {
  const found: number[] = [];
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) found.push(at);
  return found;
}

const decoder = new TextDecoder("utf-8");
const decode = (bytes: Uint8Array): string => decoder.decode(bytes);
