// Looks through the page of results, and reports what was seen.
//
//   node site.mjs '{"playwright", "chromium", "shots", "page", "filter": [kind, tag]}'
import { inPage, task } from "./page.mjs";

const SIZES = [
  ["light", "light", 1400, 900],
  ["dark", "dark", 1400, 900],
  ["narrow", "light", 390, 844],
];

async function look(page, name) {
  for (const [kind, colorScheme, width, height] of SIZES) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    await page.screenshot({ path: `${task.shots}/${name} - ${kind}.png` });
  }
  await page.setViewportSize({ width: 1400, height: 900 });
}

const shown = (page) =>
  page.waitForFunction(() =>
    [...document.querySelectorAll("#stage video")].every((video) => video.readyState >= 2),
  );
/** Of all videos, when none is on its way to another time. */
const times = async (page) => {
  await page.waitForFunction(() => players.videos.every((video) => !video.seeking));
  return page.evaluate(() => players.videos.map((video) => video.currentTime));
};
const cases = (page) => page.locator("#list a").evaluateAll((all) => all.map((a) => a.hash));

await inPage(async (page, complaints) => {
  const seen = { requests: [] };
  page.on("request", (request) => {
    if (/^https?:/.test(request.url())) seen.requests.push(request.url());
  });
  await page.goto(task.page);
  await shown(page);
  seen.figures = await page.locator("#stage figcaption").allTextContents();
  seen.missing = await page.locator("#stage .missing").count();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  seen.stepped = await times(page);
  await page.keyboard.press(" ");
  await page.waitForTimeout(900); // more than once round
  seen.played = await page.evaluate(() => players.playing);
  await page.keyboard.press(" ");
  seen.paused = await times(page);
  await page.locator("#said a").first().click();
  seen.reason = await page.locator("#reason").textContent();
  seen.address = await page.evaluate(() => location.hash);
  await look(page, "site");
  await page.reload();
  seen.reloaded = await page.locator("#reason").textContent();
  seen.all = await cases(page);
  const [kind, tag] = task.filter;
  await page.locator("#filters label", { hasText: kind }).locator("select").selectOption(tag);
  seen.filtered = await cases(page);
  seen.current = await page.locator("#name").textContent();
  await page.keyboard.press("Tab");
  await page.locator("#systems input").first().uncheck();
  seen.fewer = await page.locator("#stage figcaption").allTextContents();
  await page.getByRole("button", { name: "Tables" }).click();
  seen.tables = await page.locator("#tables h2").allTextContents();
  await look(page, "site tables");
  seen.complaints = complaints;
  return seen;
});
