/** `<a href="/a/question" data-dialog="#id">` asks in a dialog on the page; without scripts the link leads to a page that asks. */

document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const target = event.target as Element | null;
  const link = target?.closest<HTMLElement>("[data-dialog]");
  const dialog = link?.dataset.dialog ? document.querySelector<HTMLDialogElement>(link.dataset.dialog) : null;
  if (dialog) {
    event.preventDefault();
    dialog.showModal();
    return;
  }
  const close = target?.closest("[data-close]")?.closest("dialog");
  if (close?.open) {
    event.preventDefault();
    close.close();
  }
});

/** A menu closes when one clicks beside it, or with Escape. */
document.addEventListener("pointerdown", (event) => closeMenus(event.target as Element | null));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenus(null);
});

function closeMenus(except: Element | null): void {
  for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) if (!except || !menu.contains(except)) menu.open = false;
}
