/**
 * `<sirdar-editor language="json|yaml|text"><textarea name="...">…</textarea></sirdar-editor>`: a code editor over a field of a form.
 *
 * The textarea stays what the form sends: without this script it is the field; with it, it holds at each moment what the editor holds,
 * and fires `input` and `change` as if one typed in it. JSON is checked as one types; faults that the server found are shown by
 * `problems`. The editor lives in a shadow root: its styles are adopted style sheets, which the strict content policy allows.
 */

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, linter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, type Extension, type Text } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import "./publish";

/** One fault at a place of the text; `line` and `column` count from 1; without a column the whole line is meant. */
export interface EditorProblem {
  line: number;
  column?: number;
  message: string;
  severity?: "error" | "warning" | "info";
}

const LINT_MS = 300;
const ROW_PX = 20;
const PADDING_PX = 10;

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
  { tag: [tags.comment, tags.meta, tags.punctuation, tags.separator, tags.brace, tags.squareBracket], color: "var(--soft)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], fontWeight: "600" },
]);

const look = EditorView.theme({
  "&": { color: "var(--text)", background: "var(--surface)", border: "1px solid var(--soft)", borderRadius: "6px", fontSize: "13px" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "2px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: `${ROW_PX}px`, maxHeight: "60vh" },
  ".cm-content": { padding: `${PADDING_PX / 2}px 0`, caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { background: "var(--ground)", color: "var(--soft)", border: "0", borderRadius: "6px 0 0 6px" },
  ".cm-activeLine": { background: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  ".cm-activeLineGutter": { background: "none", color: "var(--text)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { background: "color-mix(in srgb, var(--accent) 28%, transparent) !important" },
  ".cm-matchingBracket": { background: "none !important", outline: "1px solid var(--accent)" },
  ".cm-tooltip": { background: "var(--surface)", color: "var(--text)", border: "1px solid var(--rule)", borderRadius: "6px" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--failed)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--failed)", textUnderlineOffset: "3px" },
});

export class Editor extends HTMLElement {
  #view: EditorView | undefined;
  #field: HTMLTextAreaElement | undefined;
  #dirty = false;
  #locked = new Compartment();
  readonly #onReset = (): void => void queueMicrotask(() => (this.value = this.#field?.defaultValue ?? ""));
  readonly #onLabel = (event: Event): void => {
    event.preventDefault();
    this.focus();
  };

  connectedCallback(): void {
    const field = this.querySelector("textarea");
    if (!field || this.#view) return;
    this.#field = field;
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    this.#view = new EditorView({ parent: root, root, state: EditorState.create({ doc: field.value, extensions: this.#extensions(field) }) });
    field.tabIndex = -1;
    field.form?.addEventListener("reset", this.#onReset);
    for (const label of field.labels) label.addEventListener("click", this.#onLabel);
  }

  disconnectedCallback(): void {
    this.#field?.form?.removeEventListener("reset", this.#onReset);
    for (const label of this.#field?.labels ?? []) label.removeEventListener("click", this.#onLabel);
    this.#view?.destroy();
    this.#view = undefined;
  }

  get value(): string {
    return this.#view?.state.doc.toString() ?? this.#field?.value ?? "";
  }

  /** Replaces the whole text; the cursor stays where it was, as far as there is such a place. */
  set value(text: string) {
    const view = this.#view;
    if (!view) {
      const field = this.querySelector("textarea");
      if (field) field.value = text;
      return;
    }
    if (text === this.value) return;
    const at = Math.min(view.state.selection.main.head, text.length);
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text }, selection: { anchor: at } });
  }

  set readOnly(locked: boolean) {
    this.#view?.dispatch({ effects: this.#locked.reconfigure(EditorState.readOnly.of(locked)) });
  }

  /** What the server found wrong, at its lines; replaces what stood there. */
  set problems(found: EditorProblem[]) {
    const view = this.#view;
    if (view) view.dispatch(setDiagnostics(view.state, found.map((one) => placed(view.state.doc, one))));
  }

  override focus(): void {
    this.#view?.focus();
  }

  /** Puts the cursor at the beginning of a line (from 1) and shows it. */
  goTo(line: number): void {
    const view = this.#view;
    if (!view) return;
    const at = view.state.doc.line(Math.max(1, Math.min(line, view.state.doc.lines))).from;
    view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
    view.focus();
  }

  #extensions(field: HTMLTextAreaElement): Extension[] {
    const height = Math.max(2, field.rows) * ROW_PX + PADDING_PX;
    return [
      lineNumbers(),
      history(),
      drawSelection(),
      highlightActiveLine(),
      indentOnInput(),
      bracketMatching(),
      indentUnit.of("  "),
      syntaxHighlighting(colours),
      keymap.of([...defaultKeymap, ...historyKeymap, ...lintKeymap]), // Tab leaves the editor, as it leaves any field
      look,
      EditorView.domEventHandlers({ beforeinput: typedOver }),
      EditorView.theme({ ".cm-content, .cm-gutter": { minHeight: `${height}px` } }),
      EditorView.contentAttributes.of(named(field)),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) this.#changed();
        if (update.focusChanged && !update.view.hasFocus) this.#left();
      }),
      this.#locked.of(EditorState.readOnly.of(field.readOnly || field.disabled)),
      ...languageOf(this.getAttribute("language") ?? "text"),
    ];
  }

  #changed(): void {
    if (!this.#field) return;
    this.#dirty = true;
    this.#field.value = this.value;
    this.#field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #left(): void {
    if (this.#dirty) this.#field?.dispatchEvent(new Event("change", { bubbles: true }));
    this.#dirty = false;
  }
}

