// Videos in step: the longest one's clock is that of all; a shorter one holds its last frame.
// Below, what the pages have in common: the buttons under the videos, and elements.
const MOMENT = 1 / 12; // seconds, of the arrow keys
const DRIFT = 0.06; // seconds that a video may be off before it is set right

class Players {
  /** videos: elements with their sources; onTime(seconds, of how many, playing) at every change */
  constructor(videos, onTime) {
    this.videos = videos;
    this.onTime = onTime;
    this.playing = false;
    this.rate = 1;
    for (const video of videos) {
      video.muted = true;
      video.playsInline = true;
      video.addEventListener("loadedmetadata", () => this.tell());
      video.addEventListener("seeked", () => this.tell());
    }
  }

  get leader() {
    return this.videos.reduce((a, b) => ((b.duration || 0) > (a.duration || 0) ? b : a));
  }

  get time() {
    return this.leader.currentTime;
  }

  get duration() {
    return this.leader.duration || 0;
  }

  /** Resolves when each has a picture, or has failed. */
  ready() {
    const one = (video) =>
      new Promise((done) => {
        if (video.readyState >= 2 || video.error) return done();
        for (const name of ["loadeddata", "error"])
          video.addEventListener(name, done, { once: true });
      });
    return Promise.all(this.videos.map(one));
  }

  play() {
    this.playing = true;
    if (this.duration && this.time >= this.duration - 0.001) this.moveAll(0);
    for (const video of this.videos) {
      video.playbackRate = this.rate;
      if (!video.ended) video.play().catch(() => {});
    }
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.tick());
  }

  pause() {
    this.playing = false;
    cancelAnimationFrame(this.frame);
    for (const video of this.videos) video.pause();
    this.moveAll(this.time);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** Stops at a time, seconds. */
  seek(time) {
    if (this.playing) this.pause();
    this.moveAll(Math.max(0, Math.min(time, this.duration)));
  }

  setRate(rate) {
    this.rate = rate;
    for (const video of this.videos) video.playbackRate = rate;
  }

  moveAll(time) {
    for (const video of this.videos)
      if (Number.isFinite(video.duration)) video.currentTime = Math.min(time, video.duration);
    this.tell();
  }

  tick() {
    if (!this.playing) return;
    const { leader, time } = this;
    if (leader.ended) {
      this.moveAll(0);
      return this.play();
    }
    for (const video of this.videos) {
      if (video === leader || !video.duration || time >= video.duration) continue;
      if (Math.abs(video.currentTime - time) > DRIFT && !video.seeking) video.currentTime = time;
      if (video.paused) video.play().catch(() => {});
    }
    this.tell();
    this.frame = requestAnimationFrame(() => this.tick());
  }

  tell() {
    this.onTime(this.time || 0, this.duration, this.playing);
  }

  /** Nothing is played or held any more. */
  close() {
    this.playing = false;
    cancelAnimationFrame(this.frame);
    for (const video of this.videos) {
      video.pause();
      video.removeAttribute("src");
      video.load();
    }
  }
}

const byId = (id) => document.getElementById(id);
let players = null; // of the videos that are shown

/** Puts the videos of an element in step, under the buttons of the page. */
function putInStep(stage) {
  players?.close();
  players = new Players([...stage.querySelectorAll("video")], (time, duration, playing) => {
    byId("scrub").value = duration ? Math.round((1000 * time) / duration) : 0;
    byId("time").textContent = `${time.toFixed(2)} / ${duration.toFixed(2)} s`;
    byId("play").textContent = playing ? "Pause" : "Play";
  });
  players.setRate(byId("slow").getAttribute("aria-pressed") === "true" ? 0.5 : 1);
}

const PLAYER_KEYS = {
  " ": () => players.toggle(),
  ArrowLeft: () => players.seek(players.time - MOMENT),
  ArrowRight: () => players.seek(players.time + MOMENT),
  r: () => (players.moveAll(0), players.play()),
  s: () => byId("slow").click(),
};

function wireButtons() {
  byId("play").onclick = () => players.toggle();
  byId("scrub").oninput = ({ target }) => players.seek((target.value / 1000) * players.duration);
  byId("slow").onclick = ({ currentTarget: button }) => {
    const slow = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(slow));
    players.setRate(slow ? 0.5 : 1);
  };
}

/** An element: make("p", {className: "x", textContent: "y"}, child, ...) */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Gives a file to keep. */
function save(name, text) {
  const link = make("a", { download: name });
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
