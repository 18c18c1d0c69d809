// Uses one shipped workflow as an artist would, in headless Chromium, and reports what was seen.
//
//   node browser.mjs '{"playwright", "chromium", "url", "workflow", "nodes2", "shots"}'
//
// Prints one JSON object; test_player.py says what must hold of it.
import { inPage, ready, task } from "./page.mjs";

const PACK = "ComfyUI-DreamActor-M2";
const PLAYER = '[data-dreamactor="dreamactor_player"]';
const MASK = '[data-dreamactor="dreamactor_mask"]';
const OURS = `${PLAYER}, ${MASK}`;
const RENDERER = task.nodes2 ? "nodes 2.0" : "classic";
async function main() {
  await inPage(async (page, complaints) => {
    const seen = {};
    await open(page);
    seen.grey = await grey(page);
    seen.outcome = await run(page);
    const frames = seen.outcome.player.frames;
    await shoot(page);
    seen.players = await page.locator(PLAYER).count();
    seen.media = await page.locator(PLAYER).first().evaluate(media);
    seen.panel = await panel(page);
    seen.playing = await play(page);
    seen.scrubbed = await scrub(page, [0, 5, frames - 1]);
    seen.keys = await keys(page);
    seen.wipe = await wipe(page, Math.round(frames / 2));
    if (seen.outcome.mask) seen.mask = await mask(page, seen.outcome.mask.lead);
    seen.reloaded = await reload(page);
    seen.complaints = [...complaints]; // those that follow are asked for
    seen.lost = await reload(page, true);
    seen.removed = await remove(page);
    return seen;
  });
}

/** Each of our widgets shows its clips, at rest or playing, or a sentence in their place. */
async function shown(page) {
  const all = (ours) => {
    const hosts = [...document.querySelectorAll(ours)];
    const clips = hosts.flatMap(({ shadowRoot }) => [...shadowRoot.querySelectorAll("video")]);
    return hosts.length > 0 && clips.every((clip) => clip.readyState >= 2 && !clip.seeking);
  };
  await page.waitForFunction(all, OURS, { timeout: 60_000, polling: 250 });
  await page.waitForTimeout(500);
}

/** The graph as the template list serves it. */
async function open(page) {
  await page.goto(task.url);
  await ready(page);
  await page.evaluate(
    async ([pack, name, ours]) => {
      const listed = await (await fetch("/api/workflow_templates")).json();
      if (!listed[pack].includes(name)) throw new Error(`${name} is not in the template list`);
      const file = `/api/workflow_templates/${pack}/${encodeURIComponent(name)}.json`;
      await app.loadGraphData(await (await fetch(file)).json(), true, true, name);
      const api = comfyAPI.api.api;
      window.told = [];
      for (const kind of ["executed", "execution_success", "execution_error"])
        api.addEventListener(kind, (event) => told.push({ kind, ...event.detail }));
      window.said = new Set(); // by our nodes, while they run
      const words = () =>
        [...document.querySelectorAll(ours)]
          .map(({ shadowRoot }) => shadowRoot.querySelector(".words:not([hidden])")?.textContent)
          .filter(Boolean);
      setInterval(() => words().forEach((one) => said.add(one)), 50);
      window.saying = words;
    },
    [PACK, task.workflow, OURS],
  );
  await page.waitForTimeout(1000);
}

/** Per node that samples, the widgets that cannot be turned. */
async function grey(page) {
  return page.evaluate(() =>
    app.graph.nodes
      .filter(({ comfyClass }) => /^DreamActor(Animate|Sampler)$/.test(comfyClass))
      .map(({ widgets }) => widgets.filter((one) => one.disabled).map(({ name }) => name)),
  );
}

