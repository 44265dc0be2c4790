/** Draws points with uPlot: its axes, scales and zoom; the points are our own, so that each kind has its colour and its shape. */

import uPlot from "uplot";
import { digits, labelOf, type Plotted, type Point } from "./plot_points";

const HEIGHT = 360;
const SIZE = 4; // half of a point, in CSS pixels
const NEAR = 24; // so near must the pointer be
const KINDS = 8;

export interface Look {
  logX: boolean;
  logY: boolean;
  lines: boolean;
}

export interface Hands {
  onPoint(point: Point | null): void;
  onOpen(point: Point): void;
}

/** Colours of the page, read anew for light and dark. */
interface Palette {
  text: string;
  rule: string;
  accent: string;
  kinds: string[];
  low: string;
  high: string;
  best: string;
}

export class Chart {
  #plot: uPlot | undefined;
  #marked: Point | null = null;
  #palette: Palette;
  readonly #host: HTMLElement;
  readonly #shown: Plotted;
  readonly #look: Look;
  readonly #hands: Hands;

  constructor(host: HTMLElement, shown: Plotted, look: Look, hands: Hands) {
    [this.#host, this.#shown, this.#look, this.#hands] = [host, shown, look, hands];
    this.#palette = palette(host);
    this.#plot = new uPlot(this.#options(), [shown.points.map((one) => one.x), shown.points.map((one) => one.y)], host);
    this.#plot.over.addEventListener("mousemove", (event) => this.mark(this.#nearest(event.offsetX, event.offsetY)));
    this.#plot.over.addEventListener("mouseleave", () => this.mark(null));
    this.#plot.over.addEventListener("click", (event) => {
      const point = this.#nearest(event.offsetX, event.offsetY);
      if (point) this.#hands.onOpen(point);
    });
  }

  get marked(): Point | null {
    return this.#marked;
  }

  mark(point: Point | null): void {
    if (point === this.#marked) return;
    this.#marked = point;
    if (this.#plot) this.#plot.over.classList.toggle("on-point", point !== null);
    this.#plot?.redraw(false);
    this.#hands.onPoint(point);
  }

  resize(width: number): void {
    if (this.#plot && width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }

  destroy(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  #options(): uPlot.Options {
    const { answer, names } = this.#shown;
    const axis = { stroke: this.#palette.text, grid: { stroke: this.#palette.rule, width: 1 }, ticks: { stroke: this.#palette.rule, width: 1 } };
    const words = (_: uPlot, splits: number[]): string[] => splits.map((at) => (at === null ? "" : digits(Number(at.toPrecision(12)))));
    const named = { splits: (): number[] => (names ?? []).map((_, i) => i), values: (_: uPlot, at: number[]): string[] => at.map((i) => short(names?.[i] ?? "")) };
    return {
      width: Math.max(200, this.#host.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { points: { show: false }, drag: { x: true, y: true, uni: 16, dist: 6 } },
      scales: { x: scale(this.#look.logX && !names, names?.length), y: scale(this.#look.logY) },
      axes: [
        { ...axis, label: labelOf(answer.x), labelSize: 24, ...(names ? named : { values: words }) },
        { ...axis, label: labelOf(answer.y), labelSize: 24, size: 64, values: words },
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { draw: [(plot) => this.#draw(plot)] },
    };
  }

  #place(plot: uPlot, point: Point, canvas: boolean): [number, number] {
    return [plot.valToPos(point.x, "x", canvas), plot.valToPos(point.y, "y", canvas)];
  }

  #nearest(left: number, top: number): Point | null {
    const plot = this.#plot;
    if (!plot) return null;
    let [best, least]: [Point | null, number] = [null, NEAR * NEAR];
    for (const point of this.#shown.points) {
      const [x, y] = this.#place(plot, point, false);
      const far = (x - left) ** 2 + (y - top) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    return best;
  }

  #draw(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const ratio = uPlot.pxRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left - SIZE * ratio, bbox.top - SIZE * ratio, bbox.width + 2 * SIZE * ratio, bbox.height + 2 * SIZE * ratio);
    ctx.clip();
    if (this.#look.lines) this.#drawLines(plot, ratio);
    for (const point of this.#shown.points) this.#drawPoint(plot, point, ratio);
    if (this.#shown.best) this.#ring(plot, this.#shown.best, this.#palette.best, (SIZE + 3) * ratio);
    if (this.#marked) this.#ring(plot, this.#marked, this.#palette.text, (SIZE + 4) * ratio);
    ctx.restore();
  }

  #ring(plot: uPlot, point: Point, color: string, radius: number): void {
    const [x, y] = this.#place(plot, point, true);
    ring(plot.ctx, color, x, y, radius, 2 * uPlot.pxRatio);
  }

  /** Each kind is joined by a line of its own. */
  #drawLines(plot: uPlot, ratio: number): void {
    const kinds = Math.max(1, this.#shown.groups.length);
    for (let kind = 0; kind < kinds; kind++) {
      plot.ctx.beginPath();
      for (const point of this.#shown.points) if (kinds === 1 || point.group === kind) plot.ctx.lineTo(...this.#place(plot, point, true));
      plot.ctx.strokeStyle = this.#shown.groups.length > 0 ? this.#colorOfKind(kind) : this.#palette.accent;
      plot.ctx.lineWidth = ratio;
      plot.ctx.stroke();
    }
  }

  #drawPoint(plot: uPlot, point: Point, ratio: number): void {
    const grouped = this.#shown.groups.length > 0;
    plot.ctx.fillStyle = grouped ? this.#colorOfKind(point.group) : Number.isNaN(point.share) ? this.#palette.accent : mixed(this.#palette, point.share);
    const [x, y] = this.#place(plot, point, true);
    shape(plot.ctx, grouped ? point.group : 0, x, y, SIZE * ratio);
  }

  #colorOfKind(kind: number): string {
    return this.#palette.kinds[kind % KINDS] ?? this.#palette.accent;
  }
}

/** Around a point that is not like the others. */
export function ring(ctx: CanvasRenderingContext2D, color: string, x: number, y: number, radius: number, width: number): void {
  [ctx.strokeStyle, ctx.lineWidth] = [color, width];
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.stroke();
}

/** Beside its colour each kind has a shape: disc, square, triangle, diamond, cross, and these smaller. */
export function shape(ctx: CanvasRenderingContext2D, kind: number, x: number, y: number, size: number): void {
  const r = kind >= 5 ? size * 0.7 : size;
  ctx.beginPath();
  if (kind % 5 === 0) ctx.arc(x, y, r, 0, 2 * Math.PI);
  else if (kind % 5 === 1) ctx.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
  else if (kind % 5 === 4) {
    ctx.rect(x - r * 1.2, y - r * 0.35, r * 2.4, r * 0.7);
    ctx.rect(x - r * 0.35, y - r * 1.2, r * 0.7, r * 2.4);
  } else {
    const corners = kind % 5 === 2 ? [[0, -1.2], [1.1, 0.9], [-1.1, 0.9]] : [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]];
    for (const [dx, dy] of corners) ctx.lineTo(x + (dx ?? 0) * r, y + (dy ?? 0) * r);
    ctx.closePath();
  }
  ctx.fill();
}

export function palette(host: HTMLElement): Palette {
  const style = getComputedStyle(host);
  const read = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const kinds = Array.from({ length: KINDS }, (_, i) => read(`plot-${i + 1}`));
  return { text: read("soft"), rule: read("rule"), accent: read("accent"), kinds, low: read("plot-low"), high: read("plot-high"), best: read("plot-best") };
}

/** Between the two ends of the scale. */
export function mixed({ low, high }: { low: string; high: string }, share: number): string {
  const [from, to] = [channels(low), channels(high)];
  const parts = from.map((value, i) => Math.round(value + ((to[i] ?? value) - value) * share));
  return `rgb(${parts.join(" ")})`;
}

const channels = (color: string): number[] => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));

function scale(logarithmic: boolean, names?: number): uPlot.Scale {
  if (names !== undefined) return { time: false, range: [-0.5, names - 0.5] };
  if (logarithmic) return { time: false, distr: 3, log: 10, range: (_, least, most) => (least === null || most === null ? [0.1, 10] : stretched(least, most)) };
  return { time: false, range: (_, least, most) => widened(least, most) };
}

/** A little room at both ends, so that no point lies on the edge; some, too, where all are alike. */
function widened(least: number | null, most: number | null): [number, number] {
  if (least === null || most === null) return [0, 1];
  const room = most > least ? (most - least) * 0.04 : Math.abs(least) * 0.1 || 1;
  return [least - room, most + room];
}

/** The same of a logarithmic axis; at least a decade, so that there is a number to read. */
function stretched(least: number, most: number): [number, number] {
  const spread = Math.log10(most / least);
  const room = spread < 1 ? (1 - spread) / 2 + 0.05 : spread * 0.04;
  return [least / 10 ** room, most * 10 ** room];
}

const short = (name: string): string => (name.length > 14 ? `${name.slice(0, 13)}…` : name);
