/** Times in the reader's own zone. The zone goes to the server in a cookie; the first page is put right here. */

const ZONE = "sirdar_zone";
const TICK_MS = 1_000;

export function startTimes(): void {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = document.cookie.split("; ").some((part) => part === `${ZONE}=${encodeURIComponent(zone)}`);
  if (!known) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `${ZONE}=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax${secure}`;
    localise();
  }
  window.setInterval(tick, TICK_MS);
}

function localise(): void {
  const now = new Date();
  for (const element of document.querySelectorAll<HTMLTimeElement>("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const today = at.toDateString() === now.toDateString();
    const options: Intl.DateTimeFormatOptions = today
      ? { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false }
      : at.getFullYear() === now.getFullYear()
        ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false }
        : { day: "numeric", month: "short", year: "numeric" };
    element.textContent = new Intl.DateTimeFormat(document.documentElement.lang || "en", options).format(at).replace(",", "");
  }
}

/** `<span data-since="1795363813.6">`: a duration that grows by itself between two looks. */
function tick(): void {
  if (document.hidden) return;
  const now = Date.now() / 1000;
  for (const element of document.querySelectorAll<HTMLElement>("[data-since]")) {
    const text = duration(now - Number(element.dataset.since), element.dataset.units ?? "d h min s");
    if (element.textContent !== text) element.textContent = text;
  }
}

/** As formats.py writes it: `12 s`, `4 min 12 s`, `1 d 3 h`. */
export function duration(spanS: number, units: string): string {
  const names = units.split(" ");
  const sizes = [86400, 3600, 60, 1];
  let left = Math.max(0, Math.floor(spanS));
  const words: string[] = [];
  sizes.forEach((size, i) => {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) words.push(`${count}\u202f${names[i]}`);
  });
  return words.slice(0, 2).join(" ") || `0\u202f${names[3]}`;
}
