/**
 * One file on its way to the server: small ones in one request, large ones in pieces that go on after a cut line or a reload.
 *
 * What has arrived is asked of the server after each fault, so nothing is sent twice and nothing is left out.
 */

const PIECE_BYTES = 8 * 2 ** 20;
const WHOLE_BYTES = 2 * 2 ** 20; // up to this a file goes in one request
const RETRY_MS = 1_000;
const RETRY_MOST_MS = 20_000;

export interface Uploaded {
  uri: string;
  filename: string;
  length: number;
}

/** What the server refused, in its words; trying again the same way is of no use. */
export class Refused extends Error {}

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

export class Transfer {
  sent = 0;
  waiting = false; // for the line to come back
  #request: XMLHttpRequest | undefined;
  #ended = false;
  #id: string | undefined;
  #wake: (() => void) | undefined;

  constructor(
    readonly file: File,
    readonly moved: () => void,
  ) {}

  /** The file's uri when all of it is there. Rejects with `Refused`, or with an AbortError after `cancel`. */
  async run(): Promise<Uploaded> {
    if (this.file.size <= WHOLE_BYTES) return this.#whole();
    await this.#find();
    while (this.sent < this.file.size) await this.#piece();
    const done = await this.#patiently("POST", `/api/files/uploads/${this.#id}/complete`);
    this.#forget();
    return done.body as unknown as Uploaded;
  }

  cancel(): void {
    this.#ended = true;
    this.#request?.abort();
    this.#wake?.();
    this.#forget();
    if (this.#id) void fetch(`/api/files/uploads/${this.#id}`, { method: "DELETE" }).catch(() => undefined);
  }

  async #whole(): Promise<Uploaded> {
    const address = `/api/files/temp/${encodeURIComponent(this.file.name)}`;
    const done = await this.#patiently("PUT", address, this.file, 0);
    return done.body as unknown as Uploaded;
  }

  /** The upload of this very file that was begun before, else a new one. */
  async #find(): Promise<void> {
    const known = sessionStorage.getItem(this.#key());
    if (known) {
      const state = await this.#patiently("GET", `/api/files/uploads/${known}`).catch((error: unknown) => {
        if (error instanceof Refused) return undefined;
        throw error;
      });
      if (state) return this.#at(known, state);
    }
    const content = JSON.stringify({ filename: this.file.name, length: this.file.size });
    const begun = await this.#patiently("POST", "/api/files/uploads", content);
    const id = String(begun.body["id"]);
    try {
      sessionStorage.setItem(this.#key(), id);
    } catch {
      // without storage a reload begins anew
    }
    this.#at(id, begun);
  }

  #at(id: string, state: Answer): void {
    this.#id = id;
    this.sent = Number(state.body["offset"]);
    this.moved();
  }

  async #piece(): Promise<void> {
    const from = this.sent;
    const piece = this.file.slice(from, Math.min(this.file.size, from + PIECE_BYTES));
    const address = `/api/files/uploads/${this.#id}`;
    try {
      const answer = await this.#ask("PATCH", `${address}?offset=${from}`, piece, from);
      if (answer.status < 300) {
        this.sent = Number(answer.body["offset"]);
        this.moved();
        return;
      }
      if (answer.status !== 409 && answer.status < 500) throw refusal(answer);
    } catch (error) {
      if (this.#ended || error instanceof Refused) throw error;
    }
    await this.#pause(RETRY_MS);
    const state = await this.#patiently("GET", address);
    this.sent = Number(state.body["offset"]);
    this.moved();
  }

  /** Asks until there is an answer that is no fault of the line or the server. */
  async #patiently(method: string, address: string, content?: XMLHttpRequestBodyInit, from?: number): Promise<Answer> {
    for (let wait = RETRY_MS; ; wait = Math.min(RETRY_MOST_MS, wait * 2)) {
      try {
        const answer = await this.#ask(method, address, content, from);
        if (answer.status < 300) return answer;
        if (answer.status < 500 || answer.status === 507) throw refusal(answer);
      } catch (error) {
        if (this.#ended || error instanceof Refused) throw error;
      }
      await this.#pause(wait);
    }
  }

  async #pause(ms: number): Promise<void> {
    this.waiting = true;
    this.moved();
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      window.setTimeout(resolve, ms);
      window.addEventListener("online", () => resolve(), { once: true });
    });
    if (this.#ended) throw new DOMException("cancelled", "AbortError");
  }

  /** One request; `from`: where in the file its bytes begin, so that progress is told while they go. */
  #ask(method: string, address: string, content?: XMLHttpRequestBodyInit, from?: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(new DOMException("cancelled", "AbortError"));
      const request = new XMLHttpRequest();
      this.#request = request;
      request.open(method, address);
      request.setRequestHeader("Accept", "application/json");
      if (typeof content === "string") request.setRequestHeader("Content-Type", "application/json");
      else if (content) request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.addEventListener("progress", (event) => {
        this.waiting = false;
        if (from === undefined) return;
        this.sent = from + event.loaded;
        this.moved();
      });
      request.addEventListener("load", () => {
        this.waiting = false;
        resolve({ status: request.status, body: parsed(request.responseText) });
      });
      request.addEventListener("error", () => reject(new Error("line")));
      request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
      request.send(content ?? null);
    });
  }

  #key(): string {
    return `sirdar-upload ${this.file.name} ${this.file.size} ${this.file.lastModified}`;
  }

  #forget(): void {
    sessionStorage.removeItem(this.#key());
  }
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function refusal(answer: Answer): Refused {
  return new Refused(String(answer.body["detail"] ?? `HTTP ${answer.status}`));
}
