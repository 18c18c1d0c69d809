/**
 * What was placed, as the workflow saves it, with undo. The form is told in pose/joints.py.
 */
const VERSION = 1;
const MOST_UNDONE = 200;
const round = (number) => Math.round(number * 1e4) / 1e4;

export class JointsValue {
  /** changed(): called after each change, undo and redo, but not after load. */
  constructor(changed) {
    this.changed = changed;
    this.start = []; // bodies there are before anybody moves one
    this.load("");
  }

  /** Take over a saved text; what cannot be read is as good as nothing. */
  load(text) {
    this.state = parsed(text);
    this.past = [];
    this.future = [];
  }

  get text() {
    const { bodies, strokes } = this.state;
    if (!bodies && !strokes.length) return "";
    const places = bodies?.map((body) => body.map((place) => place && place.map(round)));
    return JSON.stringify({ version: VERSION, bodies: places ?? null, strokes });
  }

  get bodies() {
    return this.state.bodies ?? this.start;
  }

  get strokes() {
    return this.state.strokes;
  }

  /** The next state; with `bodies` nobody's start counts any more. */
  change(next) {
    this.past = [...this.past, this.state].slice(-MOST_UNDONE);
    this.future = [];
    this.state = { ...this.state, ...next };
    this.changed();
  }

  changeBody(number, body) {
    this.change({ bodies: this.bodies.map((one, k) => (k === number ? body : one)) });
  }

  addStroke(adds, radius, points) {
    const stroke = [adds ? 1 : 0, round(radius), ...points.flat().map(round)];
    this.change({ strokes: [...this.strokes, stroke] });
  }

  /** Back to what was there before anybody moved anything. */
  reset() {
    this.change({ bodies: null, strokes: [] });
  }

  undo() {
    this.#step(this.past, this.future);
  }

  redo() {
    this.#step(this.future, this.past);
  }

  #step(from, to) {
    if (!from.length) return;
    to.push(this.state);
    this.state = from.pop();
    this.changed();
  }
}

function parsed(text) {
  try {
    const { version, bodies, strokes } = JSON.parse(text);
    if (version === VERSION) return { bodies: bodies ?? null, strokes: strokes ?? [] };
  } catch {
    // The node says what is wrong with it when it runs.
  }
  return { bodies: null, strokes: [] };
}
