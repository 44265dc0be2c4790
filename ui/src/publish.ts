/**
 * `<sirdar-publish>` around the form in which an application is written: fields and text are kept in step while one types.
 *
 * What was typed goes to the server as the form's own post; of the page that answers, the fields, the result of the check and the
 * text are taken over. The server alone knows the language. Without this script the same form has buttons that do the same.
 */

import type { Editor, EditorProblem } from "./editor";
import { say } from "./words";

const PAUSE_MS = 450;
const PARTS = ["draft-fields", "draft-checked"];
const QUIET = ["open", "close", "save", "remove", "mode"]; // change the list of files: the whole page is shown anew

class Publish extends HTMLElement {
  #timer = 0;
  #typed = 0; // counts changes, so that an answer that comes too late is not put over what was typed since
  #busy = false;
  #wish: string | undefined;

  connectedCallback(): void {
    this.addEventListener("input", (event) => this.#changed(event));
    this.addEventListener("change", (event) => this.#chosen(event));
    this.addEventListener("click", (event) => this.#clicked(event));
    queueMicrotask(() => {
      this.#mark();
      if (this.#isTouched()) void this.#send("check");
    });
  }

  disconnectedCallback(): void {
    window.clearTimeout(this.#timer);
  }

  get #form(): HTMLFormElement {
    return this.querySelector("form") as HTMLFormElement;
  }

  get #editor(): Editor | null {
    return this.querySelector<Editor>('sirdar-editor[language="yaml"]');
  }

  get #text(): HTMLTextAreaElement {
    return this.querySelector("#description") as HTMLTextAreaElement;
  }

  /** Something was typed before this script was there, or the browser has put back what was typed before. */
  #isTouched(): boolean {
    const fields = this.querySelectorAll<HTMLInputElement | HTMLTextAreaElement>("#draft-fields input, #draft-fields textarea, #description");
    return [...fields].some((field) =>
      field.type === "checkbox"
        ? (field as HTMLInputElement).checked !== (field as HTMLInputElement).defaultChecked
        : field.value !== field.defaultValue,
    );
  }

  #changed(event: Event): void {
    const field = event.target as HTMLElement;
    if (field.id === "note" || (field as HTMLInputElement).type === "file") return;
    this.#typed += 1;
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#send("check"), PAUSE_MS);
  }

  /** Files are added as soon as they are chosen. */
  #chosen(event: Event): void {
    const field = event.target as HTMLInputElement;
    if (field.type === "file" && field.files?.length) this.#form.requestSubmit();
  }

  #clicked(event: Event): void {
    const target = event.target as HTMLElement;
    const line = target.closest<HTMLElement>("[data-go]")?.dataset.go;
    if (line) this.#editor?.goTo(Number(line));
    const button = target.closest<HTMLButtonElement>('button[name="do"]');
    const verb = button?.value.split(":")[0] ?? "";
    if (!button || verb === "publish" || QUIET.includes(verb)) return;
    event.preventDefault();
    this.#typed += 1;
    void this.#send(button.value);
  }

  async #send(wish: string): Promise<void> {
    window.clearTimeout(this.#timer);
    if (this.#busy) {
      this.#wish = this.#wish && this.#wish !== "check" ? this.#wish : wish;
      return;
    }
    this.#busy = true;
    try {
      await this.#ask(wish);
    } finally {
      this.#busy = false;
      const next = this.#wish;
      this.#wish = undefined;
      if (next) void this.#send(next);
    }
  }

  async #ask(wish: string): Promise<void> {
    const typed = this.#typed;
    const body = new FormData(this.#form);
    for (const name of ["upload", "folder"]) body.delete(name);
    body.set("do", wish);
    const sent = this.#text.value;
    const reply = await fetch(this.#form.action, { method: "POST", body }).catch(() => undefined);
    if (!reply || (!reply.ok && reply.status !== 422)) {
      this.#tell(say("The server did not answer; what you typed is still here."));
      return;
    }
    if (reply.redirected && new URL(reply.url).pathname === "/login") {
      this.#tell(say("You are signed out: sign in in another window, then go on here."));
      return;
    }
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    if (typed !== this.#typed) {
      this.#wish ??= wish; // typed on meanwhile: ask again, or what was typed would be lost
      return;
    }
    this.#take(page, sent);
  }

  #take(page: Document, sent: string): void {
    const text = page.querySelector<HTMLTextAreaElement>("#description")?.value;
    if (text === undefined) return;
    for (const id of PARTS) {
      const target = this.querySelector<HTMLElement>(`#${id}`);
      const fresh = page.getElementById(id);
      if (target && fresh) replace(target, fresh);
    }
    const last = this.querySelector<HTMLTextAreaElement>('textarea[name="last"]');
    if (last) last.value = text;
    if (text !== sent) {
      const editor = this.#editor;
      if (editor) editor.value = text;
      else this.#text.value = text;
      window.clearTimeout(this.#timer); // the server's own text needs no check
    }
    this.#mark();
  }

  #tell(text: string): void {
    const place = this.querySelector("#draft-checked");
    const line = document.createElement("p");
    line.className = "error";
    line.textContent = text;
    place?.prepend(line);
  }

  /** Faults at their lines in the editor; a click on one in the list goes there. */
  #mark(): void {
    const found: EditorProblem[] = [];
    for (const item of this.querySelectorAll<HTMLElement>(".faults li[data-line]")) {
      const line = Number(item.dataset.line);
      found.push({ line, message: item.querySelector(".what")?.textContent ?? "" });
      if (item.querySelector("[data-go]")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.go = String(line);
      button.textContent = say("Go to line {line}", { line });
      item.append(" ", button);
    }
    const editor = this.#editor;
    if (editor) editor.problems = found;
  }
}

/** New content in the place of old; the cursor stays in its field, and what was unfolded stays so. */
function replace(target: HTMLElement, fresh: HTMLElement): void {
  const at = document.activeElement instanceof HTMLElement && target.contains(document.activeElement) ? document.activeElement : null;
  const selected = at instanceof HTMLInputElement && at.type === "text" ? [at.selectionStart, at.selectionEnd] : undefined;
  const unfolded = new Set([...target.querySelectorAll("details[open]")].map(nameOf));
  target.replaceChildren(...[...fresh.childNodes].map((node) => document.importNode(node, true)));
  for (const details of target.querySelectorAll("details")) if (unfolded.has(nameOf(details))) details.open = true;
  if (!at) return;
  const again = at.id ? document.getElementById(at.id) : target.querySelector<HTMLElement>(`button[value="${CSS.escape(at.getAttribute("value") ?? "")}"]`);
  again?.focus({ preventScroll: true });
  if (selected && again instanceof HTMLInputElement) again.setSelectionRange(selected[0] ?? null, selected[1] ?? null);
}

const nameOf = (details: Element): string => details.closest("fieldset")?.querySelector<HTMLInputElement>('input[name$=".name"]')?.value ?? "";

customElements.define("sirdar-publish", Publish);