async function run(page) {
  await queue(page);
  const untold = await page.evaluate(() => {
    const ours = (name) => ["dreamactor_player", "dreamactor_mask"].includes(name);
    const nodes = app.graph.nodes.filter(
      ({ mode, widgets }) => mode === 0 && widgets?.some(({ name }) => ours(name)),
    );
    return nodes.length - told.filter(({ output }) => Object.keys(output ?? {}).some(ours)).length;
  });
  if (untold > 0) {
    // ComfyUI 0.14 says nothing of nodes whose earlier result it takes: it has to forget them.
    await page.evaluate(() =>
      fetch("/api/free", { method: "POST", body: JSON.stringify({ free_memory: true }) }),
    );
    await page.waitForTimeout(2000);
    await page.evaluate(() => void (told.length = 0));
    await queue(page);
  }
  await shown(page);
  await page.waitForTimeout(2500); // messages in the corner go
  const outcome = await page.evaluate(() => ({
    error: told.find(({ kind }) => kind === "execution_error")?.exception_message,
    player: told.find(({ output }) => output?.dreamactor_player)?.output.dreamactor_player[0],
    mask: told.find(({ output }) => output?.dreamactor_mask)?.output.dreamactor_mask[0],
    said: [...said],
    saying: saying(),
  }));
  return { ...outcome, anew: untold > 0 };
}

async function queue(page) {
  await page.evaluate(() => app.queuePrompt(0, 1));
  const over = () => told.some(({ kind }) => /success|error/.test(kind));
  await page.waitForFunction(over, null, { timeout: 600_000, polling: 2000 });
}

/** Moves the view to the nodes that are wired up, as large as the page allows. */
async function showAll(page) {
  await page.evaluate(() => {
    const wired = app.graph.nodes.filter((node) =>
      [...(node.inputs ?? []), ...(node.outputs ?? [])].some((s) => s.link || s.links?.length),
    );
    const [left, top] = [0, 1].map((k) => Math.min(...wired.map((node) => node.pos[k])));
    const [right, bottom] = [0, 1].map((k) =>
      Math.max(...wired.map((node) => node.pos[k] + node.size[k])),
    );
    const { ds } = app.canvas;
    ds.scale = Math.min(1560 / (right - left), 790 / (bottom - top), 1);
    ds.offset = [90 / ds.scale - left, 165 / ds.scale - top];
    app.canvas.setDirty(true, true);
  });
  await page.waitForTimeout(1500);
}

async function shoot(page) {
  await showAll(page);
  const path = `${task.shots}/${task.workflow} - graph - ${RENDERER}.jpg`;
  await page.screenshot({ path, type: "jpeg", quality: 85 });
}

/**
 * How wide the player is before, while and after its node's properties are listed; the list; and
 * whether the frontend can leave a widget out of it.
 */
async function panel(page) {
  const width = () => page.locator(PLAYER).first().evaluate((host) => host.clientWidth);
  const open = (wanted) =>
    page.evaluate((wanted) => {
      const named = (node) => node.widgets?.some(({ name }) => name === "dreamactor_player");
      app.canvas.selectNode(app.graph.nodes.find(named));
      const store = app.extensionManager._p._s.get("rightSidePanel");
      if (wanted) store.openPanel("parameters");
      else store.closePanel();
    }, wanted);
  const widths = [await width()];
  await open(true);
  await page.waitForTimeout(1500);
  widths.push(await width());
  const listed = await page
    .locator(".widget-item")
    .evaluateAll((items) => items.map((item) => item.innerText.split("\n")[0]));
  const path = `${task.shots}/${task.workflow} - panel - ${RENDERER}.jpg`;
  await page.screenshot({ path, type: "jpeg", quality: 85 });
  await open(false);
  await page.evaluate(() => app.canvas.deselectAll());
  await page.waitForTimeout(1000);
  widths.push(await width());
  const hides = await page.evaluate(async () => {
    const scripts = performance.getEntriesByType("resource").map(({ name }) => name);
    const texts = scripts.filter((name) => name.includes("/assets/") && name.endsWith(".js"));
    const read = await Promise.all(texts.map(async (name) => (await fetch(name)).text()));
    return read.some((text) => text.includes("hideInPanel"));
  });
  return { widths, listed, hides };
}

