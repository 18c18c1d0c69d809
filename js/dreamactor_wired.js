/**
 * A field of several lines that is wired takes one row: the classic canvas hides the field, and
 * keeps its room, a blank area as high as what was typed there.
 */
import { app } from "../../scripts/app.js";

const ROW = 24; // pixels, as any other widget with the space below it

app.registerExtension({
  name: "DreamActor-M2.Wired",
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("DreamActor")) return;
    for (const widget of node.widgets ?? []) if (widget.type === "customtext") fold(node, widget);
  },
});

function fold(node, widget) {
  const { options, draw } = widget;
  const { getMinHeight, getMaxHeight } = options;
  const wired = () => {
    const slot = node.inputs?.find((input) => input.widget?.name === widget.name);
    return slot?.link != null && !globalThis.LiteGraph?.vueNodesMode;
  };
  options.getMinHeight = () => (wired() ? ROW : getMinHeight?.());
  options.getMaxHeight = () => (wired() ? ROW : getMaxHeight?.());
  widget.draw = function (context, owner, width, y, ...more) {
    draw?.call(this, context, owner, width, y, ...more);
    if (!wired()) return;
    context.save();
    context.fillStyle = globalThis.LiteGraph.WIDGET_SECONDARY_TEXT_COLOR;
    context.textAlign = "left";
    context.fillText(widget.label ?? widget.name, 20, y + ROW * 0.6);
    context.restore();
  };
}
