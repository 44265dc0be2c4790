/**
 * `<sirdar-upload data-field="NAME" data-many="0|1">` around a file field: files go to the server as soon as they are chosen or dropped,
 * three at a time, with progress, cancel and retry; what has arrived stands in the form as `kept.NAME`, as the server would write it.
 */

import { size, span } from "./sizes";
import { Refused, Transfer, type Uploaded } from "./transfer";
import { say } from "./words";

const AT_ONCE = 3;
const ROWS = 60; // of files on their way that are shown one by one
const TICK_MS = 250;

interface Item {
  file: File;
  order: number; // in which it was chosen
  transfer: Transfer;
  row: HTMLTableRowElement | undefined;
  state: "queued" | "running" | "failed";
  began: number;
  from: number;
}

/** All fields of the page share the line. */
const queue: (() => Promise<void>)[] = [];
let running = 0;

function turn(): void {
  while (running < AT_ONCE) {
    const next = queue.shift();
    if (!next) return;
    running += 1;
    void next().finally(() => {
      running -= 1;
      turn();
    });
  }
}

export class Upload extends HTMLElement {
  #items = new Set<Item>();
  #input: HTMLInputElement | undefined;
  #list: HTMLUListElement | undefined;
  #table = document.createElement("table");
  #sum = document.createElement("p");
  #timer = 0;
  #order = 0;

