/** Points of a plot: from the server's answer to places, kinds and labels. Nothing of drawing stands here. */

export type Value = number | string | boolean | null;

export interface Column {
  name: string;
  kind: "number" | "text" | "boolean";
  title: string;
  unit: string;
  /** What the page calls it. */
  word?: string | undefined;
}

/** As `GET /api/jobs/{id}/points` answers: rows of (number, x, y, color). */
export interface Answer {
  x: Column;
  y: Column;
  color: Column | null;
  points: [number, Value, Value, Value][];
  sampled: boolean;
  of: number;
  ended: boolean; // the job has, so that no more come
  best: number | null; // of which task, where an axis shows what the job seeks
}

export interface Point {
  no: number;
  x: number;
  y: number;
  given: [Value, Value, Value];
  /** Which of `Plotted.groups`; where the colour is a number: its share between least and most. */
  group: number;
  share: number;
}

export interface Group {
  name: string;
  count: number;
}

export interface Plotted {
  answer: Answer;
  points: Point[]; // in order of x
  names: string[] | null; // along x, where its values are no numbers
  groups: Group[];
  range: [number, number] | null; // of a colour that is a number
  best: Point | null;
  left: number; // points that a logarithmic axis cannot show
}

const GROUPS = 7;

export function plotted(answer: Answer, logX: boolean, logY: boolean, others: string): Plotted {
  const names = answer.x.kind === "number" ? null : [...new Set(answer.points.map((row) => String(row[1])))].sort();
  const range = answer.color?.kind === "number" ? rangeOf(answer.points.map((row) => row[3])) : null;
  const groups = answer.color && !range ? groupsOf(answer.points, others) : [];
  const places = new Map(groups.map((group, i) => [group.name, i]));
  const all = answer.points.map(([no, x, y, color]): Point => {
    const share = range && typeof color === "number" ? (color - range[0]) / (range[1] - range[0] || 1) : Number.NaN;
    const group = places.get(nameOf(color)) ?? groups.length - 1;
    return { no, x: names ? names.indexOf(String(x)) : Number(x), y: Number(y), given: [x, y, color], group, share };
  });
  const points = all.filter((one) => Number.isFinite(one.x) && Number.isFinite(one.y) && (!logX || names || one.x > 0) && (!logY || one.y > 0));
  points.sort((a, b) => a.x - b.x || a.no - b.no);
  const best = points.find((one) => one.no === answer.best) ?? null;
  return { answer, points, names, groups, range, best, left: all.length - points.length };
}

export const wordOf = (column: Column): string => column.word ?? column.name.replace(/^(inputs|outputs)\./, "");

/** As it stands at an axis. */
export const labelOf = (column: Column): string => (column.unit ? `${wordOf(column)}, ${column.unit}` : wordOf(column));

/** A value with its unit. */
export const amount = (value: Value, { unit }: Column): string => (unit && typeof value === "number" ? `${digits(value)}\u202f${unit}` : digits(value));

export const nameOf = (value: Value): string => (value === null ? "–" : String(value));

/** Three digits, as everywhere in lists. */
export function digits(value: Value): string {
  if (typeof value !== "number") return nameOf(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en").replaceAll(",", "\u202f");
  const text = Math.abs(value) >= 1e-4 && Math.abs(value) < 1e6 ? String(Number(value.toPrecision(3))) : value.toExponential(2);
  return text.replace("-", "\u2212").replace("e+", "e");
}

function rangeOf(values: Value[]): [number, number] | null {
  const numbers = values.filter((value): value is number => typeof value === "number");
  return numbers.length > 0 ? [Math.min(...numbers), Math.max(...numbers)] : null;
}

/** The most frequent kinds have a colour and a shape of their own; the rest share the last. */
function groupsOf(rows: Answer["points"], others: string): Group[] {
  const counts = new Map<string, number>();
  for (const row of rows) counts.set(nameOf(row[3]), (counts.get(nameOf(row[3])) ?? 0) + 1);
  const found = [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count);
  if (found.length <= GROUPS + 1) return found.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  const rest = found.slice(GROUPS).reduce((sum, group) => sum + group.count, 0);
  return [...found.slice(0, GROUPS), { name: others, count: rest }];
}
