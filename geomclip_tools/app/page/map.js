// The map of the library on a canvas: 100,000 points and more, with zoom, hover and click.

import { ask } from "./api.js";
import { find, make, showDrawing } from "./elements.js";

const CELLS = 128; // per side, of the grid in which a point is looked up
const SIZE = 10000; // of the map's coordinates
const NEAR = 10; // pixels
const BACKGROUND = toPixel(200, 0.18, 0.08);
const PALETTE = Array.from({ length: 256 }, (_, place) => toPixel(260 - (200 * place) / 255, 0.8, 0.25 + (0.45 * place) / 255));
const PLAIN = 110; // in the palette, without a text
const BRIGHT = 200; // from here on, points are larger

/** Return a colour (hue in degrees, saturation and lightness from 0 to 1) as a pixel of a canvas. */
function toPixel(hue, saturation, lightness) {
  const part = (shift) => {
    const k = (shift + hue / 30) % 12;
    return Math.round(255 * (lightness - saturation * Math.min(lightness, 1 - lightness) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return ((255 << 24) | (part(4) << 16) | (part(8) << 8) | part(0)) >>> 0;
}

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
  }

  /** Colour the points by their similarity with a text; the most similar ones are drawn last, on top. */
  async colour(text) {
    await this.load();
    this.colours = text ? await ask("colour_map", text) : new Array(this.x.length).fill(PLAIN);
    this.order = [...this.colours.keys()].sort((a, b) => this.colours[a] - this.colours[b]);
    this.draw();
  }

  cell(x, y) {
    const side = (value) => Math.min(CELLS - 1, Math.floor((value * CELLS) / (SIZE + 1)));
    return side(x) * CELLS + side(y);
  }

  /** Draw all points, pixel by pixel: a canvas needs a second for 100,000 rectangles. */
  draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.canvas.clientWidth * ratio), height = Math.round(this.canvas.clientHeight * ratio);
    if (!this.order || !width) return;
    Object.assign(this.canvas, { width, height });
    this.view.scale ||= (0.94 * Math.min(width, height)) / ratio / SIZE;
    const { x: left, y: top } = this.view, scale = this.view.scale * ratio;
    const context = this.canvas.getContext("2d"), image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer).fill(BACKGROUND);
    const side = Math.round((this.x.length > 20000 ? 2 : 4) * ratio);
    for (const place of this.order) {
      const colour = this.colours[place], size = side + (colour > BRIGHT ? Math.round(2 * ratio) : 0);
      const x = Math.round(width / 2 + (this.x[place] - left) * scale - size / 2);
      const y = Math.round(height / 2 + (this.y[place] - top) * scale - size / 2);
      if (x < 0 || y < 0 || x + size > width || y + size > height) continue;
      for (let row = y; row < y + size; row += 1) pixels.fill(PALETTE[colour], row * width + x, row * width + x + size);
    }
    context.putImageData(image, 0, 0);
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
