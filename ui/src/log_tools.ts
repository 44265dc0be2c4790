/** The viewer's bar: find, errors, follow, how many lines. */

import { say } from "./words";

const TIMES = "sirdar-log-times"; // remembered by the browser

export interface Tools {
  search: HTMLInputElement;
  found: HTMLOutputElement;
  follow: HTMLInputElement;
  errors: HTMLButtonElement;
  times: HTMLInputElement;
  lines: HTMLElement;
}

export interface Wishes {
  times: (wanted: boolean) => void;
  typed: () => void;
  step: (by: 1 | -1) => void;
  toError: () => void;
  follow: (wanted: boolean) => void;
}

export function build(bar: HTMLElement, wishes: Wishes): Tools {
  const search = make("input", { type: "search", placeholder: say("Find in the log") });
  search.setAttribute("aria-label", say("Find in the log"));
  const previous = button("↑", say("Previous"), "p", () => wishes.step(-1));
  const next = button("↓", say("Next"), "n", () => wishes.step(1));
  const found = make("output", { className: "number soft" });
  const follow = make("input", { type: "checkbox", checked: true });
  follow.dataset.key = "f";
  const label = make("label", { className: "follow" });
  label.append(follow, ` ${say("Follow")}`);
  const times = make("input", { type: "checkbox", checked: localStorage.getItem(TIMES) === "1" });
  times.dataset.key = "t";
  const timesLabel = make("label", { className: "follow", title: say("When each line came, by the clock of the machine where it ran") });
  timesLabel.append(times, ` ${say("Times")}`);
  times.addEventListener("change", () => {
    localStorage.setItem(TIMES, times.checked ? "1" : "");
    wishes.times(times.checked);
  });
  const errors = button("", say("To the next error"), "e", wishes.toError);
  errors.removeAttribute("aria-label"); // what it says is its name
  errors.className = "danger";
  errors.hidden = true;
  const lines = make("span", { className: "number soft" });
  search.addEventListener("input", wishes.typed);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    wishes.step(event.shiftKey ? -1 : 1);
  });
  follow.addEventListener("change", () => wishes.follow(follow.checked));
  bar.append(search, previous, next, found, label, timesLabel, errors, lines);
  return { search, found, follow, errors, times, lines };
}

function make<K extends keyof HTMLElementTagNameMap>(tag: K, given: Partial<HTMLElementTagNameMap[K]>): HTMLElementTagNameMap[K] {
  return Object.assign(document.createElement(tag), given);
}

function button(text: string, label: string, key: string, act: () => void): HTMLButtonElement {
  const made = make("button", { type: "button", textContent: text, title: label });
  made.setAttribute("aria-label", label);
  made.dataset.key = key;
  made.addEventListener("click", act);
  return made;
}

/** `1 204`, as the pages write numbers. */
export const counted = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
