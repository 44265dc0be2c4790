/**
 * `<sirdar-streams>`: the streams of a task, of which some are shown. Attributes: `shown` (stdout, stderr or both), `by-hand` (the reader
 * chose it), and while the task lives `events` and `src`, where this part of the page comes from.
 *
 * What another stream has written is seen in its tab at once. When the task has ended the part is asked for again. Where the reader has
 * touched nothing, and the task failed, or what is shown is empty, or is stderr though there is something in stdout, it takes the place of
 * this; else only its tabs do, which say where the cause may stand.
 */

import { listen, type Sizes } from "./log_feed";
import { size } from "./sizes";

const TOUCHES = ["pointerdown", "wheel", "keydown", "input"] as const;

class Streams extends HTMLElement {
  #stop: (() => void) | undefined;
  #touched = false;
  #lesser = false; // the other stream is the one to show
  readonly #onTouch = (): void => void (this.#touched = true);

  connectedCallback(): void {
    for (const name of TOUCHES) this.addEventListener(name, this.#onTouch, { passive: true });
    const events = this.getAttribute("events");
    if (events) this.#stop ??= listen(events, (sizes, ended) => this.#heard(sizes, ended));
  }

  disconnectedCallback(): void {
    for (const name of TOUCHES) this.removeEventListener(name, this.#onTouch);
    this.#stop?.();
    this.#stop = undefined;
  }

  #heard(sizes: Sizes, ended: boolean): void {
    for (const name of ["stdout", "stderr"] as const) {
      const tab = this.querySelector(`[data-size-of="${name}"]`);
      if (tab) tab.textContent = size(sizes[name] + (sizes.omitted?.[name] ?? 0));
    }
    const shown = this.getAttribute("shown");
    this.#lesser = shown === "stdout" ? sizes.stdout === 0 && sizes.stderr > 0 : shown === "stderr" && sizes.stdout > 0;
    if (ended || (this.#lesser && !this.#isChosen)) void this.#lookAgain();
  }

  get #isChosen(): boolean {
    return this.#touched || this.hasAttribute("by-hand") || location.hash !== "";
  }

  async #lookAgain(): Promise<void> {
    const address = this.getAttribute("src");
    const reply = address ? await fetch(address, { headers: { "HX-Request": "true" } }).catch(() => undefined) : undefined;
    if (!reply?.ok || reply.redirected || !this.isConnected) return;
    const found = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector("sirdar-streams");
    const here = this.querySelector(".streams");
    const tabs = found?.querySelector(".streams");
    if (!found || !tabs || !here) return;
    const better = found.getAttribute("shown");
    const wanted = this.#lesser || better === found.getAttribute("telling");
    if (!this.#isChosen && wanted && better !== this.getAttribute("shown")) {
      this.replaceWith(document.adoptNode(found));
      return;
    }
    for (const link of tabs.querySelectorAll<HTMLAnchorElement>("a")) link.removeAttribute("aria-current");
    const current = here.querySelector<HTMLAnchorElement>("a[aria-current]")?.getAttribute("href");
    for (const link of tabs.querySelectorAll<HTMLAnchorElement>("a")) if (link.getAttribute("href") === current) link.setAttribute("aria-current", "page");
    here.replaceWith(document.adoptNode(tabs));
  }
}

customElements.define("sirdar-streams", Streams);
