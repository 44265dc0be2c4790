/**
 * `<sirdar-live src="/fragment" events="/stream">`: its content follows the server. `every="5"` in place of a stream: a look each 5 s.
 *
 * At each `changed` event of the stream the fragment is fetched and morphed into place, never more than one fetch at a time; the event
 * `end` is followed by a last look. A hidden page closes its stream (a browser allows six connections to a host) and looks once when it
 * is seen again; one that gets no stream, for many windows are open, looks each 5 s. `least="1"`: a second at least between two looks. Where the server is away, the part says so and goes on as soon as it is back.
 */

import htmx from "htmx.org";
import { takePlace } from "./stream_places";
import { say } from "./words";

const LOOK_MS = 5_000;
const RETRY_MS = 2_000;
const RETRY_MOST_MS = 30_000;

export class Live extends HTMLElement {
  #stream: EventSource | undefined;
  #asking = false;
  #giveBack: (() => void) | undefined;
  #looking = false;
  #again = false;
  #ended = false;
  #retryMs = RETRY_MS;
  #timer = 0;
  #looks = 0;
  readonly #onVisible = (): void => (document.hidden ? this.#close() : this.#resume());

  connectedCallback(): void {
    document.addEventListener("visibilitychange", this.#onVisible);
    if (!document.hidden) void this.#open();
  }

  disconnectedCallback(): void {
    document.removeEventListener("visibilitychange", this.#onVisible);
    this.#close();
  }

  /** Fetch the fragment now; used by others that know of a change. */
  async look(): Promise<void> {
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    try {
      do {
        this.#again = false;
        await this.#fetch();
        const leastS = Number(this.getAttribute("least"));
        if (leastS > 0 && !this.#ended) await new Promise((resume) => window.setTimeout(resume, leastS * 1000));
      } while (this.#again);
    } finally {
      this.#looking = false;
    }
  }

  async #fetch(): Promise<void> {
    const address = this.getAttribute("src");
    if (!address || !this.isConnected) return;
    const reply = await fetch(address, { headers: { "HX-Request": "true" } }).catch(() => undefined);
    if (!reply?.ok) {
      if (reply?.status === 404 || reply?.status === 401) this.#finish();
      else this.classList.add("away");
      return;
    }
    if (reply.redirected && new URL(reply.url).pathname === "/login") {
      this.#finish();
      this.dataset.away = say("You are signed out: sign in in another window, then go on here.");
      this.classList.add("away");
      return;
    }
    this.classList.remove("away");
    const text = await reply.text();
    await htmx.swap({ target: this, text, swap: "innerMorph" });
    this.dispatchEvent(new CustomEvent("sirdar:looked", { bubbles: true }));
  }

  #resume(): void {
    if (this.#ended) return;
    void this.look();
    void this.#open();
  }

  async #open(): Promise<void> {
    const address = this.getAttribute("events");
    const everyS = Number(this.getAttribute("every"));
    if (everyS > 0 && !this.#looks) this.#looks = window.setInterval(() => void this.look(), everyS * 1000);
    if (!address || this.#ended || this.#stream || this.#asking) return;
    this.#asking = true;
    const giveBack = await takePlace();
    this.#asking = false;
    if (document.hidden || this.#ended || !this.isConnected) return giveBack?.();
    if (!giveBack) return this.#later(LOOK_MS);
    this.#giveBack = giveBack;
    const stream = new EventSource(address);
    this.#stream = stream;
    stream.addEventListener("open", () => {
      this.#retryMs = RETRY_MS;
      if (this.classList.contains("away")) void this.look();
      this.classList.remove("away");
    });
    stream.addEventListener("changed", (event) => {
      this.dispatchEvent(new CustomEvent("sirdar:changed", { bubbles: true, detail: (event as MessageEvent<string>).data }));
      void this.look();
    });
    stream.addEventListener("end", () => {
      this.#finish();
      void this.look();
    });
    stream.addEventListener("error", () => this.#failed());
  }

  /**
   * The browser comes back by itself after a cut line, but not after an answer that is no stream, such as a proxy's 502, or a session
   * that is over, or one stream too many: a look tells which.
   */
  #failed(): void {
    if (this.#stream?.readyState !== EventSource.CLOSED) {
      this.classList.add("away");
      return;
    }
    this.#close();
    void this.look();
    this.#later(this.#retryMs);
    this.#retryMs = Math.min(RETRY_MOST_MS, this.#retryMs * 2);
  }

  /** Look, and ask for a stream again, after a while. */
  #later(afterMs: number): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#resume(), afterMs);
  }

  #finish(): void {
    this.#ended = true;
    this.#close();
    this.classList.remove("away");
  }

  #close(): void {
    window.clearTimeout(this.#timer);
    window.clearInterval(this.#looks);
    this.#looks = 0;
    this.#stream?.close();
    this.#stream = undefined;
    this.#giveBack?.();
    this.#giveBack = undefined;
  }
}

customElements.define("sirdar-live", Live);
