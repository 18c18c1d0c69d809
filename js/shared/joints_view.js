/** The picture with its joints on a canvas: zoom, pan, and what lies where. */
import { JOINT_COLOURS, LIMBS } from "./joints_body.js";

const MASK_SIDE = 768; // pixels: finer than a brush by hand
const COLOUR = [45, 212, 191]; // of the mask, as that of the composite is shown
const LARGEST = 24; // zoom
const JOINT = 6; // radius in pixels of the page
const REACH = 16; // so far from a joint it is still hit
const MARGIN = 8;

export class JointsView {
  constructor(canvas) {
    this.canvas = canvas;
    this.picture = null;
    this.zoom = 1; // 1: all of the picture
    this.centre = [0.5, 0.5]; // share of the picture in the middle of the canvas
    this.mask = document.createElement("canvas"); // opaque where the character is
    this.veil = document.createElement("canvas");
  }

  /** picture: an image that has loaded; mask: one of white and black, or null. */
  show(picture, mask) {
    if (picture.src !== this.picture?.src) this.fit();
    this.picture = picture;
    this.started = mask && asAlpha(mask);
    const scale = Math.min(1, MASK_SIDE / Math.max(this.width, this.height));
    for (const one of [this.mask, this.veil]) {
      one.width = Math.max(1, Math.round(this.width * scale));
      one.height = Math.max(1, Math.round(this.height * scale));
    }
  }

  get width() {
    return this.picture?.naturalWidth ?? 1;
  }

  get height() {
    return this.picture?.naturalHeight ?? 1;
  }

  get aspect() {
    return this.width / this.height;
  }

  fit() {
    this.zoom = 1;
    this.centre = [0.5, 0.5];
  }

  /** Pixels of the page for one of the picture. */
  get scale() {
    const { clientWidth, clientHeight } = this.canvas;
    const room = [clientWidth / this.width, clientHeight / this.height];
    const shrunk = 1 - (2 * MARGIN) / Math.max(Math.min(clientWidth, clientHeight), 4 * MARGIN);
    return Math.min(...room) * shrunk * this.zoom;
  }

  /** Shares of the picture -> pixels of the canvas as the page counts them. */
  toCanvas([x, y]) {
    const { clientWidth, clientHeight } = this.canvas;
    return [
      clientWidth / 2 + (x - this.centre[0]) * this.width * this.scale,
      clientHeight / 2 + (y - this.centre[1]) * this.height * this.scale,
    ];
  }

  /** Where a pointer is, in shares; ComfyUI's canvas may show the node at any scale. */
  toShares(event) {
    const [x, y] = this.#onCanvas(event);
    const { clientWidth, clientHeight } = this.canvas;
    return [
      this.centre[0] + (x - clientWidth / 2) / this.width / this.scale,
      this.centre[1] + (y - clientHeight / 2) / this.height / this.scale,
    ];
  }

