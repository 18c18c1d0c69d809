/**
 * The caption: what the captioner wrote, in the node, each text with a button to edit it.
 *
 * For nodes that return ui.dreamactor_caption = [{motion, appearance, fused, notes, captioner}].
 * A text that was taken over stands in its own field, where it is no longer asked for.
 */
import { app } from "../../scripts/app.js";
import { element } from "./shared/elements.js";
import { addHost } from "./shared/widget.js";
import { say } from "./shared/words.js";

const KEY = "dreamactor_caption";

app.registerExtension({
  name: "DreamActor-M2.Caption",
  settings: [
    {
      id: "DreamActor-M2.ApiUrl",
      category: ["DreamActor-M2", "Captions", "Address"],
      name: "Address of the endpoint, up to /v1",
      tooltip: "The key goes to this address alone.",
      type: "text",
      defaultValue: "",
    },
    {
      id: "DreamActor-M2.ApiKey",
      category: ["DreamActor-M2", "Captions", "Key"],
      name: "Key of the endpoint",
      tooltip: "Kept in ComfyUI's user folder; in no workflow and no picture.",
      type: "text",
      attrs: { type: "password", autocomplete: "off" },
      defaultValue: "",
    },
    {
      id: "DreamActor-M2.CaptionHosts",
      category: ["DreamActor-M2", "Captions", "Hosts"],
      name: "Other hosts that may get your pictures",
      tooltip: "Names, with commas between. A workflow that names any other is refused.",
      type: "text",
      defaultValue: "",
    },
  ],
  nodeCreated(node) {
    if (node.comfyClass !== "DreamActorCaption") return;
    const { onExecuted } = node;
    let host = null;
    node.onExecuted = function (output) {
      onExecuted?.call(this, output);
      const written = output?.[KEY]?.[0];
      if (!written) return;
      host ??= addTexts(node);
      host.replaceChildren(...rows(node, written));
    };
  },
});

/** The place below the widgets; made with the first result, for who types needs none. */
function addTexts(node) {
  const host = element("div", { className: "dreamactor", "data-dreamactor": KEY });
  host.style.cssText =
    "overflow: auto; box-sizing: border-box; padding: 6px 8px; border-radius: 8px; " +
    "font: 12px/1.4 Inter, system-ui, sans-serif; color: var(--input-text, #ddd); " +
    "background: var(--comfy-input-bg, #222)";
  addHost(node, KEY, host, () => 120);
  return host;
}

function rows(node, written) {
  const texts = [
    ["fused", say("Caption")],
    ["motion", say("Motion")],
    ["appearance", say("Appearance")],
  ];
  const shown = texts.filter(([name]) => written[name]).map(([name, label]) => {
    const edit = element("button", {
      type: "button",
      textContent: say("Edit"),
      title: say("Put this text into its field, where you can change it"),
      onclick: () => takeOver(node, name, written[name]),
    });
    edit.style.cssText = "float: right; cursor: pointer; font: inherit; color: inherit; " +
      "background: none; border: 1px solid var(--border-color, #555); border-radius: 6px";
    const text = element("p", { textContent: written[name] });
    text.style.cssText = "margin: 0 0 6px; white-space: pre-wrap; user-select: text";
    return element("div", { "data-text": name }, edit, element("b", { textContent: label }), text);
  });
  const notes = written.notes.map((note) => element("p", { textContent: note, role: "status" }));
  for (const note of notes) note.style.cssText = "margin: 0; color: var(--descrip-text, #999)";
  return [...shown, ...notes];
}

function takeOver(node, name, text) {
  const widget = node.widgets.find((one) => one.name === name);
  widget.value = text;
  widget.callback?.(text);
  node.graph?.setDirtyCanvas(true, true);
}
