/** Sizes and spans as the server's pages write them (web/formats.py). */

import { say } from "./words";

const THIN = "\u202f";

export function size(bytes: number): string {
  const units = [say("B"), say("KB"), say("MB"), say("GB"), say("TB"), say("PB")];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  if (unit === 0) return `${bytes}${THIN}${units[0]}`;
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)}${THIN}${units[unit]}`;
}

/** `4 min 12 s`: whole seconds, never more than two units. */
export function span(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  const [min, s] = [say("min"), say("s")];
  if (whole < 60) return `${whole}${THIN}${s}`;
  if (whole < 3600) return `${Math.floor(whole / 60)}${THIN}${min} ${whole % 60}${THIN}${s}`;
  return `${Math.floor(whole / 3600)}${THIN}${say("h")} ${Math.round((whole % 3600) / 60)}${THIN}${min}`;
}
