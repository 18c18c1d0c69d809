// The page of a rater: items in an order of his own, keys, and answers that outlive a reload.
const DATA = JSON.parse(document.getElementById("data").textContent);
const PAIRS = DATA.mode === "pairs";
const CHOICES = ["left", "same", "right"];
const WORDS = { left: "Left is better", same: "Same", right: "Right is better" };
const MARKS = ["Bad", "Poor", "Fair", "Good", "Excellent"];
const KEYS = [
  ...(PAIRS
    ? [["1 2 3", "left is better, same, right is better"]]
    : [["1 ... 5", "bad ... excellent, for the question that is framed"],
       ["Up Down", "another question"]]),
  ["0", "cannot be judged (does not play, shows nothing)"],
  ["Space", "play and pause"],
  ["Left Right", "a moment back, a moment on"],
  ["r", "from the beginning"],
  ["s", "half speed"],
  ["Backspace", "the one before"],
  ["Enter", "the next one, if this one is judged"],
  ["?", "these keys"],
];

let rater = "";
let order = []; // items, as this rater sees them
let answers = {}; // by item
let place = 0; // in order
let asked = 0; // which question is framed
let kept = true; // by the browser

// Each rater's own order and sides, the same after a reload.

function random(text) {
  let state = 2166136261;
  for (const sign of text) state = Math.imul(state ^ sign.codePointAt(0), 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function orderOf(name) {
  const own = DATA.raters ? new Set(DATA.raters[name]) : null;
  const items = DATA.items.filter((item) => !own || own.has(item.id));
  const next = random(`${DATA.page} ${name}`);
  for (let k = items.length - 1; k > 0; k--) {
    const other = Math.floor(next() * (k + 1));
    [items[k], items[other]] = [items[other], items[k]];
  }
  return items.map((item) => {
    const turned = next() < 0.5;
    return { ...item, videos: turned ? [...item.videos].reverse() : item.videos };
  });
}

// What is kept.

const storageKey = (name) => `aw-bench ${DATA.page} ${name}`;

function stored(name) {
  try {
    return JSON.parse(localStorage.getItem(storageKey(name))) || {};
  } catch {
    return {};
  }
}

/** What is stored may be more than this page knows: another tab may have judged, too. */
function catchUp() {
  for (const [item, answer] of Object.entries(stored(rater)))
    if (!(item in answers) || answers[item].at < answer.at) answers[item] = answer;
}

function keep() {
  catchUp();
  try {
    localStorage.setItem(storageKey(rater), JSON.stringify(answers));
    localStorage.setItem(`aw-bench ${DATA.page}`, rater);
    kept = true;
  } catch {
    kept = false;
  }
  const text = "This browser keeps nothing for this page: save the file before you close it.";
  warn(kept ? "" : text);
}

function warn(text) {
  byId("warning").textContent = text;
  byId("warning").hidden = !text;
}

function saveFile() {
  const known = DATA.items.map((item) => item.id).filter((id) => answers[id]);
  const data = {
    format: "aw-bench-ratings",
    version: 1,
    page: DATA.page,
    rater,
    answers: known.map((id) => answers[id]),
  };
  save(`ratings-${rater.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`, JSON.stringify(data, null, 1));
}

async function loadFile(file) {
  try {
    const data = JSON.parse(await file.text());
    if (data.format !== "aw-bench-ratings" || data.page !== DATA.page) throw new Error();
    answers = stored(data.rater);
    for (const answer of data.answers) answers[answer.item] ??= answer;
    begin(data.rater, answers);
  } catch {
    warn(`${file.name} is not a file that this page has saved.`);
  }
}

// Pictures and videos: in this file, or beside it.

const addresses = {};

function address(id) {
  const { src, type } = DATA.media[id];
  if (src) return src;
  if (!addresses[id]) {
    const text = atob(byId(`m-${id}`).textContent.trim());
    const bytes = Uint8Array.from(text, (sign) => sign.charCodeAt(0));
    addresses[id] = URL.createObjectURL(new Blob([bytes], { type }));
  }
  return addresses[id];
}

function shown(id, words) {
  const picture = DATA.media[id].type.startsWith("image/");
  const media = picture ? make("img", { alt: words }) : make("video", { preload: "auto" });
  if (!picture) media.setAttribute("aria-label", words);
  media.src = address(id);
  return make("figure", {}, media, make("figcaption", { textContent: words }));
}

// One item.

function show(index) {
  place = index;
  const item = order[place];
  const names = PAIRS ? ["Left", "Right"] : ["Result"];
  const results = item.videos.map((id, k) => shown(id, names[k]));
  const given = [shown(item.reference, "Character"), shown(item.driver, "Motion to be performed")];
  byId("stage").replaceChildren(
    make("div", { className: "given" }, ...given),
    make("div", { className: PAIRS ? "results" : "results one" }, ...results),
  );
  putInStep(byId("stage"));
  for (const video of players.videos)
    video.addEventListener("error", () => {
      byId("said").textContent = "A video does not play here; 0 says so.";
    });
  const mine = players;
  players.ready().then(() => mine === players && players.play());
  const scores = answers[item.id]?.scores || {};
  asked = PAIRS ? 0 : Math.max(0, DATA.dimensions.findIndex(({ key }) => !(key in scores)));
  showView("trial");
  mark();
}

function showView(name) {
  for (const view of ["start", "trial", "end"]) byId(view).hidden = view !== name;
  byId("save").hidden = name === "start";
}

function mark() {
  const answer = answers[order[place].id] || {};
  byId("answers").replaceChildren(...(PAIRS ? [choiceButtons(answer)] : scoreFields(answer)));
  byId("unseen").setAttribute("aria-pressed", String(Boolean(answer.unseen)));
  byId("back").disabled = place === 0;
  byId("forward").disabled = !done(order[place]);
  count();
}

function choiceButtons(answer) {
  const buttons = CHOICES.map((choice, k) => {
    const button = make("button", { type: "button" }, `${WORDS[choice]} `);
    button.append(make("kbd", { textContent: k + 1 }));
    button.setAttribute("aria-keyshortcuts", k + 1);
    button.setAttribute("aria-pressed", String(answer.choice === choice));
    button.onclick = () => choose(choice);
    return button;
  });
  return make("div", { className: "choices" }, ...buttons);
}

function scoreFields(answer) {
  return DATA.dimensions.map(({ key, title, question }, which) => {
    const buttons = MARKS.map((word, k) => {
      const button = make("button", { type: "button", title: word, textContent: k + 1 });
      button.setAttribute("aria-label", `${title}: ${k + 1}, ${word}`);
      button.setAttribute("aria-pressed", String(answer.scores?.[key] === k + 1));
      button.onclick = () => score(which, k + 1);
      return button;
    });
    return make(
      "fieldset",
      { className: which === asked ? "now" : "" },
      make("legend", { textContent: title }),
      make("p", { className: "quiet", textContent: question }),
      make("div", { className: "marks" }, ...buttons),
    );
  });
}

// What was said.

function done({ id }) {
  const answer = answers[id];
  if (!answer) return false;
  if (answer.unseen || answer.choice) return true;
  return DATA.dimensions.every(({ key }) => key in (answer.scores || {}));
}

function choose(choice) {
  const item = order[place];
  put({ item: item.id, left: item.videos[0], choice });
  say(WORDS[choice]);
  next();
}

function score(which, value) {
  const { key, title } = DATA.dimensions[which];
  const item = order[place].id;
  catchUp();
  put({ item, scores: { ...answers[item]?.scores, [key]: value } });
  say(`${title}: ${value}`);
  const open = DATA.dimensions.findIndex((each) => !(each.key in answers[item].scores));
  if (open < 0) return next();
  asked = open;
  mark();
}

function unseen() {
  put({ item: order[place].id, unseen: true });
  say("Cannot be judged");
  next();
}

function put(answer) {
  answers[answer.item] = { ...answer, at: Date.now() };
  keep();
}

function say(text) {
  byId("said").textContent = `${place + 1}: ${text}. Backspace goes back.`;
}

function next() {
  if (place + 1 < order.length) return show(place + 1);
  const open = order.findIndex((item) => !done(item));
  if (open >= 0) show(open);
  else finish();
}

function count() {
  const judged = order.filter(done).length;
  byId("progress").max = order.length;
  byId("progress").value = judged;
  byId("count").textContent = `${judged} of ${order.length}`;
  return judged;
}

function finish() {
  players?.close();
  players = null;
  count();
  byId("sum").textContent = `${order.length} judgements by ${rater}.`;
  showView("end");
  byId("save-end").focus();
}

function begin(name, known) {
  rater = name;
  order = orderOf(rater);
  answers = known;
  keep();
  const open = order.findIndex((item) => !done(item));
  if (open < 0) finish();
  else show(open);
}

// Keys and buttons.

const keys = {
  ...PLAYER_KEYS,
  0: unseen,
  Backspace: () => place > 0 && show(place - 1),
  Enter: () => done(order[place]) && next(),
  ArrowUp: () => frame(asked - 1),
  ArrowDown: () => frame(asked + 1),
};

function frame(which) {
  if (PAIRS) return;
  asked = Math.max(0, Math.min(which, DATA.dimensions.length - 1));
  mark();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  if (byId("trial").hidden || event.target.matches("input[type=text], input:not([type]), select"))
    return;
  if (event.key === "?") return byId("help-button").click();
  const digit = Number(event.key);
  const most = PAIRS ? CHOICES.length : MARKS.length;
  const act =
    digit >= 1 && digit <= most
      ? () => (PAIRS ? choose(CHOICES[digit - 1]) : score(asked, digit))
      : keys[event.key];
  if (!act || event.repeat) return;
  if (event.target.matches("button") && (event.key === " " || event.key === "Enter")) return;
  event.preventDefault();
  act();
});

byId("help-button").onclick = () => byId("help").showModal();
byId("save").onclick = saveFile;
byId("save-end").onclick = saveFile;
byId("look-again").onclick = () => show(0);
wireButtons();
byId("back").onclick = keys.Backspace;
byId("forward").onclick = keys.Enter;
byId("unseen").onclick = unseen;
byId("other").onclick = () => {
  players?.close();
  players = null;
  byId("rater").value = "";
  showView("start");
};
byId("load").onchange = ({ target }) => target.files[0] && loadFile(target.files[0]);
byId("begin").onsubmit = (event) => {
  event.preventDefault();
  const name = DATA.raters ? byId("raters").value : byId("rater").value.trim();
  if (name) begin(name, stored(name));
};
addEventListener("beforeunload", (event) => {
  if (!kept && Object.keys(answers).length) event.preventDefault();
});

function start() {
  byId("keys").append(
    ...KEYS.flatMap(([key, what]) => [
      make("dt", {}, make("kbd", { textContent: key })),
      make("dd", { textContent: what }),
    ]),
  );
  const intro = make("p", { textContent: DATA.question });
  const list = make("dl");
  for (const { title, question } of PAIRS ? [] : DATA.dimensions)
    list.append(make("dt", { textContent: title }), make("dd", { textContent: question }));
  byId("asked").append(intro, list);
  if (DATA.raters) {
    byId("rater").hidden = true;
    byId("rater").required = false;
    byId("raters").hidden = false;
    for (const name of Object.keys(DATA.raters)) byId("raters").append(new Option(name));
  }
  showView("start");
  let last = null;
  try {
    last = localStorage.getItem(`aw-bench ${DATA.page}`);
  } catch {
    kept = false;
  }
  if (last && Object.keys(stored(last)).length) begin(last, stored(last));
}

start();
