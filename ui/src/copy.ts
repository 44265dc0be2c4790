/** Buttons that copy: `<button data-copy="text">` or `<button data-copy-from="#id">`. Without this script they are not shown. */

import { say } from "./words";

const SAID_MS = 1_500;

export function startCopying(): void {
  document.addEventListener("click", (event) => {
    const button = (event.target as Element | null)?.closest<HTMLButtonElement>("button[data-copy], button[data-copy-from]");
    if (button) void copy(button);
  });
}

async function copy(button: HTMLButtonElement): Promise<void> {
  const from = button.dataset.copyFrom;
  const source = from ? document.querySelector(from) : null;
  const text = source instanceof HTMLInputElement || source instanceof HTMLTextAreaElement ? source.value : (source?.textContent ?? button.dataset.copy ?? "");
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copyTheOldWay(text)) return;
  }
  const before = button.textContent;
  button.textContent = say("Copied");
  window.setTimeout(() => (button.textContent = before), SAID_MS);
}

/** Over plain HTTP the clipboard is closed to `navigator.clipboard`. */
function copyTheOldWay(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "offscreen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
