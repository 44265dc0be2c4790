/**
 * Parts of a page that are asked for again by a form or a link, without a new page: `data-into="#part"`.
 *
 * The whole page is fetched and the part taken out of it, so that the server has nothing to know of this; the address bar says what
 * is shown. A form is sent as soon as one chooses or stops typing. The part says by `data-swap` whether it is replaced or morphed,
 * and by `data-keep` which words of the present address go on into the new one.
 */

import htmx from "htmx.org";

const TYPING_MS = 300;
let asked: AbortController | undefined;
let timer = 0;
let typed = "";

document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  const into = form.dataset.into;
  if (!into || !document.querySelector(into)) return;
  event.preventDefault();
  window.clearTimeout(timer);
  void load(addressOf(form), into, false);
});

document.addEventListener("change", (event) => send(event, 0));
document.addEventListener("input", (event) => {
  const field = event.target;
  if (field instanceof HTMLInputElement && ["text", "search"].includes(field.type)) send(event, TYPING_MS);
});

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest<HTMLAnchorElement>("a[data-into]");
  if (!link?.dataset.into || !document.querySelector(link.dataset.into)) return;
  event.preventDefault();
  void load(new URL(link.href), link.dataset.into, false, link.rel === "next");
});

function send(event: Event, afterMs: number): void {
  const form = (event.target as Element | null)?.closest<HTMLFormElement>("form[data-into]");
  if (!form) return;
  window.clearTimeout(timer);
  timer = window.setTimeout(() => void load(addressOf(form), form.dataset.into ?? "", afterMs > 0), afterMs);
}

/** What is empty, and a choice of just the usual ones (`data-usual`), says nothing and is left out. */
function addressOf(form: HTMLFormElement): URL {
  const usual = [...form.querySelectorAll<HTMLElement>("[data-usual-means-none]")]
    .filter((group) => !group.querySelector("input[data-usual]:not(:checked), input:not([data-usual]):checked"))
    .map((group) => group.dataset.usualMeansNone);
  const address = new URL(form.action);
  for (const [name, text] of new FormData(form)) {
    if (typeof text === "string" && text.trim() && !usual.includes(name)) address.searchParams.append(name, text.trim());
  }
  return address;
}

async function load(address: URL, into: string, typing: boolean, next = false): Promise<void> {
  const target = document.querySelector<HTMLElement>(into);
  if (!target) return;
  const here = new URL(location.href);
  for (const name of (target.dataset.keep ?? "").split(" ").filter(Boolean)) {
    address.searchParams.delete(name);
    for (const text of here.searchParams.getAll(name)) address.searchParams.append(name, text);
  }
  if (typing && address.href === here.href) return;
  asked?.abort();
  const mine = (asked = new AbortController());
  target.setAttribute("aria-busy", "true");
  try {
    const reply = await fetch(address, { signal: mine.signal });
    const found = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector(into);
    // No such part: a page of an error, or the one where one signs in.
    if (!found) return location.assign(address);
    await put(target, found, into);
    // One step back is before one began to type, not before the last letter.
    if (typing && typed === location.href) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    typed = typing ? address.href : "";
    if (next) document.querySelector(into)?.querySelector("table")?.scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "AbortError")) location.assign(address);
  } finally {
    if (asked === mine) document.querySelector(into)?.removeAttribute("aria-busy");
  }
}

async function put(target: HTMLElement, found: Element, into: string): Promise<void> {
  const morphs = target.dataset.swap === "outerMorph";
  for (const still of target.querySelectorAll("[hx-morph-skip=look]")) still.removeAttribute("hx-morph-skip");
  await htmx.swap({ target, text: found.outerHTML, swap: morphs ? "outerMorph" : "outerHTML" });
  const now = document.querySelector<HTMLElement>(into);
  if (morphs) now?.querySelectorAll<HTMLInputElement>("form[data-into] input").forEach(settle);
  for (const box of now?.querySelectorAll(".tall") ?? []) box.scrollTop = 0;
}

/** What the new page says of a field, where a person has changed it before. */
function settle(field: HTMLInputElement): void {
  if (field === document.activeElement) return;
  if (field.type === "checkbox") field.checked = field.defaultChecked;
  else field.value = field.defaultValue;
}
