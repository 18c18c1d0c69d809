/**
 * The composite preview: both panels with the mask as a coloured veil, the lead-in on the bar.
 *
 * For nodes that return ui.dreamactor_mask = [{composite, mask, lead, length}]: two H.264 clips of
 * the same frames, the mask white where a pixel is given and black where the model draws.
 */
import { app } from "../../scripts/app.js";
import { listenToKeys, transportBar } from "./shared/bar.js";
import { clip, Clock, loaded } from "./shared/clock.js";
import { element, iconButton } from "./shared/elements.js";
import { showResults } from "./shared/widget.js";
import { say } from "./shared/words.js";

const KEY = "dreamactor_mask";
const GIVEN = [45, 212, 191, 0.22]; // red, green, blue, opacity
const DRAWN = [251, 146, 60, 0.62];
const DRAWN_BETWEEN = [251, 146, 60, 0.36]; // striped: told apart without seeing colours
const STRIPE = 0.03; // of the composite's width
const STRIDE = 4; // frames of one latent; what is behind the last driving frame fills it up
const VEIL_WIDTH = 512; // the mask is coarse: no need to colour every pixel

app.registerExtension({
  name: "DreamActor-M2.MaskPreview",
  nodeCreated(node) {
    if (node.comfyClass !== "DreamActorMotionMask") return;
    showResults(node, KEY, {
      invitation: "Run the graph: the composite and its mask are shown here.",
      minHeight: 190,
      build,
    });
    node.setSize([Math.max(node.size[0], 400), node.size[1]]);
  },
});

function build(stage, { composite, mask, lead, length }) {
  const frames = lead + STRIDE * Math.ceil(length / STRIDE);
  const picture = clip(composite, "composite");
  const veil = element("canvas", { className: "veil", "aria-hidden": "true" });
  const source = clip(mask, "mask");
  source.style.visibility = "hidden";
  const clock = new Clock([picture, source], 8, frames); // the rate is known when it has loaded

  const frame = element("div", { className: "frame" }, source, picture, veil);
  const panels = element(
    "div",
    { className: "panels" },
    element("div", { className: "cell" }, frame),
  );
  const button = iconButton("mask", say("Show the mask"), () => {
    veil.hidden = !veil.hidden;
    button.setAttribute("aria-pressed", !veil.hidden);
  }, true);
  const marks = [{ from: 0, to: lead, label: say("Lead-in") }];
  if (lead + length < frames)
    marks.push({ from: lead + length, to: frames, label: say("Padding") });
  const now = element("span", { className: "now" });
  stage.setAttribute("aria-label", [say("Given"), say("Drawn by the model")].join(", "));
  stage.append(panels, transportBar(clock, { marks, extras: [button] }), legend(now));
  listenToKeys(stage, clock, { m: () => button.click() });

  const ready = loaded([picture, source]).then(async () => {
    clock.fps = frames / picture.duration;
    panels.style.setProperty("--aspect", `${picture.videoWidth / picture.videoHeight}`);
    const colour = veilPainter(veil, source);
    clock.watch(() => {
      colour();
      now.textContent = whatIsIt(clock.frame, lead, length);
    });
    await clock.seek(Math.min(lead, frames - 1));
  });
  return { clock, ready, aspect: () => picture.videoWidth / picture.videoHeight };
}

function whatIsIt(frame, lead, length) {
  if (frame === 0) return say("Reference");
  if (frame < lead) return `${say("Lead-in")} ${frame} / ${lead - 1}`;
  if (frame < lead + length) return `${say("Driver")} ${frame - lead + 1} / ${length}`;
  return say("Padding");
}

function legend(now) {
  const entry = (background, label) => {
    const swatch = element("b");
    swatch.style.background = background;
    return element("span", {}, swatch, say(label));
  };
  const stripes = element("b", { className: "mark" });
  return element(
    "div",
    { className: "legend" },
    entry(`rgb(${GIVEN.slice(0, 3)})`, "Given"),
    entry(`rgb(${DRAWN.slice(0, 3)})`, "Drawn by the model"),
    element("span", {}, stripes, say("Lead-in")),
    now,
  );
}

/** Returns a function that colours the canvas by the mask's brightness, soft edges kept. */
function veilPainter(canvas, mask) {
  canvas.width = Math.min(mask.videoWidth, VEIL_WIDTH);
  canvas.height = Math.round((canvas.width * mask.videoHeight) / mask.videoWidth);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const stripe = Math.max(Math.round(canvas.width * STRIPE), 2);
  const [bands, between] = [DRAWN, DRAWN_BETWEEN].map(shades);
  return () => {
    context.drawImage(mask, 0, 0, canvas.width, canvas.height);
    const image = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let y = 0, at = 0; y < canvas.height; y++)
      for (let x = 0; x < canvas.width; x++, at += 4) {
        const table = (x + y) % (2 * stripe) < stripe ? bands : between;
        image.data.set(table[image.data[at]], at);
      }
    context.putImageData(image, 0, 0);
  };
}

/** The colour for each brightness of the mask, 0 (drawn) to 255 (given), as bytes. */
function shades(drawn) {
  const bytes = (colour) => colour.map((value, k) => (k === 3 ? 255 * value : value));
  const [from, to] = [bytes(drawn), bytes(GIVEN)];
  return Array.from({ length: 256 }, (_, light) =>
    from.map((value, k) => value + ((to[k] - value) * light) / 255),
  );
}
