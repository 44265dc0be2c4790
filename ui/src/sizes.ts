/** Sizes and spans as the server's pages write them (web/formats.py). */

const THIN = "\u202f";
const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  if (unit === 0) return `${bytes}${THIN}B`;
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)}${THIN}${UNITS[unit]}`;
}

/** `4 min 12 s`: whole seconds, never more than two units. */
export function span(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole}${THIN}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}${THIN}min ${whole % 60}${THIN}s`;
  return `${Math.floor(whole / 3600)}${THIN}h ${Math.round((whole % 3600) / 60)}${THIN}min`;
}
