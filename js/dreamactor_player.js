/**
 * The player: reference, driver and result side by side in the node, in step, with a wipe.
 *
 * For nodes that return ui.dreamactor_player = [{reference, driving, result, fps, frames, read?}], files
 * as /view takes them: a PNG and two H.264 clips of the same frames. read: who read reference and
 * driver, as the report of the command line has it.
 */
import { app } from "../../scripts/app.js";
import { listenToKeys, transportBar } from "./shared/bar.js";
import { clip, Clock, loaded, viewUrl } from "./shared/clock.js";
import { changeIcon, element, iconButton } from "./shared/elements.js";
import { showResults } from "./shared/widget.js";
import { say } from "./shared/words.js";

const KEY = "dreamactor_player";
const NODES = ["DreamActorPlayer", "DreamActorAnimate"];

app.registerExtension({
  name: "DreamActor-M2.Player",
  nodeCreated(node) {
    if (!NODES.includes(node.comfyClass)) return;
    showResults(node, KEY, {
      invitation: "Run the graph: the reference, the driver and the result play here.",
      minHeight: 190,
      build,
    });
    node.setSize([Math.max(node.size[0], 480), node.size[1]]); // three pictures need some room
    const { onExecuted } = node;
    node.onExecuted = function (output) {
      onExecuted.call(this, output);
      // Pictures that were still under way come after the result.
      for (const wait of [0, 300, 1500]) setTimeout(() => dropLivePreview(this), wait);
    };
  },
});

/**
 * ComfyUI leaves the last live preview of sampling in the node for good, below the player that now
 * shows the whole result. It has no public call to end that; where the store of its previews is
 * not found, the picture stays.
 */
function dropLivePreview(node) {
  if (!node.graph) return; // removed in the meantime
  const place = node.graph.isRootGraph ? `${node.id}` : `${node.graph.id}:${node.id}`;
  app.extensionManager._p?._s?.get("nodeOutput")?.revokePreviewsByLocatorId?.(place);
  node.imgs = undefined;
  const at = node.widgets.findIndex(({ name }) => name === "$$canvas-image-preview");
  if (at >= 0) node.widgets.splice(at, 1);
}

function build(stage, payload, fresh) {
  const picture = element("img", { src: viewUrl(payload.reference), alt: say("Reference") });
  const driving = clip(payload.driving, "driving");
  const result = clip(payload.result, "result");
  const clock = new Clock([result, driving], payload.fps, payload.frames);

  const cells = [
    panel("reference", "Reference", picture),
    panel("driving", "Driver", driving),
    panel("result", "Result", result),
  ];
  const panels = element("div", { className: "panels" }, ...cells);
  const wipe = wipeButton(panels, cells, driving, result);
  const sound = soundButton(driving, result);
  stage.setAttribute("aria-label", [say("Reference"), say("Driver"), say("Result")].join(", "));
  stage.append(panels, transportBar(clock, { extras: [sound, wipe] }), ...readLines(payload.read));
  listenToKeys(stage, clock, { w: () => wipe.click(), m: () => sound.click() });

  const ready = loaded([picture, driving, result]).then(async () => {
    panels.style.setProperty("--aspect", `${result.videoWidth / result.videoHeight}`);
    await clock.seek(0);
    sound.refresh();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (fresh && !still) clock.play();
  });
  return { clock, ready, aspect: () => (3 * result.videoWidth) / result.videoHeight };
}

/** What a report says of who read something. */
const READ_BY = {
  given: "given",
  blazepose: "BlazePose",
  outline: "outline",
  eye: "the model's eye",
  alpha: "transparency",
  ground: "plain ground",
  none: "nobody",
  keypoints: "keypoints",
  "moving region": "what moves",
};

/** Who read reference and driver, and what should be known of it; nothing if the model asks nobody. */
function readLines(read) {
  if (!read) return [];
  const by = (...readers) => [...new Set(readers)].map((one) => say(READ_BY[one])).join(" + ");
  const parts = [
    `${say("Reference read by")}: ${by(read.reference_joints, read.reference_outline)}`,
    `${say("Driver read by")}: ${by(read.driver)}`,
  ];
  if (read.motion === "rigid") parts.push(say("moved as a whole"));
  const line = element("span", { className: "read", textContent: parts.join(" · ") });
  const note = (text) => element("span", { className: "read note", role: "status", textContent: text });
  return [line, ...read.notes.map(note)];
}

function panel(name, label, media) {
  const tag = element("span", { className: "tag", textContent: say(label) });
  const frame = element("div", { className: `frame ${name}-frame` }, media, tag);
  return element("div", { className: "cell" }, frame);
}

/** In the wipe the driver lies under the result, which is shown to the right of the line only. */
function wipeButton(panels, cells, driving, result) {
  const [, drivingCell, resultCell] = cells;
  const frame = resultCell.firstChild;
  const tag = frame.querySelector(".tag");
  const under = element("span", { className: "tag", textContent: say("Driver") });
  const slider = element("input", {
    type: "range",
    className: "wipe",
    min: 0,
    max: 100,
    step: "any",
    value: 50,
    "aria-label": say("Position of the wipe"),
    oninput: () => frame.style.setProperty("--wipe", `${slider.value}%`),
  });
  const line = element("div", { className: "line" });
  const button = iconButton("wipe", say("Wipe between driver and result"), () => {
    const wiping = panels.classList.toggle("wiping");
    button.setAttribute("aria-pressed", wiping);
    drivingCell.hidden = wiping;
    tag.classList.toggle("right", wiping);
    const playing = !driving.paused;
    if (wiping) {
      result.before(driving);
      frame.append(under, slider, line);
    } else {
      drivingCell.firstChild.prepend(driving);
      for (const one of [under, slider, line]) one.remove();
    }
    if (playing) driving.play(); // a clip that is moved in the page stops
  }, false);
  return button;
}

/** The result's own sound, or else the driver's; never both, they would echo. */
function soundButton(driving, result) {
  const heard = () => [result, driving].find(hasSound);
  const button = iconButton("silent", say("Sound on or off"), () => {
    const source = heard();
    if (source) source.muted = !source.muted;
    button.refresh();
  }, false);
  button.refresh = () => {
    const source = heard();
    const on = Boolean(source && !source.muted);
    button.disabled = !source;
    changeIcon(
      button,
      on ? "sound" : "silent",
      say(source ? "Sound on or off" : "These clips have no sound"),
    );
    button.setAttribute("aria-pressed", on);
  };
  return button;
}

function hasSound(video) {
  return Boolean(
    video.mozHasAudio || video.webkitAudioDecodedByteCount || video.audioTracks?.length,
  );
}
