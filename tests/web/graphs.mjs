// Each shipped graph as it is first seen, in headless Chromium: what hides what.
//
//   node graphs.mjs '{"playwright", "chromium", "url", "nodes2", "shots"}'
import { inPage, ready, task } from "./page.mjs";

const PACK = "ComfyUI-DreamActor-M2";
const RENDERER = task.nodes2 ? "nodes 2.0" : "classic";

await inPage(async (page) => {
  await page.goto(task.url);
  await ready(page);
  const names = await page.evaluate(
    async (pack) => (await (await fetch("/api/workflow_templates")).json())[pack],
    PACK,
  );
  const seen = {};
  for (const name of names) {
    await page.evaluate(
      async ([pack, name]) => {
        const file = `/api/workflow_templates/${pack}/${encodeURIComponent(name)}.json`;
        await app.loadGraphData(await (await fetch(file)).json(), true, true, name);
      },
      [PACK, name],
    );
    await page.keyboard.press("Escape"); // what is missing is told in a dialog
    await page.evaluate(showAll);
    await page.waitForTimeout(2500);
    seen[name] = await page.evaluate(look);
    const path = `${task.shots}/${name} - all - ${RENDERER}.jpg`;
    await page.screenshot({ path, type: "jpeg", quality: 85 });
  }
  return seen;
});

function showAll() {
  const { nodes, _groups } = app.graph;
  const all = [...nodes, ..._groups];
  const [left, top] = [0, 1].map((k) => Math.min(...all.map((one) => one.pos[k])));
  const [right, bottom] = [0, 1].map((k) => Math.max(...all.map((one) => one.pos[k] + one.size[k])));
  const { ds } = app.canvas;
  ds.scale = Math.min(1500 / (right - left), 850 / (bottom - top));
  ds.offset = [90 / ds.scale - left, 100 / ds.scale - top];
  app.canvas.setDirty(true, true);
}

/**
 * {crossed: wires that run behind a node, over: nodes that lie over each other, cut: notes}.
 * Each wire is drawn on a sheet of its own, with the very curves of the page.
 */
function look() {
  const [TITLE, EDGE] = [30, 16]; // pixels; a wire may end as far inside its own two nodes
  const box = ({ pos, size }) => [pos[0], pos[1] - TITLE, pos[0] + size[0], pos[1] + size[1]];
  const named = (node) => `${node.title} (${node.id})`;
  const { nodes } = app.graph;
  const boxes = nodes.map(box);
  const [left, top] = [0, 1].map((k) => Math.min(...boxes.map((one) => one[k])));
  const [right, bottom] = [2, 3].map((k) => Math.max(...boxes.map((one) => one[k])));
  const sheet = new OffscreenCanvas(right - left, bottom - top);
  const ink = sheet.getContext("2d", { willReadFrequently: true });
  ink.translate(-left, -top);
  const drawn = ([x, y, right, bottom], rim) => {
    const [width, height] = [right - x - 2 * rim, bottom - y - 4];
    const { data } = ink.getImageData(x + rim - left, y + 2 - top, width, height);
    return data.some((value) => value > 0);
  };
  const crossed = [];
  for (const link of app.graph.links.values()) {
    const from = app.graph.getNodeById(link.origin_id);
    const to = app.graph.getNodeById(link.target_id);
    ink.clearRect(left, top, right - left, bottom - top);
    for (let part = link; part; part = app.graph.reroutes.get(part.parentId)) ink.stroke(part.path);
    const hit = nodes.find((node, k) => drawn(boxes[k], node === from || node === to ? EDGE : 2));
    if (hit) crossed.push(`${named(from)} to ${named(to)} behind ${named(hit)}`);
  }
  const over = [];
  for (const one of nodes)
    for (const other of nodes) {
      const [a, b] = [box(one), box(other)];
      const apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
      if (one.id < other.id && !apart) over.push(`${named(one)} and ${named(other)}`);
    }
  const notes = [...document.querySelectorAll(".comfy-markdown-content, .comfy-markdown .tiptap")];
  const cut = notes
    .filter((note) => note.scrollHeight > note.clientHeight + 4 || note.scrollWidth > note.clientWidth + 4)
    .map((note) => [
      note.innerText.slice(0, 40),
      note.scrollWidth - note.clientWidth,
      note.scrollHeight - note.clientHeight,
    ]);
  return { crossed, over, cut, notes: notes.length };
}
