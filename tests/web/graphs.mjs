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

/** {crossed: wires that run behind a node, over: nodes that lie over each other, cut: notes}. */
function look() {
  const TITLE = 30;
  const box = ({ pos, size }) => [pos[0], pos[1] - TITLE, pos[0] + size[0], pos[1] + size[1]];
  const inside = ([x, y], [left, top, right, bottom]) =>
    x > left + 2 && x < right - 2 && y > top + 2 && y < bottom - 2;
  const named = (node) => `${node.title} (${node.id})`;
  const { nodes } = app.graph;
  const crossed = [];
  for (const link of app.graph.links.values()) {
    const from = app.graph.getNodeById(link.origin_id);
    const to = app.graph.getNodeById(link.target_id);
    const [a, b] = [from.getOutputPos(link.origin_slot), to.getInputPos(link.target_slot)];
    const far = Math.hypot(b[0] - a[0], b[1] - a[1]) / 4;
    const points = [a, [a[0] + far, a[1]], [b[0] - far, b[1]], b];
    for (let k = 1; k < 60; k++) {
      const [t, s] = [k / 60, 1 - k / 60];
      const weights = [s ** 3, 3 * s * s * t, 3 * s * t * t, t ** 3];
      const at = [0, 1].map((i) => weights.reduce((sum, w, n) => sum + w * points[n][i], 0));
      const hit = nodes.find((node) => node !== from && node !== to && inside(at, box(node)));
      if (hit) {
        crossed.push(`${named(from)} to ${named(to)} behind ${named(hit)}`);
        break;
      }
    }
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
