// The page of results: cases that a filter leaves, their videos in step, and what was said of them.
const DATA = JSON.parse(document.getElementById("data").textContent);

let current = null; // case
let chosen = {}; // {kind of tag: the one that is wanted, or ""}

const titleOf = (name) => DATA.scales[name]?.title || name;
const arrowOf = (name) => (name in DATA.scales ? (DATA.scales[name].higher ? " ↑" : " ↓") : "");
const shownSystems = () =>
  [...byId("systems").querySelectorAll("input:checked")].map((box) => box.value);
const filtered = () =>
  DATA.cases.filter((one) =>
    Object.entries(chosen).every(([kind, tag]) => !tag || one.tags[kind].includes(tag)),
  );

// The address says which case, and which judgement of it, is looked at: #case/system/by/score

const routeOf = (...parts) => `#${parts.map(encodeURIComponent).join("/")}`;

function route() {
  const [id, system, by, name] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const found = DATA.cases.find((one) => one.id === id) || filtered()[0] || DATA.cases[0];
  if (found !== current) show(found);
  explain(system, by, name);
}

// One case.

function figure(src, words, picture = false) {
  let media = make("div", { className: "missing", textContent: "not here" });
  if (src && picture) media = make("img", { src, alt: words });
  if (src && !picture) {
    media = make("video", { src, preload: "auto" });
    media.setAttribute("aria-label", words);
  }
  return make("figure", {}, media, make("figcaption", { textContent: words }));
}

function show(one) {
  current = one;
  byId("name").textContent = one.id;
  byId("prompt").textContent = one.prompt;
  byId("credits").textContent = one.credits.join(" · ");
  byId("tags").replaceChildren(
    ...Object.values(one.tags)
      .flat()
      .map((tag) => make("span", { className: "tag", textContent: tag })),
  );
  stage();
  said();
  byId("compared").replaceChildren(
    ...one.compared.map((text) => make("p", { textContent: text })),
  );
  list();
}

function stage() {
  const systems = shownSystems();
  byId("stage").replaceChildren(
    figure(current.reference, "Picture", true),
    figure(current.driver, "Motion"),
    ...(current.truth ? [figure(current.truth, "Truth")] : []),
    ...systems.map((name) => figure(current.videos[name], name)),
  );
  putInStep(byId("stage"));
}

function number(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) < 1 ? 3 : 2);
}

/** A table for each who has said something, of rows [system, by, {score: cell}]. */
function tablesOf(rows) {
  const voices = [...new Set(rows.map(([, by]) => by))];
  return voices.map((voice) => {
    const own = rows.filter(([, by]) => by === voice);
    const names = [...new Set(own.flatMap(([, , scores]) => Object.keys(scores)))];
    const titles = [voice, ...names.map((name) => titleOf(name) + arrowOf(name))];
    const head = make("tr", {}, ...titles.map((text) => make("th", { textContent: text })));
    const body = own.map(([system, , scores]) =>
      make(
        "tr",
        {},
        make("td", { textContent: system }),
        ...names.map((name) => make("td", {}, name in scores ? scores[name] : "")),
      ),
    );
    return make("table", {}, head, ...body);
  });
}

function said() {
  const systems = shownSystems();
  const rows = current.said
    .filter(({ system }) => systems.includes(system))
    .map(({ system, by, scores }) => {
      const cells = Object.entries(scores).map(([name, value]) => [
        name,
        make("a", { href: routeOf(current.id, system, by, name), textContent: number(value) }),
      ]);
      return [system, by, Object.fromEntries(cells)];
    });
  const nothing = make("p", { className: "quiet", textContent: "Nothing yet." });
  byId("said").replaceChildren(...(rows.length ? tablesOf(rows) : [nothing]));
}

