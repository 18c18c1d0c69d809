// Places joints and paints a mask as an artist would, and reports what was seen.
//
//   node joints.mjs '{"playwright", "chromium", "url", "nodes2", "shots", "image", "size"}'
//   node joints.mjs '{"playwright", "chromium", "local", "shots", "size"}'  the page of `joints`
//
// size: [width, height] of the picture. Prints one JSON object; test_joints.py says what must hold.
import { inPage, ready, task } from "./page.mjs";

const NODE = '[data-dreamactor="dreamactor_joints"]';
const WHERE = task.local ? "local page" : task.nodes2 ? "nodes 2.0" : "classic";
const MARGIN = 8; // pixels around a picture that is shown whole, in joints_view.js
const GRAPH = {
  1: { class_type: "LoadImage", inputs: { image: task.image } },
  2: { class_type: "DreamActorJoints", inputs: { image: ["1", 0], joints: "" } },
  3: { class_type: "PreviewAny", inputs: { source: ["2", 0] } },
  4: { class_type: "MaskToImage", inputs: { mask: ["2", 1] } },
  5: { class_type: "PreviewImage", inputs: { images: ["4", 0] } },
};

/** In ComfyUI: every tool once, a run, the page anew. */
async function inNode(page, complaints) {
  await page.goto(task.url);
  await ready(page);
  await page.evaluate(async (graph) => {
    await app.loadApiJson(graph, "joints");
    window.heard = [];
    window.addEventListener("keydown", (event) => heard.push(event.key));
    window.told = [];
    for (const kind of ["executed", "execution_success", "execution_error"])
      comfyAPI.api.api.addEventListener(kind, (event) => told.push({ kind, ...event.detail }));
  }, GRAPH);
  await large(page);
  const seen = { before: await value(page), standing: await places(page) };
  seen.shownTexts = await page.getByRole("textbox", { name: "joints" }).count();
  await shoot(page, "before");
  await drag(page, [0.345, 0.5174], [0.2, 0.2]); // the right wrist of the standing figure
  seen.dragged = { said: await said(page), ...(await value(page)) };
  seen.keys = {};
  for (const key of ["Control+z", "Control+Shift+Z", "PageDown", "ArrowRight", "Delete", "b"]) {
    await page.keyboard.press(key);
    seen.keys[key] = { said: await said(page), ...(await value(page)) };
  }
  await penDrag(page, [0.05, 0.85], [0.05, 0.95]);
  seen.painted = await value(page);
  await shoot(page, "brush");
  seen.bodies = {};
  for (const name of ["Add a body", "Mirror", "Remove the body"]) {
    await page.locator(NODE).getByRole("button", { name: new RegExp(`^${name}`) }).click();
    seen.bodies[name] = await value(page);
  }
  for (let k = 0; k < 3; k++) await page.keyboard.press("Control+z");
  seen.back = await value(page);
  const scale = () => page.evaluate(() => app.canvas.ds.scale);
  const before = await scale();
  await page.mouse.move(...(await at(page, [0.5, 0.5])));
  await page.mouse.wheel(0, -200);
  await page.waitForTimeout(300);
  seen.canvasZoomed = (await scale()) !== before;
  await shoot(page, "zoomed");
  await page.keyboard.press("0");
  await page.keyboard.press("v");
  seen.heard = await page.evaluate(() => heard);
  seen.run = await run(page);
  await shoot(page, "after the run");
  await page.reload();
  await ready(page);
  await large(page);
  seen.reloaded = { said: await said(page), ...(await value(page)) };
  await shoot(page, "reloaded");
  seen.complaints = complaints;
  return seen;
}

/** The local page: a joint, a stroke, Save. */
async function onLocalPage(page, complaints) {
  await page.goto(task.local);
  await page.locator(`${NODE} canvas`).waitFor({ timeout: 60_000 });
  await drag(page, [0.345, 0.5174], [0.2, 0.2]);
  await page.keyboard.press("b");
  await drag(page, [0.05, 0.85], [0.05, 0.95]);
  await page.keyboard.press("v");
  await shoot(page, "before it is saved");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved").waitFor({ timeout: 30_000 });
  await shoot(page, "saved");
  return { complaints };
}

