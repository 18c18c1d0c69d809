/**
 * The joints of a picture in the node. The value lies in the node's own text `joints`, which is
 * hidden, so that it is saved and queued like any other.
 *
 * Returns of a run: ui.dreamactor_joints = [{picture, mask, bodies, notes}], see shared/joints.js.
 */
import { app } from "../../scripts/app.js";
import { viewUrl } from "./shared/clock.js";
import { element } from "./shared/elements.js";
import { Joints } from "./shared/joints.js";
import { addHost, chain, remember } from "./shared/widget.js";

const KEY = "dreamactor_joints";
const MIN_HEIGHT = 380;
const LOOK_EVERY = 500; // milliseconds: the picture of Load Image may be another one
const INVITATION = "Choose a picture in Load Image, or run the graph: its joints are placed here.";

app.registerExtension({
  name: "DreamActor-M2.Joints",
  nodeCreated(node) {
    if (node.comfyClass !== "DreamActorJoints") return;
    const text = node.widgets.find(({ name }) => name === "joints");
    hide(text);
    const host = element("div", { className: "dreamactor", "data-dreamactor": KEY });
    host.style.minHeight = `${MIN_HEIGHT}px`;
    // ComfyUI leaves Ctrl+Z to what has the focus in it if that looks like a text: by its type, in
    // newer frontends by this.
    host.type = "textarea";
    Object.defineProperty(host, "isContentEditable", { value: true });
    const joints = new Joints(
      host,
      (value) => {
        text.value = value;
        text.callback?.(value);
        node.graph?.setDirtyCanvas(true, true);
      },
      INVITATION,
    );
    addHost(node, KEY, host, () => MIN_HEIGHT);
    node.setSize([Math.max(node.size[0], 520), Math.max(node.size[1], 640)]);
    follow(node, joints, text);
    passWheel(host, joints);
  },
});

/** Not drawn by either renderer, and no room kept for it; saved all the same. */
function hide(widget) {
  widget.hidden = true;
  widget.options.hidden = true; // read by Nodes 2.0
  widget.computeSize = () => [0, -4]; // takes back the space between two widgets
}

/** The picture and the value, from wherever they come. */
function follow(node, joints, text) {
  let shown; // address of the picture
  let told; // by the last run: {payload, source}, and which picture stood there then
  const look = () => {
    const source = sourceOf(node);
    const payload = told && (source === null || told.source === source) ? told.payload : null;
    const wanted = source ?? (payload && viewUrl(payload.picture));
    const state = JSON.stringify([wanted, payload]);
    if (state === shown) return;
    shown = state;
    if (!wanted) joints.clear(INVITATION);
    else
      joints
        .show({
          picture: wanted,
          mask: payload?.mask && viewUrl(payload.mask),
          bodies: payload?.bodies,
          notes: payload?.notes,
        })
        .catch((error) => joints.clear(error.message));
  };
  chain(node, "onExecuted", (output) => {
    const payload = output?.[KEY]?.[0];
    if (!payload) return;
    told = remember(node, KEY, { payload, source: sourceOf(node) });
    look();
  });
  chain(node, "onConfigure", () => {
    joints.load(text.value);
    told = remember(node, KEY);
    look();
  });
  chain(node, "onConnectionsChange", look);
  const watch = setInterval(look, LOOK_EVERY);
  chain(node, "onRemoved", () => {
    clearInterval(watch);
    joints.dispose();
  });
}

/** Address of the picture that Load Image shows at the other end of the wire; null for others. */
function sourceOf(node) {
  const slot = node.inputs?.findIndex(({ name }) => name === "image") ?? -1;
  const from = slot < 0 ? null : node.getInputNode(slot);
  if (from?.comfyClass !== "LoadImage") return null;
  const named = from.widgets?.find(({ name }) => name === "image")?.value;
  if (!named) return null;
  const [, path, type = "input"] = /^(.*?)(?: \[(\w+)\])?$/.exec(named);
  const at = path.lastIndexOf("/");
  return viewUrl({ filename: path.slice(at + 1), subfolder: path.slice(0, Math.max(at, 0)), type });
}

/** The wheel zooms the picture once it has been clicked, and ComfyUI's canvas before. */
function passWheel(host, joints) {
  host.dataset.captureWheel = "true"; // Nodes 2.0 asks for it
  host.addEventListener("wheel", (event) => {
    if (joints.root.activeElement) {
      event.preventDefault();
      event.stopPropagation();
      joints.bar.zoom(1.1 ** (-event.deltaY / 50), event);
    } else if (!globalThis.LiteGraph?.vueNodesMode) {
      event.preventDefault();
      app.canvas.processMouseWheel(event);
    }
  });
}
