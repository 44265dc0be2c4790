/** One stream of events for all viewers of a page that watch the same task; closed while the page is hidden, short where many are open. */

import { takePlace } from "./stream_places";

export interface Sizes {
  stdout: number;
  stderr: number;
  /** Bytes that are left out of the middle, where there are any. */
  omitted?: { stdout: number; stderr: number };
}

type Listener = (sizes: Sizes, ended: boolean) => void;

const RETRY_MS = 3_000;
const feeds = new Map<string, Feed>();

class Feed {
  readonly listeners = new Set<Listener>();
  #stream: EventSource | undefined;
  #asking = false;
  #giveBack: (() => void) | undefined;
  #ended = false;
  #timer = 0;
  readonly #onVisible = (): void => (document.hidden ? this.#close() : void this.#open());

  constructor(private readonly address: string) {
    document.addEventListener("visibilitychange", this.#onVisible);
    if (!document.hidden) void this.#open();
  }

  stop(): void {
    document.removeEventListener("visibilitychange", this.#onVisible);
    this.#ended = true;
    this.#close();
  }

  async #open(): Promise<void> {
    if (this.#ended || this.#stream || this.#asking) return;
    this.#asking = true;
    const giveBack = await takePlace();
    this.#asking = false;
    if (this.#ended || document.hidden) return giveBack?.();
    this.#giveBack = giveBack;
    const stream = new EventSource(this.address);
    this.#stream = stream;
    stream.addEventListener("grew", (event) => {
      this.#tell(event as MessageEvent<string>, false);
      if (!giveBack) this.#later(); // without a place it says how much there is, and goes
    });
    stream.addEventListener("end", (event) => {
      this.#ended = true;
      this.#close();
      this.#tell(event as MessageEvent<string>, true);
    });
    stream.addEventListener("error", () => {
      if (stream.readyState !== EventSource.CLOSED) return; // the browser comes back by itself
      this.#later();
    });
  }

  #later(): void {
    this.#close();
    this.#timer = window.setTimeout(() => void this.#open(), RETRY_MS);
  }

  #tell(event: MessageEvent<string>, ended: boolean): void {
    const sizes = JSON.parse(event.data) as Sizes;
    for (const listener of this.listeners) listener(sizes, ended);
  }

  #close(): void {
    window.clearTimeout(this.#timer);
    this.#stream?.close();
    this.#stream = undefined;
    this.#giveBack?.();
    this.#giveBack = undefined;
  }
}

/** Hear of each change of the sizes; call what is given back to stop. */
export function listen(address: string, listener: Listener): () => void {
  const feed = feeds.get(address) ?? new Feed(address);
  feeds.set(address, feed);
  feed.listeners.add(listener);
  return () => {
    feed.listeners.delete(listener);
    if (feed.listeners.size > 0) return;
    feed.stop();
    feeds.delete(address);
  };
}
