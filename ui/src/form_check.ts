/**
 * `<sirdar-form check="/address">` around the form: a moment after each change the server is asked what is wrong with it, where it
 * would run, and how it reads as code; its words stand under the fields that one has touched. A form is sent once, and not before its
 * files are there.
 */

import { say } from "./words";
import type { Upload } from "./upload";

const PAUSE_MS = 350;
const MOST_BYTES = 500_000; // of texts that are sent to be checked while one types

interface Said {
  shape: string;
  text: string;
}

interface Found {
  errors: Record<string, string>;
  titles: Record<string, string>; // of the fields that have errors
  bar: Said;
  sets: string; // how many tasks it would be
  swept: string;
  places: Record<string, Said>;
  code: Record<string, string>;
}

export class CheckedForm extends HTMLElement {
  #form: HTMLFormElement | undefined;
  #touched = new Set<string>();
  #timer = 0;
  #asked: AbortController | undefined;
  #sent = false;
  #waits = false; // to be sent as soon as the files are there
  readonly #onShow = (event: PageTransitionEvent): void => {
    if (event.persisted) this.#comeBack();
  };

  connectedCallback(): void {
    const form = this.querySelector("form");
    if (!form || this.#form) return;
    this.#form = form;
    form.addEventListener("input", (event) => this.#changed(event));
    form.addEventListener("change", (event) => this.#changed(event));
    form.addEventListener("submit", (event) => this.#submit(event));
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(this.#button);
    });
    form.addEventListener("sirdar:uploads", () => this.#uploadsMoved());
    window.addEventListener("pageshow", this.#onShow);
    for (const part of form.querySelectorAll<HTMLElement>(".wrong[data-part]")) this.#touched.add(part.dataset.part ?? "");
    document.getElementById("faults")?.focus();
  }

  disconnectedCallback(): void {
    window.removeEventListener("pageshow", this.#onShow);
    window.clearTimeout(this.#timer);
    this.#asked?.abort();
  }

  get #button(): HTMLButtonElement | null {
    return this.querySelector<HTMLButtonElement>("button.primary[name=action]");
  }

  get #uploads(): Upload[] {
    return [...this.querySelectorAll<Upload>("sirdar-upload")];
  }

  // ---------------------------------------------------------------- checking

  #changed(event: Event): void {
    const field = event.target as HTMLElement;
    const part = field.closest<HTMLElement>("[data-part]");
    if (event.type === "change" && part) this.#touched.add(part.dataset.part ?? "");
    if (event.type === "input" && part && !part.querySelector("sirdar-upload")) this.#touched.add(part.dataset.part ?? "");
    const around = field.closest<HTMLElement>("[data-touches]");
    if (around) this.#touched.add(around.dataset.touches ?? "");
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#check(), PAUSE_MS);
  }

  async #check(): Promise<void> {
    const form = this.#form;
    const address = this.getAttribute("check");
    if (!form || !address || this.#sent) return;
    const content = new FormData(form);
    let bytes = 0;
    for (const [name, value] of [...content.entries()]) {
      if (typeof value !== "string") content.delete(name);
      else bytes += value.length;
    }
    if (bytes > MOST_BYTES) return;
    this.#asked?.abort();
    this.#asked = new AbortController();
    const reply = await fetch(address, { method: "POST", body: content, signal: this.#asked.signal }).catch(() => undefined);
    if (!reply?.ok) return;
    const found = await reply.json().catch(() => undefined);
    if (found) this.#show(found as Found);
  }

  #show(found: Found): void {
    const wrong: string[] = [];
    for (const part of this.querySelectorAll<HTMLElement>("[data-part]")) {
      const id = part.dataset.part ?? "";
      const upload = part.querySelector<Upload>("sirdar-upload");
      const text = this.#touched.has(id) ? (found.errors[id] ?? "") : "";
      const comes = upload ? upload.pending + upload.failed > 0 : false; // its rows say how it stands
      showError(part, id, comes ? "" : text);
      if (text !== "" && !(upload && upload.pending > 0)) wrong.push(found.titles[id] ?? id);
    }
    const bar = this.querySelector<HTMLElement>("[data-bar]");
    const said = wrong.length > 0 ? { shape: "failed", text: say("Needs a look: {names}.", { names: wrong.join(", ") }) } : found.bar;
    if (bar && !this.#waits) tell(bar, said);
    for (const [id, text] of [["opt-foreach-read", found.sets], ["opt-sweep-read", found.swept]] as const) {
      const read = document.getElementById(id);
      if (read && read.textContent !== text) read.textContent = text;
    }
    for (const [id, place] of Object.entries(found.places)) {
      const row = this.querySelector<HTMLElement>(`[data-place="${CSS.escape(id)}"]`);
      const shape = row?.querySelector<HTMLElement>("[data-shape]");
      const why = row?.querySelector<HTMLElement>("[data-why]");
      if (shape) shape.className = `state ${place.shape}`;
      if (why && why.textContent !== place.text) why.textContent = place.text;
    }
    for (const [way, code] of Object.entries(found.code)) {
      const shown = document.getElementById(`code-${way}`);
      if (shown && shown.textContent !== code) shown.textContent = code;
    }
  }

  // ---------------------------------------------------------------- sending

  #submit(event: SubmitEvent): void {
    const pending = this.#uploads.reduce((sum, upload) => sum + upload.pending, 0);
    if (this.#sent) return event.preventDefault();
    if (pending > 0) {
      event.preventDefault();
      this.#waits = true;
      this.#tell(say("It is sent as soon as the files are there."));
      return;
    }
    this.#sent = true;
    for (const upload of this.#uploads) sessionStorage.removeItem(`sirdar-kept ${location.pathname} ${upload.dataset.field}`);
    this.#button?.setAttribute("aria-disabled", "true");
    this.#tell(say("Submitting …"));
  }

  #uploadsMoved(): void {
    for (const upload of this.#uploads) {
      const part = upload.closest<HTMLElement>("[data-part]");
      if (part && upload.pending > 0) showError(part, part.dataset.part ?? "", "");
    }
    if (!this.#waits || this.#uploads.some((upload) => upload.pending > 0)) return;
    this.#waits = false;
    if (this.#uploads.some((upload) => upload.failed > 0)) {
      this.#tell(say("Some files could not be sent; nothing was submitted."));
      return;
    }
    this.#form?.requestSubmit(this.#button);
  }

  #tell(text: string): void {
    const bar = this.querySelector<HTMLElement>("[data-bar]");
    if (bar) tell(bar, { shape: "waiting", text });
  }

  /** Back from the job: what is sent now is meant as another submission. */
  #comeBack(): void {
    this.#sent = false;
    this.#button?.removeAttribute("aria-disabled");
    const once = this.querySelector<HTMLInputElement>('input[name="once"]');
    if (once) once.value = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    void this.#check();
  }
}

function showError(part: HTMLElement, id: string, text: string): void {
  const note = document.getElementById(`${id}-error`);
  if (!note || note.textContent === text) return;
  note.textContent = text;
  note.hidden = text === "";
  part.classList.toggle("wrong", text !== "");
  const field = document.getElementById(id) ?? part.querySelector("input, select, textarea");
  if (!field) return;
  if (text === "") field.removeAttribute("aria-invalid");
  else field.setAttribute("aria-invalid", "true");
  const ids = new Set((field.getAttribute("aria-describedby") ?? "").split(" ").filter((one) => one !== ""));
  if (text === "") ids.delete(note.id);
  else ids.add(note.id);
  if (ids.size > 0) field.setAttribute("aria-describedby", [...ids].join(" "));
  else field.removeAttribute("aria-describedby");
}

function tell(element: HTMLElement, said: Said): void {
  for (const shape of ["done", "waiting", "failed", "running"]) element.classList.toggle(shape, shape === said.shape);
  if (element.textContent !== said.text) element.textContent = said.text;
}

customElements.define("sirdar-form", CheckedForm);