/** Moves the view to the node, as large as the page allows. */
async function large(page) {
  await page.locator(`${NODE} canvas`).waitFor({ state: "attached", timeout: 60_000 });
  await page.evaluate(() => {
    const node = app.graph.nodes.find(({ comfyClass }) => comfyClass === "DreamActorJoints");
    app.canvas.deselectAll();
    const { ds } = app.canvas;
    ds.scale = Math.min(1.2, 780 / node.size[1]);
    ds.offset = [480 / ds.scale - node.pos[0], 154 / ds.scale - node.pos[1]];
    app.canvas.setDirty(true, true);
  });
  await page.waitForTimeout(2000);
}

/** The value, and what the joints are in it; and where the node stands. */
async function value(page) {
  return page.evaluate(() => {
    const node = app.graph.nodes.find(({ comfyClass }) => comfyClass === "DreamActorJoints");
    const text = node.widgets.find(({ name }) => name === "joints").value;
    const saved = node.serialize().widgets_values;
    return { text, saved, pos: [...node.pos], nodes: app.graph.nodes.length };
  });
}

const said = (page) => page.locator(`${NODE} .said`).textContent();

/** What is said of each joint of the chosen body. */
async function places(page) {
  const list = page.locator(`${NODE} select.joint`);
  const found = [];
  for (let joint = 0; joint < 18; joint++) {
    await list.selectOption(String(joint));
    found.push(await said(page));
  }
  return found;
}

/** A share of the picture -> pixels of the page. */
async function at(page, [x, y]) {
  const canvas = page.locator(`${NODE} canvas`);
  const box = await canvas.boundingBox();
  const inner = await canvas.evaluate((one) => [one.clientWidth, one.clientHeight]);
  const shown = box.width / inner[0];
  const [width, height] = task.size;
  const scale =
    Math.min(inner[0] / width, inner[1] / height) * (1 - (2 * MARGIN) / Math.min(...inner)) * shown;
  return [
    box.x + box.width / 2 + (x - 0.5) * width * scale,
    box.y + box.height / 2 + (y - 0.5) * height * scale,
  ];
}

async function drag(page, from, to) {
  const [start, end] = [await at(page, from), await at(page, to)];
  await page.mouse.move(...start);
  await page.mouse.down();
  await page.mouse.move(...end, { steps: 5 });
  await page.mouse.up();
  await page.waitForTimeout(300);
}

/** The same with a pen, which the browser tells apart from a mouse. */
async function penDrag(page, from, to) {
  const session = await page.context().newCDPSession(page);
  const pen = { button: "left", buttons: 1, clickCount: 1, pointerType: "pen" };
  const send = (type, [x, y]) => session.send("Input.dispatchMouseEvent", { type, x, y, ...pen });
  const [start, end] = [await at(page, from), await at(page, to)];
  await send("mousePressed", start);
  for (const part of [0.25, 0.5, 0.75, 1])
    await send("mouseMoved", start.map((from, axis) => from + part * (end[axis] - from)));
  await send("mouseReleased", end);
  await page.waitForTimeout(300);
}

async function run(page) {
  await page.evaluate(() => app.queuePrompt(0, 1));
  const over = () => told.some(({ kind }) => /success|error/.test(kind));
  await page.waitForFunction(over, null, { timeout: 300_000, polling: 500 });
  await page.waitForTimeout(1500);
  return page.evaluate(() => ({
    error: told.find(({ kind }) => kind === "execution_error")?.exception_message,
    keypoints: told.find(({ node }) => node === "3")?.output.text[0],
    mask: told.find(({ node }) => node === "5")?.output.images[0],
    shown: told.find(({ output }) => output?.dreamactor_joints)?.output.dreamactor_joints[0],
  }));
}

async function shoot(page, what) {
  await page.screenshot({ path: `${task.shots}/joints - ${what} - ${WHERE}.png` });
}

await inPage(task.local ? onLocalPage : inNode);
