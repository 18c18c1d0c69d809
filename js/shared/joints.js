/**
 * The joints of a picture, to be placed by hand, and a brush for its mask: one widget for the node
 * and for the page of the command line. Nothing here knows where the picture comes from.
 */
import { JointsBar } from "./joints_bar.js";
import { MOST_BODIES, NAMES, standing } from "./joints_body.js";
import { Hands } from "./joints_hands.js";
import { sheet } from "./joints_style.js";
import { JointsValue } from "./joints_value.js";
import { JointsView, opaqueBox } from "./joints_view.js";
import { element } from "./elements.js";
import { sheet as sharedSheet } from "./style.js";
import { say } from "./words.js";

const NOTES = {
  person: "A person was found in the picture.",
  standing: "No joints were given: a standing figure to start from.",
  nobody: "Nobody is in the keypoints: a standing figure to start from.",
  many: "More than two bodies are in the keypoints: the two largest are shown.",
  uniform: "The mask is all of one kind: it is not used.",
};

export class Joints {
  /** host: where it lives. changed(text): called with the value to save after every change. */
  constructor(host, changed, invitation) {
    this.tool = "joints"; // or "add", "remove": the brush
    this.chosen = 0;
    this.joint = 0;
    this.keepLengths = false;
    this.showMask = false;
    this.brush = { radius: 0.04, at: null };
    this.notes = [];
    this.findMask = null; // where there is one: a value -> address of what its strokes lie over
    this.value = new JointsValue(() => {
      this.#settle();
      changed(this.value.text);
    });
    this.root = host.attachShadow({ mode: "open" });
    this.root.adoptedStyleSheets = [sharedSheet(), sheet()];
    this.invitation = element("p", { role: "status", textContent: say(invitation) });
    this.canvas = element("canvas", { tabIndex: 0, role: "application" });
    this.canvas.setAttribute("aria-label", say("Joints on the picture"));
    this.view = new JointsView(this.canvas);
    this.bar = new JointsBar(this);
    this.status = element("output", { className: "said" });
    this.status.setAttribute("aria-live", "polite");
    this.stage = element("div", { className: "stage joints", role: "group" });
    this.stage.setAttribute("aria-label", say("Joints on the picture"));
    this.stage.append(this.bar.element, this.canvas, this.status);
    this.hands = new Hands(this);
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.canvas);
    this.root.append(this.invitation);
  }

  /** Take over a saved value. */
  load(text) {
    this.value.load(text);
    this.#settle();
  }

  /**
   * Show a picture, by addresses: {picture, mask, bodies, notes}. mask: white where the character
   * is. bodies: what to start from; without any a standing figure. Rejects if it cannot be loaded.
   */
  async show({ picture, mask = null, bodies = null, notes = ["standing"] }) {
    const asked = (this.asked = picture);
    const [image, start] = await Promise.all([loadedImage(picture), mask && loadedImage(mask)]);
    if (asked !== this.asked) return; // another one has been asked for since
    this.view.show(image, start);
    this.value.start = bodies ?? [standing(this.view.aspect, opaqueBox(image))];
    this.notes = notes;
    this.root.replaceChildren(this.stage);
    this.#settle();
  }

  /** Nothing to show: a sentence in place of the picture. */
  clear(sentence) {
    this.asked = null;
    this.invitation.textContent = say(sentence);
    this.root.replaceChildren(this.invitation);
  }

  dispose() {
    this.resized.disconnect();
  }

  get body() {
    return this.value.bodies[this.chosen] ?? NAMES.map(() => null);
  }

  /** Put another body in the place of the chosen one, as one step of undo. */
  setBody(body) {
    this.value.changeBody(this.chosen, body);
  }

  choose(body, joint) {
    this.chosen = body;
    this.joint = joint;
    this.#settle(false);
  }

  use(tool) {
    this.tool = tool;
    this.brush.at = null;
    this.#settle(false);
    if (tool !== "joints") this.seekMask();
  }

  /** The mask for the joints as they are now, where it is sought about them. */
  async seekMask() {
    const { text } = this.value;
    if (!this.findMask || this.soughtFor === text) return;
    this.soughtFor = text;
    const mask = await loadedImage(await this.findMask(text));
    if (this.soughtFor !== text) return;
    this.view.show(this.view.picture, mask);
    this.#settle();
  }

  addBody() {
    const taken = this.value.bodies;
    if (taken.length >= MOST_BODIES) return;
    this.chosen = taken.length;
    this.value.change({ bodies: [...taken, standing(this.view.aspect)] });
  }

  removeBody() {
    if (this.value.bodies.length < 2) return;
    this.value.change({ bodies: this.value.bodies.filter((_, number) => number !== this.chosen) });
  }

  /** What is drawn and said follows the state. repaint: the mask too. */
  #settle(repaint = true) {
    this.chosen = Math.max(0, Math.min(this.chosen, this.value.bodies.length - 1));
    if (repaint && this.view.picture) this.view.paintAll(this.value.strokes);
    this.bar.follow();
    this.status.textContent = this.#said();
    this.draw();
  }

  #said() {
    const place = this.body[this.joint];
    const where = place ? place.map((share) => `${(100 * share).toFixed(1)} %`).join(", ") : null;
    const told = `${say(NAMES[this.joint])}: ${where ?? say("not there: click to place it")}`;
    const notes = this.value.text === "" ? this.notes : []; // once something is moved, it is known
    return [told, ...notes.map((note) => say(NOTES[note]))].join(" · ");
  }

  /** Before the next picture of the browser. preview: bodies while one is being dragged. */
  draw(preview) {
    this.preview = preview;
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      const brushing = this.tool !== "joints";
      this.view.draw({
        bodies: this.preview ?? this.value.bodies,
        chosen: this.chosen,
        joint: this.joint,
        masked: brushing || this.showMask,
        brush: brushing ? this.brush : null,
      });
    });
  }
}

function loadedImage(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("The picture cannot be shown: run the graph again."));
    image.src = address;
  });
}
