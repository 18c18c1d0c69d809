/** The way of a result into a node: the widget, its memory, its end. */
import { app } from "../../../scripts/app.js";
import { element } from "./elements.js";
import { sheet } from "./style.js";
import { say } from "./words.js";

const REMEMBERED = "dreamactor.results";
const STAGES = {
  look: "Looking for bodies in the driver",
  read: "Reading the driver",
  draw: "Drawing",
  write: "Writing",
};

/** The last result of a node, so that a reload of the page or an undo does not empty it. */
export function remember(node, key, payload) {
  const { graph } = node;
  const place = [graph?.rootGraph?.id, graph?.id, node.id, key].join("/");
  const all = JSON.parse(sessionStorage.getItem(REMEMBERED) ?? "{}");
  if (payload) {
    delete all[place];
    const kept = Object.entries({ ...all, [place]: payload }).slice(-50);
    sessionStorage.setItem(REMEMBERED, JSON.stringify(Object.fromEntries(kept)));
  }
  return payload ?? all[place];
}

/**
 * Gives a node a widget that shows what its `execute` returns as ui[key][0].
 *
 * build(stage, payload, fresh) fills the stage and returns {clock, ready, aspect}: `ready` resolves
 * when the pictures are there or rejects with a sentence, `aspect()` is their width / height.
 * `fresh` is true after a run, false when an older result comes back. Clocks end with the node.
 */
export function showResults(node, key, { invitation, minHeight, build }) {
  const host = element("div", { className: "dreamactor", "data-dreamactor": key });
  host.style.minHeight = "56px";
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [sheet()];
  let view = null;
  let grown = false;

  const words = element("div", { className: "words", role: "status", hidden: true });
  const failed = element("p", { className: "failed", role: "alert", hidden: true });
  const fill = (shown) => root.replaceChildren(failed, shown, words);
  const message = (text) => fill(element("p", { role: "status" }, say(text)));
  const show = (payload, fresh) => {
    view?.clock.dispose();
    const stage = element("div", { className: "stage", tabIndex: 0, role: "group" });
    view = build(stage, payload, fresh);
    host.style.minHeight = `${minHeight}px`;
    fill(stage);
    const mine = view;
    mine.ready.then(
      () => {
        if (mine !== view || !fresh || grown) return;
        grown = true;
        grow(node, host, mine.aspect());
      },
      (error) => {
        if (mine !== view) return;
        mine.clock.dispose();
        message(error.message);
      },
    );
  };

  addHost(node, key, host, () => (view ? minHeight : 76));
  message(invitation);

  chain(node, "onExecuted", (output) => {
    const payload = output?.[key]?.[0];
    if (payload) show(remember(node, key, payload), true);
  });
  chain(node, "onConfigure", () => {
    const payload = remember(node, key);
    if (payload) show(payload, false);
  });
  // Out of sight (scrolled away, collapsed, in another subgraph) nothing plays on.
  let waiting = false;
  const sight = new IntersectionObserver((entries) => {
    if (entries.at(-1).isIntersecting) {
      if (waiting) view?.clock.play();
      waiting = false;
    } else if (view?.clock.playing) {
      view.clock.pause();
      waiting = true;
    }
  });
  sight.observe(host);
  const tellIn = (place) => (text) => {
    place.textContent = text;
    place.hidden = !text;
  };
  const stop = listenToProgress(node, tellIn(words), tellIn(failed));
  chain(node, "onRemoved", () => {
    stop();
    sight.disconnect();
    view?.clock.dispose();
    view = null;
  });
  // In the classic canvas the widget lies over it and would swallow the wheel that zooms.
  host.addEventListener("wheel", (event) => {
    if (globalThis.LiteGraph?.vueNodesMode) return;
    event.preventDefault();
    app.canvas.processMouseWheel(event);
  });
}

/**
 * Puts an element into the node, at least getMinHeight() pixels high, and makes room for it.
 *
 * The panel of properties does not list it: there it would be an empty row, and in the classic
 * canvas the panel's width would stay on the widget and so on what it shows here.
 */
export function addHost(node, key, host, getMinHeight) {
  const options = { serialize: false, hideOnZoom: false, hideInPanel: true, getMinHeight };
  const widget = node.addDOMWidget(key, "dreamactor", host, options);
  widget.serialize = false;
  // Older frontends do not read hideInPanel; what they read would hide it in Nodes 2.0 altogether.
  Object.defineProperty(widget.options, "canvasOnly", {
    get: () => !globalThis.LiteGraph?.vueNodesMode,
    enumerable: true,
  });
  Object.defineProperty(widget, "width", { get: () => undefined, set() {} }); // that of the node
  node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
}

/**
 * Calls tell with what the node is doing, and with "" when it is done, failed or stopped; fail with
 * why it failed, which ComfyUI itself says two clicks away, and with "" when it is tried again.
 * Returns the end of it.
 */
function listenToProgress(node, tell, fail) {
  const { api } = app;
  const isMine = (id) => String(id).split(":").at(-1) === String(node.id);
  const listeners = {
    "dreamactor.progress": ({ detail }) => {
      if (isMine(detail.node)) tell(`${say(STAGES[detail.stage])} ${detail.done}/${detail.total}`);
    },
    execution_start: () => fail(""),
    execution_error: ({ detail }) => {
      tell("");
      if (isMine(detail.node_id)) fail(detail.exception_message.trim().split("\n")[0]);
    },
  };
  for (const end of ["execution_success", "execution_interrupted"])
    listeners[end] = () => tell("");
  for (const [kind, hear] of Object.entries(listeners)) api.addEventListener(kind, hear);
  chain(node, "onExecuted", () => tell(""));
  return () => {
    for (const [kind, hear] of Object.entries(listeners)) api.removeEventListener(kind, hear);
  };
}

/** `after` is called behind whatever object[name] does already. */
export function chain(object, name, after) {
  const before = object[name];
  object[name] = function (...given) {
    const answer = before?.apply(this, given);
    after(...given);
    return answer;
  };
}

/** Make the node as tall as its pictures ask for at its width, within reason. */
function grow(node, host, aspect) {
  const wanted = Math.min(host.clientWidth / aspect + 48, 460);
  const missing = wanted - host.clientHeight;
  if (missing > 0) node.setSize([node.size[0], node.size[1] + missing]);
}
