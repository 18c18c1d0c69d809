/** The tools above the picture. Each has a key too, see joints_hands.js; its title names it. */
import { MOST_BODIES, mirrored, moved, NAMES, straightened, swapped } from "./joints_body.js";
import { element, iconButton } from "./elements.js";
import { say } from "./words.js";

const LARGEST_BRUSH = 0.25; // radius as a share of the picture's shorter side
const SMALLEST_BRUSH = 0.004;

export class JointsBar {
  constructor(joints) {
    this.joints = joints;
    const { value } = joints;
    const button = (icon, label, key, act, pressed) =>
      iconButton(icon, key ? `${say(label)} (${key})` : say(label), act, pressed);
    const tool = (name, icon, label, key) =>
      button(icon, label, key, () => joints.use(name), name === joints.tool);
    this.tools = {
      joints: tool("joints", "joints", "Place joints", "V"),
      add: tool("add", "brush", "Brush: add to the mask", "B"),
      remove: tool("remove", "rubber", "Brush: take away from the mask", "E"),
    };
    this.size = element("input", {
      type: "range",
      className: "size",
      min: 0,
      max: 1,
      step: 0.01,
      title: `${say("Size of the brush")} ([ ])`,
      "aria-label": say("Size of the brush"),
      oninput: () => this.setSize(Number(this.size.value)),
    });
    this.mask = button("mask", "Show the mask", "M", () => this.toggleMask(), false);
    this.undo = button("undo", "Undo", "Ctrl+Z", () => value.undo());
    this.redo = button("redo", "Redo", "Ctrl+Shift+Z", () => value.redo());
    this.list = element("select", {
      className: "joint",
      "aria-label": say("Joint"),
      onchange: () => joints.choose(joints.chosen, Number(this.list.value)),
    });
    this.remove = button("delete", "Delete the joint", "Del", () => this.deleteJoint());
    const toggle = () => this.toggleLengths();
    this.lengths = button("lengths", "Bones keep their lengths", "L", toggle, false);
    this.bodies = element("select", {
      className: "body",
      "aria-label": say("Body"),
      onchange: () => joints.choose(Number(this.bodies.value), joints.joint),
    });
    this.more = button("more", "Add a body", "", () => joints.addBody());
    this.fewer = button("fewer", "Remove the body", "", () => joints.removeBody());
    this.element = element(
      "div",
      { className: "tools" },
      this.#group(...Object.values(this.tools), this.size, this.mask),
      this.#group(this.undo, this.redo, button("again", "Start again", "", () => value.reset())),
      this.#group(this.list, this.remove),
      this.#group(
        this.lengths,
        button("straight", "Straighten the limb", "S", () => this.straighten()),
        button("mirror", "Mirror this side onto the other", "X", () => this.mirror()),
        button("swap", "Swap right and left", "W", () => this.swap()),
      ),
      this.#group(this.bodies, this.more, this.fewer),
      this.#group(
        button("closer", "Closer", "+", () => this.zoom(1.5)),
        button("farther", "Farther", "-", () => this.zoom(1 / 1.5)),
        button("fit", "All of the picture", "0", () => this.fit()),
      ),
    );
    this.setSize(0.5);
  }

  #group(...children) {
    return element("div", { className: "bar" }, ...children);
  }

  /** Show the state as it is. */
  follow() {
    const { joints } = this;
    const brushing = joints.tool !== "joints";
    for (const [tool, button] of Object.entries(this.tools))
      button.setAttribute("aria-pressed", tool === joints.tool);
    this.size.disabled = !brushing;
    this.mask.setAttribute("aria-pressed", brushing || joints.showMask);
    this.lengths.setAttribute("aria-pressed", joints.keepLengths);
    this.#allow(this.undo, joints.value.past.length > 0);
    this.#allow(this.redo, joints.value.future.length > 0);
    this.list.replaceChildren(
      ...NAMES.map((name, joint) =>
        element("option", {
          value: joint,
          textContent: joints.body[joint] ? say(name) : `${say(name)} (${say("not there")})`,
        }),
      ),
    );
    this.list.value = joints.joint;
    this.bodies.replaceChildren(
      ...joints.value.bodies.map((_, number) =>
        element("option", { value: number, textContent: `${say("Body")} ${number + 1}` }),
      ),
    );
    this.bodies.value = joints.chosen;
    this.#allow(this.remove, Boolean(joints.body[joints.joint]));
    this.#allow(this.more, joints.value.bodies.length < MOST_BODIES);
    this.#allow(this.fewer, joints.value.bodies.length > 1);
  }

  /** A button that is disabled loses the focus, and with it the keys: the picture takes it. */
  #allow(button, allowed) {
    const { root, canvas } = this.joints;
    if (!allowed && root.activeElement === button) canvas.focus({ preventScroll: true });
    button.disabled = !allowed;
  }

  /** 0 to 1, in even steps to the eye. */
  setSize(part) {
    const bounded = Math.min(Math.max(part, 0), 1);
    this.size.value = bounded;
    this.joints.brush.radius = SMALLEST_BRUSH * (LARGEST_BRUSH / SMALLEST_BRUSH) ** bounded;
    this.joints.draw?.();
  }

  toggleMask() {
    this.joints.showMask = !this.joints.showMask;
    this.follow();
    this.joints.draw();
    if (this.joints.showMask) this.joints.seekMask();
  }

  toggleLengths() {
    this.joints.keepLengths = !this.joints.keepLengths;
    this.follow();
  }

  deleteJoint() {
    const { joints } = this;
    if (joints.body[joints.joint]) joints.setBody(moved(joints.body, joints.joint, null));
  }

  straighten() {
    const { joints } = this;
    joints.setBody(straightened(joints.body, joints.joint, joints.view.aspect));
  }

  mirror() {
    const { joints } = this;
    joints.setBody(mirrored(joints.body, joints.joint, joints.view.aspect));
  }

  swap() {
    this.joints.setBody(swapped(this.joints.body));
  }

  zoom(factor, event) {
    this.joints.view.zoomBy(factor, event);
    this.joints.draw();
  }

  fit() {
    this.joints.view.fit();
    this.joints.draw();
  }
}