function media(host) {
  const [picture] = host.shadowRoot.querySelectorAll("img");
  const clip = (name) => {
    const video = host.shadowRoot.querySelector(`video.${name}`);
    return { seconds: video.duration, size: [video.videoWidth, video.videoHeight] };
  };
  return {
    reference: [picture.naturalWidth, picture.naturalHeight],
    driving: clip("driving"),
    result: clip("result"),
  };
}

/** Played for a while from the beginning: times of both clips at each picture of the browser. */
async function play(page) {
  const host = page.locator(PLAYER).first();
  await host.locator(".track input").fill("0");
  await shown(page);
  await host.locator('button[aria-label="Play"]').click();
  const times = await host.evaluate(async (element) => {
    const clips = ["driving", "result"].map((name) =>
      element.shadowRoot.querySelector(`video.${name}`),
    );
    const seen = [];
    const turned = () => seen.some(([, time], k) => k > 0 && time < seen[k - 1][1]);
    const latest = performance.now() + 60_000;
    while (performance.now() < latest && !(turned() && seen.at(-1)[1] > 1)) {
      await new Promise(requestAnimationFrame);
      seen.push(clips.map((clip) => clip.currentTime));
    }
    return seen; // once around and a second on
  });
  const muted = await host.evaluate((element) =>
    [...element.shadowRoot.querySelectorAll("video")].every((video) => video.muted),
  );
  await host.locator('button[aria-label="Pause"]').click();
  return { times, muted };
}

/** Each asked frame: pixels of both clips, and what the player says it shows. */
async function scrub(page, frames) {
  const host = page.locator(PLAYER).first();
  const seen = {};
  for (const k of frames) {
    await host.locator(".track input").fill(String(k));
    await shown(page);
    seen[k] = await host.evaluate((element) => {
      const pixels = (video) => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
        canvas.getContext("2d").drawImage(video, 0, 0);
        return canvas.toDataURL("image/png").split(",")[1];
      };
      const { shadowRoot } = element;
      return {
        says: shadowRoot.querySelector(".count").textContent,
        driving: pixels(shadowRoot.querySelector("video.driving")),
        result: pixels(shadowRoot.querySelector("video.result")),
      };
    });
  }
  return seen;
}

/** What is said after each key, the player having the focus; and that ComfyUI did not hear them. */
async function keys(page) {
  const host = page.locator(PLAYER).first();
  await host.locator(".track input").fill("3");
  await host.evaluate((element) => element.shadowRoot.querySelector(".stage").focus());
  await page.evaluate(() => {
    window.heard = [];
    window.addEventListener("keydown", (event) => heard.push(event.key));
  });
  const says = {};
  for (const key of ["ArrowRight", "End", "ArrowLeft", "Home", "w"]) {
    await page.keyboard.press(key);
    await page.waitForTimeout(400);
    says[key] = await host.locator(".count").textContent();
  }
  says.wiping = await host.locator(".panels.wiping").count();
  await page.keyboard.press("w");
  return { says, heard: await page.evaluate(() => heard) };
}

/** Pictures of the wipe at the far left, the far right, and dragged a part of the way. */
async function wipe(page, k) {
  const host = page.locator(PLAYER).first();
  await showPlayer(page);
  const before = await place(page);
  await host.locator(".track input").fill(String(k));
  await host.locator('button[aria-label^="Wipe"]').click();
  await shown(page);
  const frame = host.locator(".result-frame");
  const seen = {};
  for (const [name, at] of Object.entries({ result: 0, driving: 1, part: 0.4, half: 0.5 })) {
    const box = await frame.boundingBox();
    const y = box.y + box.height / 3;
    await page.mouse.move(box.x + box.width / 2, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * at, y, { steps: 4 }); // all the way to the edge
    await page.mouse.up();
    await page.mouse.move(box.x + box.width / 2, y);
    await page.waitForTimeout(500);
    seen[name] = (await frame.screenshot()).toString("base64");
  }
  const after = await place(page);
  await shootPlayer(page, host);
  return { ...seen, moved: JSON.stringify(before) !== JSON.stringify(after) };
}

