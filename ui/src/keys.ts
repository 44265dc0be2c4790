/**
 * Keys of every page: `/` search, `j` `k` rows, `Enter` open, `?` help; a page's own are buttons and links with `data-key`.
 * They do nothing while one types, or with Ctrl, Alt or Meta.
 */

/** Fields into which one types; not check boxes, and not buttons. */
const TYPED = "input:not([type=checkbox], [type=radio], [type=button], [type=submit]), select, textarea, sirdar-editor";

export function startKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") && event.key !== "?") return;
    if (act(event.key)) event.preventDefault();
  });
}

export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || target.closest(TYPED) !== null);
}

function act(key: string): boolean {
  if (key === "/") return focus('input[type="search"]');
  if (key === "?") return toggleHelp();
  if (key === "j" || key === "k") return step(key === "j" ? 1 : -1);
  const own = [...document.querySelectorAll<HTMLElement>("[data-key]")].find((element) => element.dataset.key === key);
  if (!own) return false;
  own.focus();
  own.click();
  return true;
}

function focus(selector: string): boolean {
  const field = document.querySelector<HTMLInputElement>(selector);
  field?.focus();
  field?.select();
  return field !== null;
}

/** Rows are moved through by the links in them, so that Enter opens one and a screen reader hears where one is. */
function step(by: number): boolean {
  const links = [...document.querySelectorAll<HTMLElement>("table[data-rows] tbody a[data-row]")];
  if (links.length === 0) return false;
  const at = links.indexOf(document.activeElement as HTMLElement);
  const next = links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return true;
}

function toggleHelp(): boolean {
  const dialog = document.querySelector<HTMLDialogElement>("#keys");
  if (!dialog) return false;
  if (dialog.open) dialog.close();
  else dialog.showModal();
  return true;
}
