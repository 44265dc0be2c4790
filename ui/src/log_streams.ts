/**
 * `<sirdar-streams>`: the streams of a task, of which some are shown. Attributes: `shown` (stdout, stderr or both), `by-hand` (the reader
 * chose it), `find` (where stdout alone is shown: what searches stderr), and while the task lives `events` and `src`, where this part of
 * the page comes from. The tab of a stderr that is not shown says how many of its lines look like errors.
 *
 * What another stream has written is seen in its tab at once. When the task has ended the part is asked for again. Where the reader has
 * touched nothing, and the task failed, or what is shown is empty, or is stderr though there is something in stdout, it takes the place of
 * this; else only its tabs do, which say where the cause may stand.
 */

import { listen, type Sizes } from "./log_feed";
import { Finder } from "./log_find";
import { counted } from "./log_tools";
import { size } from "./sizes";
import { say } from "./words";

const ERRORS_MS = 500;
const TOUCHES = ["pointerdown", "wheel", "keydown", "input"] as const;

class Streams extends HTMLElement {
  #stop: (() => void) | undefined;
  #touched = false;
  #lesser = false; // the other stream is the one to show
  #errors: Finder | undefined;
  #omitted = 0; // of the text that was searched
  #searched = 0;
  #erring = 0;
  readonly #onTouch = (): void => void (this.#touched = true);

  connectedCallback(): void {
    for (const name of TOUCHES) this.addEventListener(name, this.#onTouch, { passive: true });
    const events = this.getAttribute("events");
    if (events) this.#stop ??= listen(events, (sizes, ended) => this.#heard(sizes, ended));
    else void this.#search();
  }

  disconnectedCallback(): void {
    for (const name of TOUCHES) this.removeEventListener(name, this.#onTouch);
    this.#stop?.();
    this.#stop = undefined;
    window.clearTimeout(this.#erring);
    this.#erring = 0;
    this.#searched = 0;
    this.#errors?.stop();
    this.#errors = undefined;
  }

  #heard(sizes: Sizes, ended: boolean): void {
    for (const name of ["stdout", "stderr"] as const) {
      const tab = this.querySelector(`[data-size-of="${name}"]`);
      if (tab) tab.textContent = size(sizes[name] + (sizes.omitted?.[name] ?? 0));
    }
    this.#written(sizes.stderr, sizes.omitted?.stderr ?? 0);
    const shown = this.getAttribute("shown");
    this.#lesser = shown === "stdout" ? sizes.stdout === 0 && sizes.stderr > 0 : shown === "stderr" && sizes.stdout > 0;
    if (ended || (this.#lesser && !this.#isChosen)) void this.#lookAgain();
  }

  /** Look for errors in what has come, soon; all over again where it is another text. */
  #written(bytes: number, omitted: number): void {
    if (bytes === this.#searched && omitted === this.#omitted) return;
    if (bytes < this.#searched || omitted !== this.#omitted) {
      this.#errors?.stop();
      this.#errors = undefined;
    }
    this.#searched = bytes;
    this.#omitted = omitted;
    this.#erring ||= window.setTimeout(() => {
      this.#erring = 0;
      void this.#search();
    }, ERRORS_MS);
  }

  async #search(): Promise<void> {
    const address = this.getAttribute("find");
    if (!address) return;
    this.#errors ??= new Finder(address, "", () => this.#mark());
    await this.#errors.go();
  }

  #mark(): void {
    const tab = this.querySelector('[data-size-of="stderr"]')?.parentElement;
    if (!tab || tab.querySelector(".telling:not([data-errors])")) return; // it says more already
    const count = this.#errors?.lines.length ?? 0;
    const known = tab.querySelector<HTMLElement>("[data-errors]");
    if (count === 0) return known?.remove();
    const mark = known ?? document.createElement("strong");
    mark.className = "telling";
    mark.dataset["errors"] = String(count);
    mark.textContent = say("Errors: {count}", { count: counted(count) + (this.#errors?.more ? "+" : "") });
    if (!known) tab.append(" ", mark);
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
    this.#mark();
  }
}

customElements.define("sirdar-streams", Streams);
