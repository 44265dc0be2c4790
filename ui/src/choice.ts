/** `<form data-instant>`: a filter that is sent as soon as a choice changes. */

document.addEventListener("change", (event) => {
  const field = event.target as HTMLElement | null;
  const form = field?.closest<HTMLFormElement>("form[data-instant]");
  if (form && field instanceof HTMLSelectElement) form.requestSubmit();
});
