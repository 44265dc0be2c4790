/**
 * `<sirdar-log>`: a stream of a task, live, of any length. Only the lines in view are in the page; the rest is an index (log_text.ts).
 *
 * Attributes: `stream`, and the addresses `index`, `find`, `bytes`, `events` (while the task lives) and `permalink`.
 */

import { lastWritten, parts, readable } from "./log_ansi";
import { listen } from "./log_feed";
import "./log_streams";
import { Finder } from "./log_find";
import { LogText } from "./log_text";
import { clock, Times, utc } from "./log_times";
import { build, counted, type Tools } from "./log_tools";
import { size } from "./sizes";
import { say } from "./words";

const TALLEST = 8_000_000; // pixels: browsers end somewhere above 16 million
const SPARE = 12; // lines beyond the edges
const TYPING_MS = 250;
const ERRORS_MS = 1_000;
const DARK = matchMedia("(prefers-color-scheme: dark)");
const GAP = /^\[\.\.\. (\d+) bytes left out here \.\.\.\]$/;

interface Row {
  element: HTMLElement;
  mark: string;
}

class LogView extends HTMLElement {
  #text!: LogText;
  #tools!: Tools;
  #times!: Times;
  #errors!: Finder;
  #search: Finder | undefined;
  #view!: HTMLElement;
  #tall!: HTMLElement;
  #list!: HTMLElement;
  #rows = new Map<number, Row>();
  #height = 18;
  #following = true;
  #at = -1; // the line that was found or named last
  #stop: (() => void) | undefined;
  #frame = 0;
  #typing = 0;
  #erring = 0;
  #generation = 0;
  #top = 0; // the number of the first line in view, in the whole stream
  #built = false;
  readonly #onHash = (): void => this.#toHash();
  #resized: ResizeObserver | undefined;

  connectedCallback(): void {
    if (!this.#built) this.#build();
    this.#built = true;
    window.addEventListener("hashchange", this.#onHash);
    this.#resized = new ResizeObserver(() => this.#draw());
    this.#resized.observe(this.#view);
    void this.#begin();
  }

  disconnectedCallback(): void {
    window.removeEventListener("hashchange", this.#onHash);
    this.#resized?.disconnect();
    this.#stop?.();
    this.#stop = undefined;
  }

  #build(): void {
    const name = this.getAttribute("stream") ?? "";
    this.#text = new LogText(this.#address("index"), this.#address("bytes"), () => this.#grew());
    this.#times = new Times(this.#address("times"), () => this.#draw());
    this.#errors = new Finder(this.#address("find"), "", () => this.#told());
    const bar = this.querySelector<HTMLElement>(".logbar") ?? this.appendChild(document.createElement("p"));
    this.#tools = build(bar, {
      typed: () => this.#typed(),
      step: (by) => this.#step(this.#search, by),
      toError: () => this.#step(this.#errors, 1),
      follow: (wanted) => this.#follow(wanted),
      times: (wanted) => this.#timed(wanted),
    });
    this.#view = document.createElement("div");
    this.#view.className = "log-view";
    this.#view.tabIndex = 0;
    this.#view.setAttribute("role", "region");
    this.#view.setAttribute("aria-label", name);
    this.#tall = this.#view.appendChild(document.createElement("div"));
    this.#tall.className = "log-tall";
    this.#list = this.#tall.appendChild(document.createElement("div"));
    this.#list.className = "log-rows";
    this.#view.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#view.addEventListener("wheel", (event) => this.#wheeled(event), { passive: false });
  }

