/**
 * Choosing rows of a list: `<form data-choice>` with a check box in each row. `x` chooses the row where one is, `c` cancels what is
 * chosen (the page that follows asks), Shift and a click choose all between. What can be done with them shows when there are some.
 */

import { isTyping } from "./keys";
import { say } from "./words";

let last: HTMLInputElement | undefined;

const form = (): HTMLFormElement | null => document.querySelector("form[data-choice]");
const boxes = (): HTMLInputElement[] => [...(form()?.querySelectorAll<HTMLInputElement>('tbody input[type="checkbox"]') ?? [])];

document.addEventListener("click", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || box.type !== "checkbox" || !box.closest("form[data-choice]")) return;
  if (box.hasAttribute("data-choose-all")) for (const one of boxes()) one.checked = box.checked;
  else if (event.shiftKey && last?.isConnected) between(last, box);
  last = box;
  tell();
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
  if (!form() || document.querySelector("dialog[open]")) return;
  const own = document.activeElement?.closest("tr")?.querySelector<HTMLInputElement>('input[type="checkbox"][name]');
  if (event.key === "x" && own) {
    own.checked = !own.checked;
    tell();
  } else if (event.key === "c") {
    if (own && !boxes().some((box) => box.checked)) own.checked = true;
    tell();
    if (boxes().some((box) => box.checked)) form()?.querySelector<HTMLButtonElement>('button[value="cancel"]')?.click();
  } else return;
  event.preventDefault();
});

// A look at the server, another page of the list, and the way back here leave or bring other rows.
for (const name of ["sirdar:looked", "htmx:after:swap", "pageshow"]) window.addEventListener(name, tell);
tell();

function between(first: HTMLInputElement, second: HTMLInputElement): void {
  const all = boxes();
  const [from, to] = [all.indexOf(first), all.indexOf(second)].sort((a, b) => a - b);
  if (from === undefined || to === undefined || from < 0) return;
  for (const box of all.slice(from, to + 1)) box.checked = second.checked;
}

function tell(): void {
  const list = form();
  if (!list) return;
  const all = boxes();
  const count = all.filter((box) => box.checked).length;
  list.classList.toggle("choosing", count > 0);
  const told = list.querySelector("[data-chosen]");
  const words = count > 0 ? say("{count} chosen", { count }) : "";
  if (told && told.textContent !== words) told.textContent = words;
  const whole = list.querySelector<HTMLInputElement>("[data-choose-all]");
  if (!whole) return;
  whole.checked = count > 0 && count === all.length;
  whole.indeterminate = count > 0 && count < all.length;
}
