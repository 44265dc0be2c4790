/** Words of the page's language, from the catalogue that the server puts into each page as data. */

let catalogue: Record<string, string> | undefined;

function read(): Record<string, string> {
  const element = document.getElementById("words");
  return element?.textContent ? (JSON.parse(element.textContent) as Record<string, string>) : {};
}

/** The sentence in the page's language; `{name}` is replaced by what is given. Every sentence stands in web/client_words.py. */
export function say(sentence: string, given: Record<string, string | number> = {}): string {
  catalogue ??= read();
  const text = catalogue[sentence] ?? sentence;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(given[name] ?? whole));
}

export const language = (): string => document.documentElement.lang || "en";
