// Judges as a rater would, by keyboard alone, with a reload in the middle.
//
//   node rate.mjs '{"playwright", "chromium", "shots", "page", "keys", "reloadAfter", "looks"}'
//
// page: address of the page; keys: one key a step; looks: whether pictures of the page are taken.
// Prints what was seen; test_aw_pages.py says what must hold.
import { readFileSync } from "node:fs";
import { inPage, task } from "./page.mjs";

const count = (page) => page.locator("#count").textContent();

async function look(page, name) {
  if (!task.looks) return;
  for (const [kind, scheme, width, height] of [
    ["light", "light", 1280, 800],
    ["dark", "dark", 1280, 800],
    ["narrow", "light", 390, 844],
  ]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height });
    await page.screenshot({ path: `${task.shots}/${name} - ${kind}.png` });
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}

async function shown(page) {
  await page.waitForFunction(() =>
    [...document.querySelectorAll("#stage video")].every((video) => video.readyState >= 2),
  );
}

async function saved(page) {
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.locator("#end").isVisible().then((end) => page.click(end ? "#save-end" : "#save")),
  ]);
  return JSON.parse(readFileSync(await download.path(), "utf8"));
}

await inPage(async (page, complaints) => {
  const seen = { requests: [] };
  page.on("request", (request) => {
    if (/^https?:/.test(request.url())) seen.requests.push(request.url());
  });
  await page.goto(task.page);
  await look(page, "rate start");
  await page.keyboard.press("Tab");
  await page.focus("#rater");
  await page.keyboard.type("Ada");
  await page.keyboard.press("Enter");
  await shown(page);
  seen.before = await count(page);
  await page.keyboard.press("?");
  await look(page, "rate keys");
  seen.help = await page.locator("#help").isVisible();
  await page.keyboard.press("Escape");
  await look(page, "rate");
  const tab = await page.context().newPage(); // of the same rater, at the same time
  await tab.goto(task.page);
  await tab.fill("#rater", "Ada");
  await tab.keyboard.press("Enter");
  seen.played = await page.evaluate(async () => {
    await new Promise((done) => setTimeout(done, 300));
    return players.time > 0 || players.playing;
  });
  for (const [k, key] of task.keys.entries()) {
    if (k === task.reloadAfter) {
      seen.middle = await count(page);
      await page.reload();
      seen.reloaded = await count(page);
      await shown(page);
    }
    await page.keyboard.press(key);
  }
  await page.locator("#end").waitFor({ state: "visible" });
  seen.after = await count(page);
  await look(page, "rate end");
  seen.file = await saved(page);
  seen.order = await page.evaluate(() => order.map(({ id, videos }) => ({ id, videos })));
  await tab.keyboard.press(task.keys[0]);
  await page.reload();
  await page.locator("#end").waitFor({ state: "visible" });
  await page.click("#look-again");
  await page.keyboard.press("3");
  await page.keyboard.press("Backspace");
  seen.changed = (await saved(page)).answers.find(({ item }) => item === seen.order[0].id);
  seen.complaints = complaints;
  return seen;
});
