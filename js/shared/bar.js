/** The transport bar below the pictures, and the keys that do the same. */
import { changeIcon, element, iconButton } from "./elements.js";
import { say } from "./words.js";

const SPEEDS = [0.25, 0.5, 1, 2];

/**
 * Play, scrub, count, speed, loop; then `extras`, more buttons.
 *
 * marks: [{from, to, label}] are stretches of frames shown on the scrub bar.
 */
export function transportBar(clock, { marks = [], extras = [] } = {}) {
  const play = iconButton("play", say("Play"), () => clock.toggle());
  const slider = element("input", {
    type: "range",
    min: 0,
    max: Math.max(clock.frames - 1, 0),
    step: 1,
    value: 0,
    "aria-label": say("Frame"),
    oninput: () => clock.seek(Number(slider.value)),
  });
  const track = element("div", { className: "track" }, slider);
  for (const { from, to, label } of marks) {
    const mark = element("i", { className: "mark", title: `${label}: ${to - from}` });
    mark.style.left = `${(100 * from) / clock.frames}%`;
    mark.style.width = `${(100 * (to - from)) / clock.frames}%`;
    track.prepend(mark);
  }
  const count = element("output", { className: "count" });
  const speed = element(
    "select",
    {
      title: say("Speed"),
      "aria-label": say("Speed"),
      onchange: () => {
        clock.speed = Number(speed.value);
      },
    },
    ...SPEEDS.map((rate) => element("option", { value: rate, textContent: `${rate}×` })),
  );
  speed.value = "1";
  const loop = iconButton(
    "loop",
    say("Loop"),
    () => {
      clock.loop = !clock.loop;
      loop.setAttribute("aria-pressed", clock.loop);
    },
    true,
  );
  clock.watch(() => {
    changeIcon(play, clock.playing ? "pause" : "play", say(clock.playing ? "Pause" : "Play"));
    slider.value = clock.frame;
    const here = `${clock.frame + 1} / ${clock.frames}`;
    slider.setAttribute("aria-valuetext", here);
    count.textContent = here;
    count.title = `${(clock.frame / clock.fps).toFixed(2)} s, ${+clock.fps.toFixed(3)} fps`;
    slider.style.setProperty("--at", `${(100 * clock.frame) / Math.max(clock.frames - 1, 1)}%`);
  });
  return element("div", { className: "bar" }, play, track, count, speed, loop, ...extras);
}

/** Keys of a player that has the focus: space, arrows, home, end, and the letters in `more`. */
export function listenToKeys(root, clock, more = {}) {
  const keys = {
    " ": () => clock.toggle(),
    ArrowLeft: () => clock.seek(clock.frame - 1),
    ArrowRight: () => clock.seek(clock.frame + 1),
    Home: () => clock.seek(0),
    End: () => clock.seek(clock.frames - 1),
    ...more,
  };
  root.addEventListener("keydown", (event) => {
    const own = keys[event.key];
    if (!own || event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // ComfyUI has shortcuts on single letters too
    const target = event.composedPath()[0];
    const native = { INPUT: /^(Arrow|Home|End)/, SELECT: /./, BUTTON: /^ $/ }[target.tagName];
    if (native?.test(event.key)) return; // the slider, the list or the button does it itself
    event.preventDefault();
    own();
  });
}
