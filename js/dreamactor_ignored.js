/**
 * Greys out the widgets that the wired model does not read, so that nobody turns them in vain.
 *
 * Before a run by the name that Load Model shows, whatever LoRAs stand in between; after one by
 * what the node itself returns as ui.dreamactor_ignored = [{model, widgets}].
 */
import { app } from "../../scripts/app.js";

const KEY = "dreamactor_ignored";
const READERS = ["DreamActorAnimate", "DreamActorSampler"];
const IGNORED = { "mini (embedded)": ["seed", "steps", "shift", "sampler"] };
const FOLLOWERS = { control_after_generate: "seed" }; // these go with another widget

app.registerExtension({
  name: "DreamActor-M2.Ignored",
  nodeCreated(node) {
    if (READERS.includes(node.comfyClass)) {
      const { onExecuted, onConnectionsChange } = node;
      node.onExecuted = function (output) {
        onExecuted?.call(this, output);
        const told = output?.[KEY]?.[0];
        if (told) grey(node, told.widgets);
      };
      node.onConnectionsChange = function (...change) {
        onConnectionsChange?.apply(this, change);
        look(node);
      };
    }
    const name = node.comfyClass === "DreamActorLoadModel" && widgetOf(node, "model");
    if (name) {
      const { callback } = name;
      name.callback = function (...change) {
        callback?.apply(this, change);
        lookAll(node.graph);
      };
    }
    if (node.comfyClass === "DreamActorLoadLora") {
      const { onConnectionsChange } = node;
      node.onConnectionsChange = function (...change) {
        onConnectionsChange?.apply(this, change);
        lookAll(node.graph);
      };
    }
  },
  afterConfigureGraph() {
    lookAll(app.graph);
  },
});

function lookAll(graph) {
  for (const node of graph?.nodes ?? []) if (READERS.includes(node.comfyClass)) look(node);
}

function look(node) {
  grey(node, IGNORED[modelOf(node)] ?? []);
}

/** What Load Model shows at the other end of the wires; undefined where they lead elsewhere. */
function modelOf(node) {
  for (let at = node, far = 0; at && far < 50; far++) {
    const slot = at.inputs?.findIndex((one) => one.name === "model" && one.type !== "COMBO") ?? -1;
    at = slot < 0 ? null : at.getInputNode(slot);
    if (at?.comfyClass === "DreamActorLoadModel") return widgetOf(at, "model")?.value;
    if (at?.comfyClass !== "DreamActorLoadLora") return undefined;
  }
  return undefined;
}

function grey(node, names) {
  for (const widget of node.widgets ?? []) {
    if (!GREYED.has(widget.name)) continue;
    try {
      widget.disabled = names.includes(FOLLOWERS[widget.name] ?? widget.name);
    } catch {
      // control_after_generate follows its seed by itself, and lets nobody set it.
    }
  }
  node.graph?.setDirtyCanvas(true, true);
}

const GREYED = new Set([...Object.values(IGNORED).flat(), ...Object.keys(FOLLOWERS)]);

function widgetOf(node, name) {
  return node.widgets?.find((one) => one.name === name);
}