const place = (page) =>
  page.evaluate(() => [[...app.canvas.ds.offset], app.graph.nodes.map((node) => [...node.pos])]);

/** Moves the view to the lower end of the player's node, where that plays, large. */
async function showPlayer(page) {
  await page.evaluate(() => {
    const named = (node) => node.widgets?.some(({ name }) => name === "dreamactor_player");
    const node = app.graph.nodes.find(named);
    app.canvas.deselectAll();
    const { ds } = app.canvas;
    ds.scale = 1.4;
    ds.offset = [480 / ds.scale - node.pos[0], 940 / ds.scale - node.pos[1] - node.size[1]];
    app.canvas.setDirty(true, true);
  });
  await page.waitForTimeout(1500);
}

async function shootPlayer(page, host) {
  await page.evaluate(() => app.canvas.deselectAll());
  await page.mouse.move(5, 500);
  await page.waitForTimeout(500);
  const box = await host.boundingBox();
  const clip = { x: box.x - 40, y: 100, width: box.width + 80, height: 0 };
  clip.height = Math.min(box.y + box.height + 60, 1000) - clip.y;
  const path = `${task.shots}/${task.workflow} - player - ${RENDERER}.jpg`;
  await page.screenshot({ path, type: "jpeg", quality: 88, clip });
}

/** The veil's colour in the middle of each panel, at frame 0 and at the first driving frame. */
async function mask(page, lead) {
  await showAll(page); // the classic canvas hides widgets that are out of view
  const host = page.locator(MASK).first();
  const seen = { frames: {} };
  for (const k of [0, lead, lead + 1]) {
    await host.locator(".track input").fill(String(k));
    await shown(page);
    seen.frames[k] = await host.evaluate(({ shadowRoot }) => {
      const veil = shadowRoot.querySelector(".veil");
      const colour = (x) =>
        [...veil.getContext("2d").getImageData(veil.width * x, veil.height / 2, 1, 1).data];
      return {
        left: colour(0.25),
        right: colour(0.75),
        says: shadowRoot.querySelector(".now").textContent,
        of: shadowRoot.querySelector(".count").textContent,
      };
    });
  }
  seen.lead = await host.locator(".mark").first().evaluate((mark) => mark.style.width);
  return seen;
}

/** The page anew, with the files at hand or lost: what each of our widgets then says. */
async function reload(page, lost = false) {
  if (lost) await page.route("**/view?**", (route) => route.fulfill({ status: 404 }));
  await page.reload();
  await ready(page);
  if (lost) await page.getByText("preview files are gone").first().waitFor();
  else await shown(page);
  const says = await page.locator(OURS).evaluateAll((hosts) =>
    hosts.map(
      ({ shadowRoot }) =>
        shadowRoot.querySelector('p[role="status"]')?.textContent ??
        shadowRoot.querySelector(".count").textContent,
    ),
  );
  if (lost) await page.unroute("**/view?**");
  return says;
}

/** Our nodes taken out while they play: what is left of their clips. */
async function remove(page) {
  await page.reload();
  await ready(page);
  await shown(page);
  const host = page.locator(PLAYER).first();
  await host.locator('button[aria-label="Play"]').click();
  await page.waitForTimeout(500);
  return page.evaluate(async (ours) => {
    const hosts = [...document.querySelectorAll(ours)];
    const clips = hosts.flatMap(({ shadowRoot }) => [...shadowRoot.querySelectorAll("video")]);
    const playing = clips.filter((clip) => !clip.paused).length;
    for (const node of [...app.graph.nodes]) app.graph.remove(node);
    await new Promise((resolve) => setTimeout(resolve, 500));
    return {
      playing,
      still: clips.filter((clip) => !clip.paused || clip.hasAttribute("src")).length,
      hosts: document.querySelectorAll(ours).length,
    };
  }, OURS);
}

await main();