  #address(name: string): string {
    return this.getAttribute(name) ?? "";
  }

  async #begin(): Promise<void> {
    await this.#text.refresh().catch(() => undefined);
    if (this.#text.size === 0 && this.#text.lines === 0 && !this.#address("events")) return;
    for (const old of this.querySelectorAll(":scope > pre, :scope > p:not(.logbar)")) old.remove();
    this.append(this.#view);
    this.#height = this.#measured();
    this.#toHash();
    this.#timed(this.#tools.times.checked);
    this.#grew();
    const events = this.#address("events");
    if (events && this.isConnected) this.#stop ??= listen(events, (sizes, ended) => {
      const name = this.getAttribute("stream") as "stdout" | "stderr";
      void this.#heard(sizes[name], sizes.omitted?.[name] ?? 0, ended);
    });
  }

  #measured(): number {
    const row = this.#row(0, "x", 0);
    this.#list.append(row);
    const height = row.getBoundingClientRect().height;
    row.remove();
    return height || 18;
  }

  async #heard(bytes: number, omitted: number, ended: boolean): Promise<void> {
    await this.#text.refresh(bytes, omitted).catch(() => undefined);
    if (this.#tools.times.checked) this.#times.look();
    if (!ended) return;
    await this.#text.refresh().catch(() => undefined); // now it says what was left out
    if (this.#text.omitted > 0) await this.#text.reload().catch(() => undefined);
  }

  // ------------------------------------------------------------ drawing

  #grew(): void {
    if (this.#generation !== this.#text.generation) this.#begun();
    window.clearTimeout(this.#erring);
    this.#erring = window.setTimeout(() => void this.#lookAgain(), this.#errors.lines.length || this.#text.complete ? 0 : ERRORS_MS);
    this.#draw();
  }

  /** It is another text, or another part of it is here: what was found counts no more, and the same lines stay in view. */
  #begun(): void {
    this.#generation = this.#text.generation;
    this.#errors.stop();
    this.#errors = new Finder(this.#address("find"), "", () => this.#told());
    if (this.#search) {
      this.#search.stop();
      this.#search = new Finder(this.#address("find"), this.#search.text, () => this.#told());
    }
    this.#at = -1;
    this.#rows.clear();
    this.#list.replaceChildren();
    if (!this.#following) this.#goTo(this.#text.lineOf(this.#top));
  }

  #timed(wanted: boolean): void {
    this.#view.classList.toggle("timed", wanted);
    if (wanted) this.#times.look();
    this.#draw();
  }

  async #lookAgain(): Promise<void> {
    await Promise.all([this.#errors.go(), this.#search?.go()]);
  }

  #draw(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  }

  /** How many times taller the lines are than the element that stands for them. */
  get #ratio(): number {
    const whole = this.#text.lines * this.#height;
    const view = this.#view.clientHeight;
    return whole <= TALLEST ? 1 : (whole - view) / (TALLEST - view);
  }

  #render(): void {
    const lines = this.#text.lines;
    const height = `${Math.min(lines * this.#height, TALLEST)}px`;
    if (this.#tall.style.height !== height) this.#tall.style.height = height;
    if (this.#following) this.#view.scrollTop = this.#view.scrollHeight;
    const top = this.#view.scrollTop * this.#ratio;
    const first = Math.max(0, Math.floor(top / this.#height) - SPARE);
    const last = Math.min(lines, Math.ceil((top + this.#view.clientHeight) / this.#height) + SPARE);
    this.#list.style.top = `${first * this.#height - top + this.#view.scrollTop}px`;
    this.#place(first, last);
    if (!this.#following) this.#top = this.#text.numberOf(this.#firstShown()) ?? this.#top;
    this.#tools.lines.textContent = this.#counts();
  }

  /** How many lines there are, and what of them is not here. */
  #counts(): string {
    const total = this.#text.total;
    const told = total === undefined ? [] : [say("Lines: {count}", { count: counted(total) })];
    if (this.#text.omitted > 0) told.push(say("left out in the middle: {size}", { size: size(this.#text.omitted) }));
    if (this.#tools.times.checked && this.#text.size > 0 && !this.#times.any) told.push(say("no times are known"));
    return told.join(" · ");
  }

  #place(first: number, last: number): void {
    for (const [number, row] of this.#rows) {
      if (number >= first && number < last) continue;
      row.element.remove();
      this.#rows.delete(number);
    }
    for (let number = first; number < last; number++) {
      const row = this.#current(number);
      const here = this.#list.children[number - first] ?? null;
      if (row !== here) this.#list.insertBefore(row, here);
    }
  }

  /** The line's element, made anew only where the line has changed: a selection in it stays. */
  #current(number: number): HTMLElement {
    const line = this.#text.line(number);
    const known = this.#rows.get(number);
    if (!line && known) return known.element; // its bytes are on their way: it stays as it was
    const text = line === undefined ? "" : lastWritten(line.text);
    const mark = `${line === undefined} ${number === this.#at} ${this.#search?.text ?? ""} ${line?.cutBytes ?? 0} ${this.#time(number) ?? ""} ${this.#text.complete} ${text}`;
    if (known?.mark === mark) return known.element;
    const element = this.#row(number, text, line?.cutBytes ?? 0);
    if (known) known.element.replaceWith(element);
    this.#rows.set(number, { element, mark });
    return element;
  }

  #time(line: number): number | undefined {
    if (!this.#tools.times.checked) return undefined;
    return this.#times.of(this.#text.startOf(line), line === 0 ? undefined : this.#text.startOf(line - 1));
  }

  #row(line: number, text: string, cutBytes: number): HTMLElement {
    const row = document.createElement("div");
    row.className = line === this.#at ? "log-row at" : "log-row";
    row.append(this.#number(line));
    if (this.#tools.times.checked) row.append(timeOf(this.#time(line)));
    const gap = this.#text.omitted > 0 ? GAP.exec(text) : null;
    if (gap) {
      row.classList.add("gap");
      row.append(this.#missing(Number(gap[1])));
      return row;
    }
    for (const part of parts(text)) this.#write(row, part);
    if (cutBytes) {
      const note = document.createElement("em");
      note.textContent = ` ${say("… a line of {count} bytes; raw has all of it", { count: counted(cutBytes) })}`;
      row.append(note);
    }
    return row;
  }

  #number(line: number): HTMLElement {
    const number = this.#text.numberOf(line);
    const link = document.createElement("a");
    link.className = "no";
    link.tabIndex = -1;
    if (number === undefined) return link;
    link.href = `${this.#address("permalink")}#L${number + 1}`;
    link.textContent = String(number + 1);
    return link;
  }

  #missing(bytes: number): string {
    const lines = this.#text.missing;
    if (lines === undefined) return say("{count} bytes in the middle were left out", { count: counted(bytes) });
    const told = { size: size(bytes), count: counted(lines) };
    if (this.#text.complete) return say("Not kept in the middle: {size}, lines: {count}", told);
    return say("Left out in the middle while it runs: {size}, lines: {count}", told);
  }

  #write(row: HTMLElement, part: ReturnType<typeof parts>[number]): void {
    const element = document.createElement("span");
    element.className = part.classes.join(" ");
    if (part.background) {
      element.style.backgroundColor = part.background;
      element.style.color = part.color ?? readable(part.background, !DARK.matches);
    } else if (part.color) element.style.color = readable(part.color, DARK.matches);
    const wanted = this.#search?.text.toLowerCase() ?? "";
    const lowered = part.text.toLowerCase();
    let at = 0;
    for (let hit = wanted ? lowered.indexOf(wanted) : -1; hit >= 0 && lowered.length === part.text.length; hit = lowered.indexOf(wanted, at)) {
      element.append(part.text.slice(at, hit));
      element.appendChild(document.createElement("mark")).textContent = part.text.slice(hit, hit + wanted.length);
      at = hit + wanted.length;
    }
    element.append(part.text.slice(at));
    row.append(element);
  }

  // ------------------------------------------------------------ moving

  #scrolled(): void {
    const left = this.#view.scrollHeight - this.#view.clientHeight - this.#view.scrollTop;
    const atEnd = left < this.#height * 1.5;
    if (this.#following !== atEnd && (atEnd || !this.#frame)) this.#setFollowing(atEnd);
    this.#draw();
  }

  /** Where one pixel stands for many lines, the wheel still moves by lines. */
  #wheeled(event: WheelEvent): void {
    if (this.#ratio === 1 || event.ctrlKey) return;
    event.preventDefault();
    if (event.deltaY < 0) this.#setFollowing(false);
    this.#view.scrollTop += event.deltaY / this.#ratio;
  }

  #follow(wanted: boolean): void {
    this.#setFollowing(wanted);
    this.#draw();
  }

  #setFollowing(wanted: boolean): void {
    this.#following = wanted;
    this.#tools.follow.checked = wanted;
  }

  #show(line: number): void {
    this.#at = Math.max(0, Math.min(line, this.#text.lines - 1));
    this.#setFollowing(false);
    this.#goTo(this.#at, this.#view.clientHeight / 3);
    this.#draw();
  }

  #goTo(line: number, above = 0): void {
    const height = `${Math.min(this.#text.lines * this.#height, TALLEST)}px`;
    this.#tall.style.height = height;
    this.#view.scrollTop = (line * this.#height - above) / this.#ratio;
  }

  #toHash(): void {
    const found = /^#L(\d+)$/.exec(location.hash);
    if (found && this.#text.lines > 0) this.#show(this.#text.lineOf(Number(found[1]) - 1));
  }

  // ------------------------------------------------------------ finding

  #typed(): void {
    window.clearTimeout(this.#typing);
    this.#typing = window.setTimeout(() => void this.#find(), TYPING_MS);
  }

  async #find(): Promise<void> {
    const text = this.#tools.search.value;
    if (text === (this.#search?.text ?? "")) return;
    this.#search?.stop();
    this.#search = text ? new Finder(this.#address("find"), text, () => this.#told()) : undefined;
    const mine = this.#search;
    this.#told();
    await mine?.go();
    if (mine && mine === this.#search && mine.lines.length > 0) this.#step(mine, 1, this.#firstShown() - 1);
  }

  #firstShown(): number {
    return Math.floor((this.#view.scrollTop * this.#ratio) / this.#height);
  }

  #step(finder: Finder | undefined, by: 1 | -1, from = this.#at): void {
    if (!finder) return this.#tools.search.focus();
    const place = finder.next(from, by);
    if (place >= 0) this.#show(finder.lines[place]!);
    if (finder.more && place === finder.lines.length - 1) void finder.go();
    this.#told();
  }

  /** What was found, in words. */
  #told(): void {
    const errors = this.#errors.lines.length;
    this.#tools.errors.hidden = errors === 0;
    this.#tools.errors.textContent = say("Errors: {count}", { count: counted(errors) + (this.#errors.more ? "+" : "") });
    const search = this.#search;
    const place = search ? search.lines.indexOf(this.#at) : -1;
    const count = search ? counted(search.lines.length) + (search.more ? "+" : "") : "";
    this.#tools.found.value = !search
      ? ""
      : search.lines.length === 0
        ? say("Not found")
        : place < 0
          ? say("Lines found: {count}", { count })
          : say("{number} of {count}", { number: counted(place + 1), count });
    this.#draw();
  }
}

function timeOf(at: number | undefined): HTMLElement {
  const element = document.createElement("time");
  element.className = "when";
  if (at === undefined) return element;
  element.dateTime = new Date(at * 1000).toISOString();
  element.title = utc(at);
  element.textContent = clock(at);
  return element;
}

customElements.define("sirdar-log", LogView);
