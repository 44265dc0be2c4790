/**
 * `<sirdar-plot src="/api/jobs/ID/points" task="/jobs/ID?task=">`: outputs over inputs. What is drawn is chosen in the form inside it, and
 * stands in the page's address. A point says what it is, a click opens its task, the arrow keys go from point to point, dragging
 * looks closer and a double click at the whole again. Its points also stand in a table.
 */

import { Chart, palette, mixed, ring, shape, type Look } from "./plot_canvas";
import { amount, type Answer, digits, labelOf, nameOf, plotted, type Plotted, type Point, wordOf } from "./plot_points";
import { say } from "./words";

const AGAIN_MS = 5_000;
const CHOICES = ["x", "y", "color", "logx", "logy", "lines"];

class Plot extends HTMLElement {
  #answer: Answer | undefined;
  #shown: Plotted | undefined;
  #chart: Chart | undefined;
  #text = "";
  #timer = 0;
  readonly #sizes = new ResizeObserver(() => this.#chart?.resize(this.#canvas.clientWidth));
  readonly #dark = window.matchMedia("(prefers-color-scheme: dark)");
  readonly #redraw = (): void => this.#draw();
  readonly #followed = (): void => {
    if (!this.#timer) this.#timer = window.setTimeout(() => void this.#load(), AGAIN_MS);
  };

  connectedCallback(): void {
    this.#form.addEventListener("change", (event) => this.#choose(event));
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
    this.querySelector("details")?.addEventListener("toggle", () => this.#fillTable());
    this.#dark.addEventListener("change", this.#redraw);
    if (this.hasAttribute("live")) document.addEventListener("sirdar:looked", this.#followed);
    this.#sizes.observe(this.#canvas);
    void this.#load();
  }

  disconnectedCallback(): void {
    this.#dark.removeEventListener("change", this.#redraw);
    document.removeEventListener("sirdar:looked", this.#followed);
    window.clearTimeout(this.#timer);
    this.#sizes.disconnect();
    this.#chart?.destroy();
  }

  get #form(): HTMLFormElement {
    return this.querySelector("form") as HTMLFormElement;
  }

  get #canvas(): HTMLElement {
    return this.querySelector(".plot-canvas") as HTMLElement;
  }

  get #look(): Look {
    const chosen = new FormData(this.#form);
    return { logX: chosen.has("logx"), logY: chosen.has("logy"), lines: chosen.has("lines") };
  }

  #choose(event: Event): void {
    const chosen = new FormData(this.#form);
    const address = new URL(location.href);
    for (const name of CHOICES) {
      const text = chosen.get(name);
      if (typeof text === "string" && text) address.searchParams.set(name, text);
      else address.searchParams.delete(name);
    }
    history.replaceState(history.state, "", address);
    if (event.target instanceof HTMLSelectElement) void this.#load();
    else this.#draw();
  }

  async #load(): Promise<void> {
    window.clearTimeout(this.#timer);
    this.#timer = 0;
    const address = new URL(this.getAttribute("src") ?? "", location.href);
    const chosen = new FormData(this.#form);
    for (const name of ["x", "y", "color"]) if (chosen.get(name)) address.searchParams.set(name, String(chosen.get(name)));
    const share = this.getAttribute("share");
    if (share) address.searchParams.set("share", share);
    const reply = await fetch(address).catch(() => undefined);
    if (!reply?.ok) {
      this.#note(say("The points could not be fetched."));
      return;
    }
    const text = await reply.text();
    if (text === this.#text || this.#chart?.marked) {
      if (text !== this.#text) this.#followed(); // not while somebody looks at a point
      return;
    }
    this.#text = text;
    this.#answer = this.#named(JSON.parse(text) as Answer);
    this.#draw();
  }

  /** The columns as the page calls them, and units in its language. */
  #named(answer: Answer): Answer {
    for (const column of [answer.x, answer.y, answer.color]) {
      if (!column) continue;
      const told = this.#form.querySelector<HTMLOptionElement>(`option[value="${CSS.escape(column.name)}"]`)?.dataset;
      column.word = told?.["word"];
      column.unit = told?.["unit"] ?? column.unit;
    }
    return answer;
  }

  #draw(): void {
    if (!this.#answer) return;
    const look = this.#look;
    const shown = (this.#shown = plotted(this.#answer, look.logX, look.logY, say("others")));
    this.#chart?.destroy();
    this.#chart = undefined;
    this.#canvas.replaceChildren();
    this.#canvas.classList.toggle("nothing", shown.points.length === 0);
    if (shown.points.length === 0) this.#canvas.append(cell("p", this.#answer.ended ? say("No task gave both values.") : say("No task has both values yet.")));
    else this.#chart = new Chart(this.#canvas, shown, look, { onPoint: (point) => this.#tell(point), onOpen: (point) => this.#open(point) });
    this.#canvas.setAttribute("aria-label", this.#summary(shown));
    this.#tell(null);
    this.#legend(shown);
    this.#fillTable();
  }

  #summary({ answer, points }: Plotted): string {
    return say("{y} over {x}, {count} points. Arrow keys go from point to point, Enter opens the task.", {
      x: labelOf(answer.x),
      y: labelOf(answer.y),
      count: points.length,
    });
  }

  /** What the point under the pointer is; else what the plot leaves out. */
  #tell(point: Point | null): void {
    const shown = this.#shown;
    if (!shown) return;
    const { answer, left } = shown;
    if (point) {
      const named = [answer.x, answer.y, answer.color].map((column, i) => (column ? `${wordOf(column)} ${amount(point.given[i] ?? null, column)}` : ""));
      return this.#note([say("Task {no}", { no: point.no }), ...named.filter(Boolean)].join(" · "));
    }
    const notes: string[] = [];
    if (answer.sampled) notes.push(say("{count} of {of} tasks, taken evenly.", { count: answer.points.length, of: answer.of }));
    if (left > 0) notes.push(say("Not above zero, and so not on a logarithmic axis: {count}.", { count: left }));
    this.#note(notes.join(" "));
  }

  #note(text: string): void {
    const place = this.querySelector(".plot-note");
    if (place) place.textContent = text;
  }

  #open(point: Point): void {
    location.assign(this.#address(point));
  }

  #address(point: Point): string {
    const address = new URL(this.getAttribute("task") ?? "", location.href);
    address.searchParams.set("task", String(point.no));
    return address.href;
  }

