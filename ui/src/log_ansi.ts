/** One line as a terminal would show it: carriage returns begin it anew, colours become classes or colours of an element. */

export interface Part {
  text: string;
  classes: string[];
  color?: string | undefined;
  background?: string | undefined;
}

interface Look {
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  fg: number | string | undefined;
  bg: number | string | undefined;
}

const PLAIN: Look = { bold: false, dim: false, italic: false, underline: false, fg: undefined, bg: undefined };
const COMMAND = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])/g;
// eslint-disable-next-line no-control-regex
const HIDDEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** What is left of a line after its carriage returns: what a progress bar wrote last. */
export function lastWritten(line: string): string {
  const trimmed = line.replace(/\r+$/, "");
  return trimmed.slice(trimmed.lastIndexOf("\r") + 1);
}

export function parts(line: string): Part[] {
  const found: Part[] = [];
  let look = PLAIN;
  let at = 0;
  for (const command of line.matchAll(COMMAND)) {
    add(found, line.slice(at, command.index), look);
    if (command[2] === "m") look = changed(look, command[1] ?? "");
    at = command.index + command[0].length;
  }
  add(found, line.slice(at), look);
  return found;
}

function add(found: Part[], raw: string, look: Look): void {
  const text = raw.replace(HIDDEN, "\ufffd");
  if (!text) return;
  const classes: string[] = [];
  if (look.bold) classes.push("bold");
  if (look.dim) classes.push("dim");
  if (look.italic) classes.push("italic");
  if (look.underline) classes.push("underline");
  if (typeof look.fg === "number") classes.push(`fg${look.fg}`);
  if (typeof look.bg === "number") classes.push(`bg${look.bg}`);
  found.push({
    text,
    classes,
    color: typeof look.fg === "string" ? look.fg : undefined,
    background: typeof look.bg === "string" ? look.bg : undefined,
  });
}

function changed(before: Look, codes: string): Look {
  const look = { ...before };
  const list = codes.split(/[;:]/).map((code) => Number(code || 0));
  for (let i = 0; i < list.length; i++) {
    const code = list[i]!;
    if (code === 0) Object.assign(look, PLAIN);
    else if (code === 1) look.bold = true;
    else if (code === 2) look.dim = true;
    else if (code === 3) look.italic = true;
    else if (code === 4) look.underline = true;
    else if (code === 22) look.bold = look.dim = false;
    else if (code === 23) look.italic = false;
    else if (code === 24) look.underline = false;
    else if (code >= 30 && code <= 37) look.fg = code - 30;
    else if (code >= 90 && code <= 97) look.fg = code - 82;
    else if (code >= 40 && code <= 47) look.bg = code - 40;
    else if (code >= 100 && code <= 107) look.bg = code - 92;
    else if (code === 39) look.fg = undefined;
    else if (code === 49) look.bg = undefined;
    else if (code === 38 || code === 48) {
      const [color, used] = extended(list.slice(i + 1));
      if (code === 38) look.fg = color;
      else look.bg = color;
      i += used;
    }
  }
  return look;
}

/** `5;N`: one of 256; `2;R;G;B`: a colour itself. */
function extended(list: number[]): [number | string | undefined, number] {
  if (list[0] === 5) return [indexed(list[1] ?? 0), 2];
  if (list[0] === 2) return [rgb(list[1] ?? 0, list[2] ?? 0, list[3] ?? 0), 4];
  return [undefined, 0];
}

function indexed(n: number): number | string {
  if (n < 16) return n;
  if (n >= 232) return rgb(8 + (n - 232) * 10, 8 + (n - 232) * 10, 8 + (n - 232) * 10);
  const level = (part: number): number => (part === 0 ? 0 : 55 + part * 40);
  const cube = n - 16;
  return rgb(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

const rgb = (r: number, g: number, b: number): string => `rgb(${byte(r)}, ${byte(g)}, ${byte(b)})`;
const byte = (value: number): number => Math.max(0, Math.min(255, Math.floor(value)));

const LIGHT_GROUND = 1; // luminance of the log's ground, by theme
const DARK_GROUND = 0.014;
const LEAST = 4.5;

/** A colour of a program's own, darker or lighter where it could not be read on the theme's ground. */
export function readable(color: string, dark: boolean): string {
  const [r, g, b] = (color.match(/\d+/g) ?? []).map(Number) as [number, number, number];
  for (let share = 0; share <= 1; share += 0.05) {
    const mixed = [r, g, b].map((part) => part + ((dark ? 255 : 0) - part) * share) as [number, number, number];
    if (contrast(luminance(mixed), dark ? DARK_GROUND : LIGHT_GROUND) >= LEAST) return rgb(...mixed);
  }
  return dark ? "#fff" : "#000";
}

/** WCAG 2: relative luminance, and the contrast of two. */
function luminance(color: [number, number, number]): number {
  const [r, g, b] = color.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4)) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const contrast = (a: number, b: number): number => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
