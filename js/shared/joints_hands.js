/** Mouse, pen and keys: what they do to the joints and to the mask. */
import { carried, guessed, moved, NAMES, shifted, turned } from "./joints_body.js";

const THINNED = 0.2; // of the brush's radius: points of a stroke lie at least so far apart
const SIZE_STEP = 0.05;

export class Hands {
  constructor(joints) {
    this.joints = joints;
    this.drag = null; // what a pressed pointer does: {move(event), end()}
    this.space = false; // held: the picture is moved
    const { canvas, stage } = joints;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const over of ["pointerup", "pointercancel"])
      canvas.addEventListener(over, (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => {
      joints.brush.at = null;
      joints.draw(this.drag?.preview?.());
    });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("pointerdown", (event) => event.stopPropagation()); // no node is dragged
    stage.addEventListener("keydown", (event) => this.#key(event));
    stage.addEventListener("keyup", (event) => {
      if (event.key === " ") this.space = false;
    });
  }

  #down(event) {
    const { joints } = this;
    event.preventDefault();
    joints.canvas.focus({ preventScroll: true });
    if (this.drag || !joints.view.picture) return;
    joints.canvas.setPointerCapture(event.pointerId);
    if (event.button === 1 || this.space) this.drag = this.#pan(event);
    else if (event.button > 0) return;
    else if (joints.tool === "joints") this.drag = this.#grab(event);
    else this.drag = this.#stroke(event);
  }

  #move(event) {
    const { joints } = this;
    if (joints.tool !== "joints") joints.brush.at = joints.view.toShares(event);
    if (this.drag) this.drag.move(event);
    else if (joints.brush.at) joints.draw();
    else {
      const over = joints.view.hit(event, joints.value.bodies, joints.chosen);
      joints.canvas.style.cursor = over ? "grab" : "";
    }
  }

  #up(event) {
    const { drag } = this;
    this.drag = null;
    if (this.joints.canvas.hasPointerCapture(event.pointerId))
      this.joints.canvas.releasePointerCapture(event.pointerId);
    drag?.end();
  }

  #pan(event) {
    const { view } = this.joints;
    const from = view.toShares(event);
    return {
      move: (now) => {
        view.panBy(view.toShares(now), from);
        this.joints.draw();
      },
      end: () => {},
    };
  }

  /** A joint under the pointer follows it; one that is not there is placed; else the view moves. */
  #grab(event) {
    const { joints } = this;
    const { view, value } = joints;
    const hit = view.hit(event, value.bodies, joints.chosen);
    if (hit) joints.choose(hit.body, hit.joint);
    else if (joints.body[joints.joint]) return this.#pan(event);
    const { body, joint, chosen } = joints;
    const held = view.toShares(event);
    const from = body[joint] ?? held;
    let now = hit ? body : moved(body, joint, held);
    const preview = () => value.bodies.map((one, number) => (number === chosen ? now : one));
    joints.draw(preview());
    return {
      preview,
      move: (at) => {
        const place = shifted(from, held, view.toShares(at));
        if (at.shiftKey && hit) now = carried(body, joint, place);
        else if (joints.keepLengths && hit) now = turned(body, joint, place, view.aspect);
        else now = moved(body, joint, place);
        joints.draw(preview());
      },
      end: () => (now === body ? joints.draw() : joints.setBody(now)),
    };
  }

  #stroke(event) {
    const { joints } = this;
    const { view } = joints;
    const adds = joints.tool === "add";
    const { radius } = joints.brush;
    const least = THINNED * radius * Math.min(view.width, view.height);
    const points = [view.toShares(event)];
    view.paint(adds, radius, points);
    joints.draw();
    return {
      move: (now) => {
        const last = points.at(-1);
        const place = view.toShares(now);
        const [x, y] = place.map((share, axis) => share - last[axis]);
        if (Math.hypot(x * view.width, y * view.height) >= least) {
          points.push(place);
          view.paint(adds, radius, [last, place]);
        }
        joints.draw();
      },
      end: () => joints.value.addStroke(adds, radius, points),
    };
  }

  #key(event) {
    const { joints } = this;
    const { bar } = joints;
    const undoing = (event.ctrlKey || event.metaKey) && /^[zy]$/i.test(event.key);
    if ((event.ctrlKey || event.metaKey || event.altKey) && !undoing) return;
    if (event.key === "Tab" || event.key === "Escape") return;
    event.stopPropagation(); // ComfyUI has shortcuts on single letters, and Del takes the node
    if (undoing) {
      event.preventDefault();
      const again = event.shiftKey || event.key.toLowerCase() === "y";
      return again ? joints.value.redo() : joints.value.undo();
    }
    const target = event.composedPath()[0];
    if (target !== joints.canvas && /^(Arrow|Page|Home|End|Enter| $)/.test(event.key)) return;
    if (target.tagName === "SELECT" && /^[a-z]$/i.test(event.key)) return; // it looks for a name
    const acts = {
      v: () => joints.use("joints"),
      b: () => joints.use("add"),
      e: () => joints.use("remove"),
      "[": () => bar.setSize(Number(bar.size.value) - SIZE_STEP),
      "]": () => bar.setSize(Number(bar.size.value) + SIZE_STEP),
      m: () => bar.toggleMask(),
      l: () => bar.toggleLengths(),
      s: () => bar.straighten(),
      x: () => bar.mirror(),
      w: () => bar.swap(),
      "+": () => bar.zoom(1.5),
      "=": () => bar.zoom(1.5),
      "-": () => bar.zoom(1 / 1.5),
      0: () => bar.fit(),
      Delete: () => bar.deleteJoint(),
      Backspace: () => bar.deleteJoint(),
      PageDown: () => this.#next(1),
      PageUp: () => this.#next(-1),
      Enter: () => this.#placeMissing(),
      " ": () => {
        this.space = true;
      },
      ArrowLeft: () => this.#nudge(-1, 0, event),
      ArrowRight: () => this.#nudge(1, 0, event),
      ArrowUp: () => this.#nudge(0, -1, event),
      ArrowDown: () => this.#nudge(0, 1, event),
    };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #next(step) {
    const count = NAMES.length;
    this.joints.choose(this.joints.chosen, (this.joints.joint + step + count) % count);
  }

  #placeMissing() {
    const { joints } = this;
    if (joints.body[joints.joint]) return;
    const place = guessed(joints.body, joints.joint, joints.view.aspect);
    joints.setBody(moved(joints.body, joints.joint, place));
  }

  /** By a pixel of the page, ten with Shift. */
  #nudge(x, y, event) {
    const { joints } = this;
    const { view } = joints;
    const from = joints.body[joints.joint];
    if (!from) return;
    const step = (event.shiftKey ? 10 : 1) / view.scale;
    const place = [from[0] + (x * step) / view.width, from[1] + (y * step) / view.height];
    joints.setBody(moved(joints.body, joints.joint, place));
  }
}
