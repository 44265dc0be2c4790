/** When the lines of a stream came, as far as the server knows it: at the first line of what was seen together. */

const LEAST_MS = 1_000; // between two looks

type Mark = [start: number, at: number | null];

export class Times {
  #marks: Mark[] = [];
  #timer = 0;
  #asked = 0;

  constructor(
    private readonly address: string,
    private readonly changed: () => void,
  ) {}

  /** Whether any time is known. */
  get any(): boolean {
    return this.#marks.some(([, at]) => at !== null);
  }

  /** Look again soon: the stream has grown. */
  look(): void {
    const left = Math.max(0, this.#asked + LEAST_MS - Date.now());
    this.#timer ||= window.setTimeout(() => void this.#look(), left);
  }

  async #look(): Promise<void> {
    this.#asked = Date.now();
    this.#timer = 0;
    const reply = await fetch(this.address).catch(() => undefined);
    if (!reply?.ok) return;
    this.#marks = ((await reply.json()) as { seen: Mark[] }).seen;
    this.changed();
  }

  /** Seconds since 1970, of a line that begins there; undefined where nobody knows, or where it came with the line before. */
  of(start: number | undefined, before: number | undefined): number | undefined {
    if (start === undefined) return undefined;
    let low = 0;
    let high = this.#marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#marks[middle]![0] <= start) low = middle + 1;
      else high = middle;
    }
    const mark = this.#marks[low - 1];
    if (!mark || mark[1] === null || (before !== undefined && before >= mark[0])) return undefined;
    return mark[1];
  }
}

const digits = (value: number): string => String(value).padStart(2, "0");

/** `14:02:11`, in the reader's zone. */
export function clock(at: number): string {
  const there = new Date(at * 1000);
  return [there.getHours(), there.getMinutes(), there.getSeconds()].map(digits).join(":");
}

/** `2026-11-22 13:02:11.4 UTC`, for hover. */
export const utc = (at: number): string => new Date(at * 1000).toISOString().replace("T", " ").slice(0, 21) + " UTC";
