// The map of the library on a canvas: 100,000 points and more, with zoom, hover and click.

import { ask } from "./api.js";
import { find, make, showDrawing } from "./elements.js";

const CELLS = 128; // per side, of the grid in which a point is looked up
const SIZE = 10000; // of the map's coordinates
const NEAR = 10; // pixels
const PALETTE = Array.from({ length: 256 }, (_, place) => {
  const share = place / 255;
  return `hsl(${260 - 200 * share} 80% ${25 + 45 * share}%)`;
});

export class LibraryMap {
  constructor(open) {
    this.canvas = find("map");
    this.open = open;
    this.view = { x: SIZE / 2, y: SIZE / 2, scale: 0 };
    this.listen();
  }

  /** Load the points, once. */
  async load() {
    this.loading ||= ask("draw_map").then((points) => {
      Object.assign(this, points);
      this.grid = new Map();
      this.x.forEach((x, place) => {
        const key = this.cell(x, this.y[place]);
        if (!this.grid.has(key)) this.grid.set(key, []);
        this.grid.get(key).push(place);
      });
    });
    await this.loading;
    this.draw();
  }

  /** Colour the points by their similarity with a text. */
  async colour(text) {
    await this.load();
    this.colours = text ? await ask("colour_map", text) : null;
    this.draw();
  }

  cell(x, y) {
    const side = (value) => Math.min(CELLS - 1, Math.floor((value * CELLS) / (SIZE + 1)));
    return side(x) * CELLS + side(y);
  }

  draw() {
    const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = this.canvas;
    if (!this.x || !width) return;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    this.view.scale ||= (0.94 * Math.min(width, height)) / SIZE;
    const { x: left, y: top, scale } = this.view;
    const side = this.x.length > 20000 ? 2 : 4;
    const order = new Map();
    this.x.forEach((x, place) => {
      const colour = this.colours ? this.colours[place] : 110;
      if (!order.has(colour)) order.set(colour, []);
      order.get(colour).push(place);
    });
    for (const colour of [...order.keys()].sort((a, b) => a - b)) { // the most similar last, on top
      context.fillStyle = PALETTE[colour];
      const grown = side + (this.colours && colour > 200 ? 2 : 0);
      for (const place of order.get(colour)) {
        const x = width / 2 + (this.x[place] - left) * scale, y = height / 2 + (this.y[place] - top) * scale;
        if (x > -9 && y > -9 && x < width + 9 && y < height + 9) context.fillRect(x - grown / 2, y - grown / 2, grown, grown);
      }
    }
  }

  /** Return the point nearest to a place of the canvas, or null. */
  pointAt(left, top) {
    if (!this.grid || !this.view.scale) return null;
    const { clientWidth: width, clientHeight: height } = this.canvas, { scale } = this.view;
    const x = this.view.x + (left - width / 2) / scale, y = this.view.y + (top - height / 2) / scale;
    const reach = NEAR / scale, step = SIZE / CELLS;
    let best = null, nearest = reach ** 2;
    for (let across = x - reach; across <= x + reach + step; across += step) {
      for (let down = y - reach; down <= y + reach + step; down += step) {
        const key = this.cell(Math.max(0, Math.min(SIZE, across)), Math.max(0, Math.min(SIZE, down)));
        for (const place of this.grid.get(key) || []) {
          const distance = (this.x[place] - x) ** 2 + (this.y[place] - y) ** 2;
          if (distance <= nearest) [best, nearest] = [place, distance];
        }
      }
    }
    return best;
  }

  listen() {
    let start = null;
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    }, { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => {
      start = { left: event.offsetX, top: event.offsetY, ...this.view };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!start) return this.hover(event.offsetX, event.offsetY);
      this.view.x = start.x - (event.offsetX - start.left) / this.view.scale;
      this.view.y = start.y - (event.offsetY - start.top) / this.view.scale;
      this.draw();
    });
    this.canvas.addEventListener("pointerup", async (event) => {
      const moved = start && Math.hypot(event.offsetX - start.left, event.offsetY - start.top) > 4;
      start = null;
      const place = moved ? null : this.pointAt(event.offsetX, event.offsetY);
      if (place !== null) this.open((await ask("point_at", place)).inchikey);
    });
    this.canvas.addEventListener("pointerleave", () => {
      this.hovered = null;
      find("hover").hidden = true;
    });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  zoom(factor, left, top) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const before = this.view.scale;
    this.view.scale = Math.max(0.5 * Math.min(width, height) / SIZE, Math.min(2, before * factor));
    this.view.x += (left - width / 2) * (1 / before - 1 / this.view.scale);
    this.view.y += (top - height / 2) * (1 / before - 1 / this.view.scale);
    this.draw();
  }

  /** Show the molecule under the pointer, as soon as the pointer rests on it. */
  async hover(left, top) {
    const place = this.pointAt(left, top), box = find("hover");
    if (place === this.hovered) return;
    this.hovered = place;
    box.hidden = true;
    await new Promise((resolve) => setTimeout(resolve, 80));
    if (place === null || this.hovered !== place) return;
    const found = await ask("point_at", place).catch(() => null);
    if (!found || this.hovered !== place) return;
    const drawing = make("div", { className: "drawing" });
    showDrawing(drawing, found.drawing, found.name);
    box.replaceChildren(drawing, make("h3", { textContent: found.name }));
    box.style.left = `${Math.max(0, Math.min(left + 12, this.canvas.clientWidth - 250))}px`;
    box.style.top = `${Math.max(0, top > 240 ? top - 250 : top + 12)}px`;
    box.hidden = false;
  }
}