function languageOf(name: string): Extension[] {
  if (name === "json") return [json(), linter(unlessEmpty(jsonParseLinter()), { delay: LINT_MS }), lintGutter()];
  if (name === "yaml") return [yaml(), lintGutter()];
  return [EditorView.lineWrapping];
}

/**
 * Text typed over a selection is put in by ourselves: a browser would keep the colours of what was there by a style attribute, which the
 * content policy refuses with a complaint.
 */
function typedOver(event: InputEvent, view: EditorView): boolean {
  if (event.inputType !== "insertText" || !event.data || view.composing || view.state.selection.main.empty) return false;
  event.preventDefault();
  view.dispatch(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
  return true;
}

/** An empty field is no broken JSON: it is one that was not given. */
function unlessEmpty(check: (view: EditorView) => Diagnostic[]): (view: EditorView) => Diagnostic[] {
  return (view) => (view.state.doc.toString().trim() === "" ? [] : check(view));
}

function placed(text: Text, problem: EditorProblem): Diagnostic {
  const line = text.line(Math.max(1, Math.min(problem.line, text.lines)));
  const from = Math.min(line.to, line.from + Math.max(0, (problem.column ?? 1) - 1));
  return { from, to: line.to, severity: problem.severity ?? "error", message: problem.message };
}

/** The names that a screen reader says: those of the field, whose labels stand outside of the shadow root. */
function named(field: HTMLTextAreaElement): Record<string, string> {
  const label = field.getAttribute("aria-label") ?? field.labels[0]?.textContent?.trim() ?? field.name;
  const described = field.getAttribute("aria-describedby") ?? "";
  const help = described.split(" ").map((id) => document.getElementById(id)?.textContent?.trim() ?? "");
  const words = help.filter((text) => text !== "").join(" ");
  return { tabindex: "0", "aria-label": label, ...(words ? { "aria-description": words } : {}), ...(field.required ? { "aria-required": "true" } : {}) };
}

customElements.define("sirdar-editor", Editor);

declare global {
  interface HTMLElementTagNameMap {
    "sirdar-editor": Editor;
  }
}