  #onCanvas(event) {
    const box = this.canvas.getBoundingClientRect();
    const shrink = this.canvas.clientWidth / box.width;
    return [(event.clientX - box.left) * shrink, (event.clientY - box.top) * shrink];
  }

  /** Closer by a factor; the place under `event`, or the middle, stays where it is. */
  zoomBy(factor, event) {
    const before = event ? this.toShares(event) : this.centre;
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), LARGEST);
    if (event) this.panBy(this.toShares(event), before);
    if (this.zoom === 1) this.fit();
  }

  /** Move the picture so that what is at `from` comes to `to`, in shares; it stays in sight. */
  panBy(from, to) {
    const { clientWidth, clientHeight } = this.canvas;
    const seen = [clientWidth / this.width, clientHeight / this.height];
    this.centre = this.centre.map((share, axis) => {
      const half = Math.min(seen[axis] / this.scale / 2, 0.5);
      return Math.min(Math.max(share - from[axis] + to[axis], half), 1 - half);
    });
  }

  /** {body, joint} under a pointer, those of the chosen body first; null for none. */
  hit(event, bodies, chosen) {
    const [x, y] = this.#onCanvas(event);
    let best = null;
    bodies.forEach((body, number) =>
      body.forEach((place, joint) => {
        if (!place) return;
        const [left, top] = this.toCanvas(place);
        const far = Math.hypot(left - x, top - y) + (number === chosen ? 0 : 4);
        if (far <= REACH && far < (best?.far ?? Infinity)) best = { body: number, joint, far };
      }),
    );
    return best;
  }

  /** The mask anew: what was there, and all strokes over it. */
  paintAll(strokes) {
    const { width, height } = this.mask;
    const context = this.mask.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (this.started) context.drawImage(this.started, 0, 0, width, height);
    for (const [adds, radius, ...numbers] of strokes) {
      const points = [];
      for (let k = 0; k < numbers.length; k += 2) points.push([numbers[k], numbers[k + 1]]);
      this.paint(adds, radius, points);
    }
  }

  /** One stroke, or a piece of it; radius as a share of the shorter side. */
  paint(adds, radius, points) {
    const { width, height } = this.mask;
    const context = this.mask.getContext("2d");
    context.globalCompositeOperation = adds ? "source-over" : "destination-out";
    context.strokeStyle = `rgb(${COLOUR})`;
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = 2 * radius * Math.min(width, height);
    context.beginPath();
    const [first] = points;
    context.moveTo(first[0] * width, first[1] * height);
    for (const [x, y] of points) context.lineTo(x * width, y * height);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  /** look: {bodies, chosen, joint, masked, brush: {radius, at}}. */
  draw(look) {
    const { canvas } = this;
    const magnified = canvas.getBoundingClientRect().width / canvas.clientWidth || 1;
    const ratio = (window.devicePixelRatio || 1) * Math.min(Math.max(magnified, 1), 3);
    const sizes = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * ratio));
    if (canvas.width !== sizes[0]) [canvas.width] = sizes;
    if (canvas.height !== sizes[1]) [, canvas.height] = sizes;
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    if (!this.picture) return;
    const [left, top] = this.toCanvas([0, 0]);
    const [right, bottom] = this.toCanvas([1, 1]);
    context.imageSmoothingEnabled = this.scale < 4;
    chequered(context, left, top, right - left, bottom - top);
    context.drawImage(this.picture, left, top, right - left, bottom - top);
    if (look.masked) {
      this.#tint();
      context.drawImage(this.veil, left, top, right - left, bottom - top);
    }
    look.bodies.forEach((body, number) => {
      context.globalAlpha = (number === look.chosen ? 1 : 0.45) * (look.brush ? 0.5 : 1);
      this.#drawBody(context, body, number === look.chosen && !look.brush ? look.joint : null);
    });
    context.globalAlpha = 1;
    if (look.brush?.at) this.#drawBrush(context, look.brush);
  }

  /** The character in colour, the rest dark. */
  #tint() {
    const { width, height } = this.veil;
    const context = this.veil.getContext("2d");
    context.globalCompositeOperation = "source-over";
    context.fillStyle = "rgb(0 0 0 / 62%)";
    context.clearRect(0, 0, width, height);
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = "destination-out";
    context.drawImage(this.mask, 0, 0);
    context.globalCompositeOperation = "destination-over";
    context.globalAlpha = 0.35;
    context.drawImage(this.mask, 0, 0);
    context.globalAlpha = 1;
  }

  #drawBody(context, body, joint) {
    context.lineCap = "round";
    const places = body.map((place) => place && this.toCanvas(place));
    for (const [start, end, colour] of LIMBS) {
      if (!places[start] || !places[end]) continue;
      for (const [width, style] of [[6, "rgb(0 0 0 / 55%)"], [4, colour]]) {
        context.lineWidth = width;
        context.strokeStyle = style;
        context.beginPath();
        context.moveTo(...places[start]);
        context.lineTo(...places[end]);
        context.stroke();
      }
    }
    places.forEach((place, k) => {
      if (!place) return;
      context.beginPath();
      context.arc(...place, k === joint ? JOINT + 2 : JOINT - (k >= 14 ? 1.5 : 0), 0, 2 * Math.PI);
      context.fillStyle = JOINT_COLOURS[k];
      context.fill();
      context.lineWidth = k === joint ? 3 : 1.5;
      context.strokeStyle = k === joint ? "#fff" : "rgb(0 0 0 / 70%)";
      context.stroke();
    });
  }

  #drawBrush(context, { radius, at }) {
    const size = radius * Math.min(this.width, this.height) * this.scale;
    for (const [width, style] of [[3, "rgb(0 0 0 / 60%)"], [1.5, "#fff"]]) {
      context.lineWidth = width;
      context.strokeStyle = style;
      context.beginPath();
      context.arc(...this.toCanvas(at), Math.max(size, 1), 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

/** What shows through a transparent picture. */
function chequered(context, left, top, width, height) {
  context.fillStyle = "#8a8a8a";
  context.fillRect(left, top, width, height);
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.fillStyle = "#a6a6a6";
  const step = 10;
  for (let row = 0; row * step < height; row++)
    for (let column = row % 2; column * step < width; column += 2)
      context.fillRect(left + column * step, top + row * step, step, step);
  context.restore();
}

/** A picture of white and black as a canvas of one colour, opaque where it was white. */
function asAlpha(mask) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [mask.naturalWidth, mask.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(mask, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < image.data.length; at += 4)
    image.data.set([...COLOUR, image.data[at]], at);
  context.putImageData(image, 0, 0);
  return canvas;
}

/** [left, top, width, height] in shares of what is opaque in a picture; null for all or nothing. */
export function opaqueBox(picture) {
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, 256 / Math.max(picture.naturalWidth, picture.naturalHeight));
  const width = (canvas.width = Math.max(1, Math.round(picture.naturalWidth * scale)));
  const height = (canvas.height = Math.max(1, Math.round(picture.naturalHeight * scale)));
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  let [left, top, right, bottom, count] = [width, height, 0, 0, 0];
  for (let k = 0; k < width * height; k++) {
    if (data[4 * k + 3] < 128) continue;
    const [x, y] = [k % width, Math.floor(k / width)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
    count++;
  }
  if (!count || count === width * height) return null;
  return [left / width, top / height, (right - left) / width, (bottom - top) / height];
}