  connectedCallback(): void {
    const input = this.querySelector<HTMLInputElement>('input[type="file"]');
    const list = this.querySelector<HTMLUListElement>("ul[data-kept]");
    const drop = this.querySelector<HTMLElement>(".drop");
    if (!input || !list || !drop || this.#input) return;
    this.#input = input;
    this.#list = list;
    this.#table.className = "uploads";
    this.#sum.className = "help number";
    this.#sum.setAttribute("role", "status");
    this.#sum.hidden = true;
    const hint = document.createElement("p");
    hint.className = "help hint";
    hint.textContent = this.#many ? say("Drop files here, as many as you like") : say("Or drop a file here");
    drop.append(hint);
    drop.before(this.#table, this.#sum);
    input.addEventListener("change", () => {
      this.add([...(input.files ?? [])]);
      input.value = "";
    });
    this.#acceptDrops(drop);
    this.#restore();
    list.addEventListener("change", () => this.#remember());
  }

  /** Files that are neither there nor given up. */
  get pending(): number {
    return [...this.#items].filter((item) => item.state !== "failed").length;
  }

  get failed(): number {
    return this.#items.size - this.pending;
  }

  get #many(): boolean {
    return this.dataset.many === "1";
  }

  get #store(): string {
    return `sirdar-kept ${location.pathname} ${this.dataset.field}`;
  }

  add(files: File[]): void {
    if (files.length === 0) return;
    const chosen = this.#many ? files : files.slice(-1);
    if (!this.#many) for (const item of [...this.#items]) this.#drop(item);
    if (!this.#many) for (const item of this.querySelectorAll("li.refused")) item.remove();
    for (const file of chosen) this.#begin(file);
    this.#draw();
  }

  #begin(file: File): void {
    const item: Item = { file, order: (this.#order += 1), transfer: new Transfer(file, () => this.#tick()), row: undefined, state: "queued", began: 0, from: 0 };
    this.#items.add(item);
    const fault = this.#fault(file);
    if (fault) return this.#fail(item, fault, false);
    this.#start(item);
  }

  #start(item: Item): void {
    item.state = "queued";
    queue.push(async () => {
      if (!this.#items.has(item)) return;
      item.state = "running";
      item.began = performance.now();
      try {
        const done = await item.transfer.run();
        if (!this.#items.delete(item)) return;
        item.row?.remove();
        this.#keep(done, item.order);
      } catch (error) {
        if (this.#items.has(item)) this.#fail(item, error instanceof Refused ? error.message : say("It could not be sent."), true);
      }
      this.#draw();
    });
    turn();
  }

  /** What the server would refuse when all has been sent is refused before. */
  #fault(file: File): string {
    const suffixes = (this.dataset.suffixes ?? "").split(" ").filter((text) => text !== "");
    if (suffixes.length > 0 && !suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix.toLowerCase()))) {
      return say("It has another suffix than {suffixes}.", { suffixes: suffixes.join(", ") });
    }
    const most = Number(this.dataset.most ?? 0);
    if (most > 0 && file.size > most) return say("It has {size}, and at most {most} are taken.", { size: size(file.size), most: size(most) });
    return "";
  }

  #fail(item: Item, text: string, again: boolean): void {
    item.state = "failed";
    const row = this.#row(item);
    row.replaceChildren(cell(item.file.name, "name"), cell("", ""), cell("", ""));
    const note = document.createElement("p");
    note.className = "error";
    note.textContent = text;
    row.cells[0]?.append(note);
    if (!again) row.cells[0]?.append(this.#refused(item.file));
    if (again) row.cells[1]?.append(this.#button(say("Try again"), () => this.#retry(item)));
    row.cells[2]?.append(this.#button(say("Remove"), () => this.#drop(item)));
    this.#draw();
  }

  /** So that the server can say at the field what was wrong, when the form is sent all the same. */
  #refused(file: File): HTMLInputElement {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name: `refused.${this.dataset.field}`, value: `${file.size} ${file.name}` });
    return field;
  }

  #retry(item: Item): void {
    item.row?.remove();
    this.#items.delete(item);
    this.#begin(item.file);
    this.#draw();
  }

  #drop(item: Item): void {
    this.#items.delete(item);
    item.row?.remove();
    item.transfer.cancel();
    this.#draw();
  }

  // ---------------------------------------------------------------- what has arrived

  #keep(file: Uploaded, order: number): void {
    if (!this.#many) this.#list?.replaceChildren();
    this.#entry({ uri: file.uri, filename: file.filename, length: file.length }, order);
    this.#remember();
    this.dispatchEvent(new Event("change", { bubbles: true }));
  }

  /** Files stand in the order in which they were chosen, whichever came first. */
  #entry(file: Uploaded, order = 0): void {
    const item = document.createElement("li");
    const label = document.createElement("label");
    label.className = "check";
    const box = document.createElement("input");
    Object.assign(box, { type: "checkbox", name: `kept.${this.dataset.field}`, value: file.uri, checked: true });
    const link = document.createElement("a");
    link.href = file.uri;
    link.textContent = file.filename;
    const text = document.createElement("span");
    const figure = document.createElement("span");
    figure.className = "number";
    figure.textContent = size(file.length);
    text.append(link, ", ", figure);
    label.append(box, text);
    item.append(label);
    item.dataset.file = JSON.stringify(file);
    item.dataset.order = String(order);
    const later = [...(this.#list?.children ?? [])].find((other) => Number((other as HTMLElement).dataset.order ?? 0) > order);
    this.#list?.insertBefore(item, later ?? null);
  }

  /** So that a reload of the page loses nothing that has arrived. */
  #remember(): void {
    const items = [...(this.#list?.querySelectorAll<HTMLElement>("li[data-file]") ?? [])];
    const kept = items.filter((item) => item.querySelector("input")?.checked).map((item) => item.dataset.file ?? "");
    try {
      sessionStorage.setItem(this.#store, JSON.stringify(kept));
    } catch {
      // a reload asks for them again
    }
  }

  #restore(): void {
    const fresh = performance.getEntriesByType("navigation")[0];
    const reloaded = fresh instanceof PerformanceNavigationTiming && fresh.type !== "navigate";
    const stored = sessionStorage.getItem(this.#store);
    if (!stored || !reloaded) return sessionStorage.removeItem(this.#store);
    for (const text of JSON.parse(stored) as string[]) {
      const file = JSON.parse(text) as Uploaded;
      const there = [...this.querySelectorAll<HTMLInputElement>('input[type="checkbox"]')].some((box) => box.value === file.uri);
      if (!there) this.#entry(file);
    }
  }

  // ---------------------------------------------------------------- dropping

  #acceptDrops(drop: HTMLElement): void {
    const over = (event: DragEvent): void => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.add("over");
    };
    drop.addEventListener("dragenter", over);
    drop.addEventListener("dragover", over);
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      void dropped(event.dataTransfer).then((files) => this.add(files));
    });
  }

  // ---------------------------------------------------------------- what is seen

  #tick(): void {
    this.#timer ||= window.setTimeout(() => {
      this.#timer = 0;
      this.#draw();
    }, TICK_MS);
  }