  #key(event: KeyboardEvent): void {
    const [points, chart] = [this.#shown?.points ?? [], this.#chart];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!chart || points.length === 0) return;
    if (step) {
      const at = chart.marked ? points.indexOf(chart.marked) + step : step > 0 ? 0 : points.length - 1;
      chart.mark(points[Math.min(points.length - 1, Math.max(0, at))] ?? null);
    } else if (event.key === "Enter" && chart.marked) this.#open(chart.marked);
    else if (event.key === "Escape") chart.mark(null);
    else return;
    event.preventDefault();
  }

  #legend({ answer, best, groups, range }: Plotted): void {
    const list = this.querySelector(".plot-legend");
    if (!list) return;
    const colors = palette(this);
    const items = groups.map((group, i) => kindItem(colors.kinds[i] ?? "", i, `${group.name} (${group.count})`));
    if (range) items.push(kindItem(mixed(colors, 0), 0, digits(range[0])), kindItem(mixed(colors, 0.5), 0, labelOf(answer.color ?? answer.x)), kindItem(mixed(colors, 1), 0, digits(range[1])));
    if (best) items.push(item(say("the best: task {no}", { no: best.no }), (ctx) => ring(ctx, colors.best, 12, 12, 8, 3)));
    list.replaceChildren(...items);
  }

  /** The same points for those who do not see them; made when it is opened. */
  #fillTable(): void {
    const [details, shown] = [this.querySelector("details"), this.#shown];
    const place = details?.querySelector("div");
    if (!details?.open || !place || !shown) return;
    const { x, y, color } = shown.answer;
    const columns = [x, y, ...(color ? [color] : [])];
    const table = document.createElement("table");
    const heads = [say("Task"), ...columns.map(labelOf)].map((text) => cell("th", text));
    table.createTHead().insertRow().append(...heads);
    const body = table.createTBody();
    for (const point of shown.points) {
      const link = document.createElement("a");
      [link.href, link.textContent] = [this.#address(point), String(point.no)];
      const first = document.createElement("td");
      first.append(link);
      body.insertRow().append(first, ...columns.map((_, i) => cell("td", nameOf(point.given[i] ?? null))));
    }
    place.replaceChildren(table);
  }
}

function cell(tag: "td" | "th" | "p", text: string): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

/** A line of the legend: its sign, drawn around (12, 12), and its words. */
function item(text: string, draw: (ctx: CanvasRenderingContext2D) => void): HTMLLIElement {
  const made = document.createElement("li");
  const sign = document.createElement("canvas");
  sign.width = sign.height = 24;
  const ctx = sign.getContext("2d");
  if (ctx) draw(ctx);
  made.append(sign, text);
  return made;
}

function kindItem(color: string, kind: number, text: string): HTMLLIElement {
  return item(text, (ctx) => {
    ctx.fillStyle = color;
    shape(ctx, kind, 12, 12, 8);
  });
}

customElements.define("sirdar-plot", Plot);