function explain(system, by, name) {
  const told = current.said.find((one) => one.system === system && one.by === by);
  const known = told && name in told.scores;
  byId("reason").hidden = !known;
  for (const link of byId("said").querySelectorAll("a"))
    link.setAttribute("aria-current", String(link.getAttribute("href") === location.hash));
  if (!known) return;
  const reason = told.reasons[name] || (told.notes.length ? "" : "No reason was given.");
  byId("reason").replaceChildren(
    make("strong", { textContent: `${system}, ${titleOf(name)}: ${number(told.scores[name])}` }),
    make("span", { className: "quiet", textContent: ` by ${by}` }),
    make("p", { textContent: reason }),
    ...told.notes.map((note) => make("p", { className: "quiet", textContent: note })),
  );
  byId("reason").scrollIntoView({ block: "center" });
}

// All cases of the filter.

function list() {
  const cases = filtered();
  byId("number").textContent = `${cases.length} of ${DATA.cases.length} cases`;
  byId("list").replaceChildren(
    ...cases.map((one) => {
      const link = make("a", { href: routeOf(one.id), textContent: one.id });
      link.append(make("small", { textContent: one.tags.Scenario.join(", ") }));
      link.setAttribute("aria-current", String(one === current));
      return make("li", {}, link);
    }),
  );
  means(cases);
}

function means(cases) {
  const sums = new Map(); // "system by" -> {name: [sum, count]}
  const systems = shownSystems();
  for (const { system, by, scores } of cases.flatMap((one) => one.said)) {
    if (!systems.includes(system)) continue;
    const key = JSON.stringify([system, by]);
    if (!sums.has(key)) sums.set(key, {});
    const own = sums.get(key);
    for (const [name, value] of Object.entries(scores)) {
      own[name] ??= [0, 0];
      own[name][0] += value;
      own[name][1] += 1;
    }
  }
  const rows = [...sums].sort().map(([key, own]) => {
    const cell = ([sum, count]) => `${(sum / count).toFixed(2)} (${count})`;
    const cells = Object.entries(own).map(([name, each]) => [name, cell(each)]);
    return [...JSON.parse(key), Object.fromEntries(cells)];
  });
  const filter = Object.values(chosen).filter(Boolean).join(", ") || "all cases";
  byId("means-title").textContent = rows.length ? `Means over ${filter} (how many)` : "";
  byId("means").replaceChildren(...tablesOf(rows));
}

function step(by) {
  const cases = filtered();
  const next = cases[cases.indexOf(current) + by];
  if (next) location.hash = routeOf(next.id);
}

// Filters, keys and buttons.

function filters() {
  for (const kind of Object.keys(DATA.cases[0].tags)) {
    const tags = [...new Set(DATA.cases.flatMap((one) => one.tags[kind]))].sort();
    if (tags.length < 2) continue;
    const select = make("select", {}, new Option("all", ""), ...tags.map((tag) => new Option(tag)));
    select.onchange = () => {
      chosen = { ...chosen, [kind]: select.value };
      const cases = filtered();
      if (cases.length && !cases.includes(current)) location.hash = routeOf(cases[0].id);
      list();
    };
    byId("filters").append(make("label", {}, kind, select));
  }
  for (const { name, model } of DATA.systems) {
    const box = make("input", { type: "checkbox", value: name, checked: true });
    box.onchange = () => show(current);
    byId("systems").append(make("label", { title: model }, box, ` ${name}`));
  }
}

const keys = {
  ...PLAYER_KEYS,
  n: () => step(1),
  p: () => step(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("cases").hidden) return;
  if (event.target.matches("input, select, summary") || !(event.key in keys)) return;
  if (event.target.matches("button, a") && event.key === " ") return;
  event.preventDefault();
  keys[event.key]();
});

for (const button of document.querySelectorAll("nav button"))
  button.onclick = () => {
    for (const other of document.querySelectorAll("nav button"))
      other.setAttribute("aria-pressed", String(other === button));
    for (const view of ["cases", "tables"]) byId(view).hidden = view !== button.dataset.view;
    players?.pause();
  };
wireButtons();
byId("previous").onclick = () => step(-1);
byId("next").onclick = () => step(1);
addEventListener("hashchange", route);
if (matchMedia("(max-width: 52rem)").matches) byId("filter").open = false;
filters();
route();