  #draw(): void {
    const items = [...this.#items];
    for (const item of items.slice(0, ROWS)) if (item.state !== "failed") this.#progress(item);
    const going = items.filter((item) => item.state !== "failed");
    this.#sum.hidden = going.length < 2;
    if (going.length > 1) {
      const whole = going.reduce((sum, item) => sum + item.file.size, 0);
      const sent = going.reduce((sum, item) => sum + item.transfer.sent, 0);
      this.#sum.textContent = say("{count} files to send, {sent} of {whole}", { count: going.length, sent: size(sent), whole: size(whole) });
    }
    this.dispatchEvent(new CustomEvent("sirdar:uploads", { bubbles: true }));
  }

  #progress(item: Item): void {
    const row = this.#row(item);
    if (row.cells.length === 0) {
      const bar = document.createElement("progress");
      bar.setAttribute("aria-label", item.file.name);
      row.append(cell(item.file.name, "name"), cell("", ""), cell("", "number"), cell("", ""));
      row.cells[1]?.append(bar);
      row.cells[3]?.append(this.#button(say("Cancel"), () => this.#drop(item)));
    }
    const bar = row.querySelector("progress");
    if (bar) Object.assign(bar, { max: Math.max(1, item.file.size), value: item.transfer.sent });
    const figures = row.cells[2];
    if (figures) figures.textContent = this.#figures(item);
  }

  #figures(item: Item): string {
    const { sent, waiting } = item.transfer;
    const of = say("{sent} of {whole}", { sent: size(sent), whole: size(item.file.size) });
    if (waiting) return say("{sent}, waiting for the line", { sent: of });
    if (item.state === "queued" || sent === 0) return of;
    item.from ||= sent;
    const seconds = (performance.now() - item.began) / 1000;
    const speed = (sent - item.from) / seconds;
    if (seconds < 1 || speed <= 0) return of;
    return say("{sent}, about {span} left", { sent: of, span: span((item.file.size - sent) / speed) });
  }

  #row(item: Item): HTMLTableRowElement {
    if (!item.row) {
      item.row = document.createElement("tr");
      (this.#table.tBodies[0] ?? this.#table.createTBody()).append(item.row);
    }
    return item.row;
  }

  #button(word: string, act: () => void): HTMLButtonElement {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word;
    button.addEventListener("click", act);
    return button;
  }
}

function cell(text: string, kind: string): HTMLTableCellElement {
  const made = document.createElement("td");
  made.className = kind;
  made.textContent = text;
  return made;
}

/** The files that were dropped, and those in folders that were. */
async function dropped(data: DataTransfer | null): Promise<File[]> {
  if (!data) return [];
  const entries = [...data.items].map((item) => item.webkitGetAsEntry());
  if (entries.every((entry) => entry === null || entry.isFile)) return [...data.files];
  const found: File[] = [];
  for (const entry of entries) if (entry) await walk(entry, found);
  return found;
}

async function walk(entry: FileSystemEntry, found: File[]): Promise<void> {
  if (entry.isFile) {
    found.push(await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)));
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const child of some) await walk(child, found);
  }
}

customElements.define("sirdar-upload", Upload);
