// A page of ComfyUI in headless Chromium, for the scripts beside this one.
//
// Their one argument is JSON: {"playwright", "chromium", "url", "nodes2", "shots", ...}
import { mkdirSync } from "node:fs";
import { pathToFileURL } from "node:url";

export const task = JSON.parse(process.argv[2]);
const { chromium } = await import(pathToFileURL(`${task.playwright}/index.mjs`));
const FLAGS =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run " +
  "--disable-background-networking --disable-component-update --disable-sync";

/** Prints as JSON what look(page, complaints) returns; complaints: what the page says of us. */
export async function inPage(look) {
  mkdirSync(task.shots, { recursive: true });
  if (task.url) await configure(hostSettings());
  const browser = await chromium.launch({ executablePath: task.chromium, args: FLAGS.split(" ") });
  try {
    const context = await browser.newContext({ viewport: { width: 1680, height: 1000 } });
    const page = await context.newPage();
    page.setDefaultTimeout(120_000); // a machine may be busy
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (line) => {
      const ours = `${line.text()} ${line.location().url}`.toLowerCase().includes("dreamactor");
      if (["error", "warning"].includes(line.type()) && ours) complaints.push(line.text());
    });
    console.log(JSON.stringify(await look(page, complaints)));
  } finally {
    await browser.close();
  }
}

function hostSettings() {
  return {
    "Comfy.TutorialCompleted": true, // else a dialog covers the first graph
    "Comfy.VueNodes.Enabled": task.nodes2,
    "Comfy.Minimap.Visible": false,
    "Comfy.Workflow.Persist": true,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0, // small words in the pictures, too
  };
}

async function configure(settings) {
  for (const [id, value] of Object.entries(settings))
    await fetch(`${task.url}/settings/${id}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(value),
    });
}

/** Our nodes are known to the page. */
export async function ready(page) {
  await page.waitForFunction(
    () => window.app?.extensionManager && LiteGraph.registered_node_types.DreamActorPlayer,
    null,
    { timeout: 120_000, polling: 500 },
  );
  await page.waitForTimeout(1500);
}
