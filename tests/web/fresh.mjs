// Nodes that were just added, in headless Chromium: what of ours lies where.
//
//   node fresh.mjs '{"playwright", "chromium", "url", "nodes2", "shots"}'
import { inPage, ready, task } from "./page.mjs";

const RENDERER = task.nodes2 ? "nodes 2.0" : "classic";
const NODES = ["Animate", "Player", "Joints", "MotionMask"];

await inPage(async (page, complaints) => {
  await page.goto(task.url);
  await ready(page);
  await page.evaluate((names) => {
    app.graph.clear();
    let x = 60;
    for (const name of names) {
      const node = LiteGraph.createNode(`DreamActor${name}`);
      node.pos = [x, 60];
      app.graph.add(node);
      x += node.size[0] + 40;
    }
    Object.assign(app.canvas.ds, { scale: 0.7, offset: [40, 60] });
    app.canvas.setDirty(true, true);
  }, NODES);
  await page.waitForTimeout(2000);
  const path = (what) => `${task.shots}/${what} - ${RENDERER}.jpg`;
  await page.screenshot({ path: path("fresh"), type: "jpeg", quality: 85 });
  const frames = await page.evaluate(frame);
  await page.evaluate(() => app.graph.clear());
  await page.waitForTimeout(1000); // numbers of nodes come again: the page forgets the old ones first
  await page.evaluate(() => {
    const [from, to] = ["Caption", "Animate"].map((name) =>
      LiteGraph.createNode(`DreamActor${name}`),
    );
    [from.pos, to.pos] = [[40, 60], [620, 60]];
    to.size = [400, 900];
    for (const node of [from, to]) app.graph.add(node);
    from.connect(0, to, to.inputs.findIndex(({ name }) => name === "prompt"));
    app.canvas.setDirty(true, true);
  });
  await page.waitForTimeout(2000);
  await page.screenshot({ path: path("wired"), type: "jpeg", quality: 85 });
  const wired = await page.evaluate(() => {
    const node = app.graph.nodes.find(({ type }) => type === "DreamActorAnimate");
    return node.widgets.slice(0, 2).map(({ y }) => y);
  });
  const failed = await page.evaluate(async () => {
    const { api } = comfyAPI.api;
    const node = app.graph.nodes.find(({ type }) => type === "DreamActorAnimate");
    const { element: host } = node.widgets.find(({ name }) => name === "dreamactor_player");
    const shown = () =>
      [...host.shadowRoot.querySelectorAll("p")]
        .filter((one) => getComputedStyle(one).display !== "none" && one.textContent)
        .map((one) => one.textContent);
    const seen = [];
    const send = (kind, detail) => {
      api.dispatchCustomEvent(kind, detail);
      seen.push(shown());
    };
    const exception_message = "driving: got an empty file, need a video. Choose another.\n";
    const why = { exception_message, exception_type: "InputError", node_type: node.type, traceback: [] };
    send("execution_error", { ...why, node_id: `7:${node.id}` });
    send("execution_start", {});
    send("execution_error", { ...why, node_id: String(node.id + 1) });
    const invitation = () => getComputedStyle(host.shadowRoot.querySelector("p:not(.failed)")).color;
    const colors = [invitation()];
    api.dispatchCustomEvent("dreamactor.progress", { node: node.id, stage: "draw", done: 1, total: 2 });
    colors.push(invitation());
    send("execution_success", {});
    colors.push(invitation());
    return { seen: seen.slice(0, 3), colors };
  });
  return { frames, wired, failed: failed.seen, colors: failed.colors, complaints };
});

/** Where each node ends on the page, and what it shows of ours: {type: [node, host]}, bottoms. */
function frame() {
  const { canvas, ds } = app.canvas;
  const hosts = [...document.querySelectorAll("[data-dreamactor]")];
  const pairs = app.graph.nodes.map((node) => {
    const [left, top] = [0, 1].map((k) => (node.pos[k] + ds.offset[k]) * ds.scale);
    const area = canvas.getBoundingClientRect();
    const inside = hosts
      .map((host) => host.getBoundingClientRect())
      .find((box) => box.x >= area.x + left && box.x < area.x + left + node.size[0] * ds.scale);
    return [node.type, [area.y + top + node.size[1] * ds.scale, inside?.bottom]];
  });
  return Object.fromEntries(pairs);
}
