/** Clips that a node wrote, and one clock that keeps several of them in step. */
import { api } from "../../../scripts/api.js";
import { element } from "./elements.js";

/** Address of a file {filename, subfolder, type} that a node wrote. */
export function viewUrl(file) {
  return api.apiURL(`/view?${new URLSearchParams(file)}`);
}

export function clip(file, className) {
  return element("video", {
    className,
    src: viewUrl(file),
    muted: true,
    preload: "auto",
    playsInline: true,
  });
}

const LOST =
  "These preview files are gone: ComfyUI clears them when it restarts. Run the graph again.";
const NO_H264 =
  "This browser cannot play H.264 video. The files themselves are fine: use SaveVideo.";

/** Resolves when every picture and clip can be shown; rejects with a sentence for the artist. */
export async function loaded(media) {
  const h264 = document.createElement("video").canPlayType('video/mp4; codecs="avc1.42E01E"');
  const wait = (one) =>
    new Promise((resolve, reject) => {
      const fail = () => reject(new Error(h264 || one.tagName === "IMG" ? LOST : NO_H264));
      if (one.error) fail();
      if (one.readyState >= 2 || (one.complete && one.naturalWidth)) resolve();
      one.addEventListener("loadeddata", resolve, { once: true });
      one.addEventListener("load", resolve, { once: true });
      one.addEventListener("error", fail, { once: true });
    });
  await Promise.all(media.map(wait));
}

/**
 * Keeps clips of the same rate and frame count in step.
 *
 * Scrubbing seeks each clip to the middle of frame k, so that all show exactly that frame. While
 * playing, the first clip leads, the others are sped up or slowed down by a few per cent until
 * they agree, or moved when they are more than a frame apart.
 */
export class Clock {
  constructor(clips, fps, frames) {
    Object.assign(this, { clips, fps, frames });
    this.frame = 0; // the one wished for; shown as soon as the browser has found it
    this.shown = -1; // the one all clips show while standing still
    this.playing = false;
    this.loop = true;
    this.speed = 1;
    this.watchers = new Set();
    this.disposed = false;
    this.settling = null;
  }

  /** Calls back at every change of frame or state. */
  watch(callback) {
    this.watchers.add(callback);
    callback();
  }

  tell() {
    for (const callback of this.watchers) callback();
  }

  /** Stand still at frame k. Resolves when all clips show it. */
  async seek(k) {
    this.pause();
    this.frame = Math.min(Math.max(Math.round(k), 0), this.frames - 1);
    this.tell();
    this.settling ??= this.settle().finally(() => (this.settling = null));
    await this.settling;
  }

  /** One search at a time; while it runs only the newest wish is kept. */
  async settle() {
    while (this.shown !== this.frame && !this.disposed) {
      const k = this.frame;
      await Promise.all(this.clips.map((one) => findTime(one, (k + 0.5) / this.fps)));
      this.shown = k;
    }
    this.tell();
  }

  async play() {
    if (this.frame >= this.frames - 1) await this.seek(0);
    await this.settling;
    if (this.disposed || this.playing) return;
    this.playing = true;
    this.shown = -1;
    await Promise.all(this.clips.map((one) => one.play())).catch(() => this.pause());
    if (this.playing) this.tick();
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    cancelAnimationFrame(this.ticket);
    for (const one of this.clips) one.pause();
    this.tell();
  }

  toggle() {
    if (this.playing) this.seek(this.frame);
    else this.play();
  }

  tick() {
    const [leader, ...others] = this.clips;
    const atEnd = leader.ended || leader.currentTime >= this.frames / this.fps;
    if (atEnd) return this.turn();
    if (leader.paused) return this.seek(this.frame); // taken out of the page, or by the browser
    for (const one of others) follow(one, leader, this.fps, this.speed);
    leader.playbackRate = this.speed;
    const frame = Math.min(Math.floor(leader.currentTime * this.fps + 0.01), this.frames - 1);
    if (frame !== this.frame) {
      this.frame = frame;
      this.tell();
    }
    this.ticket = requestAnimationFrame(() => this.tick());
  }

  /** At the end: from the beginning, or stand still at the last frame. */
  async turn() {
    await this.seek(this.loop ? 0 : this.frames - 1);
    if (this.loop) await this.play();
  }

  dispose() {
    this.pause();
    this.disposed = true;
    this.watchers.clear();
    for (const one of this.clips) {
      one.removeAttribute("src"); // gives the decoder back at once
      one.load();
    }
  }
}

function findTime(video, time) {
  if (!video.seeking && Math.abs(video.currentTime - time) < 1e-4) return Promise.resolve();
  return new Promise((resolve) => {
    for (const end of ["seeked", "error", "emptied"])
      video.addEventListener(end, resolve, { once: true });
    video.currentTime = time;
  });
}

function follow(video, leader, fps, speed) {
  const ahead = video.currentTime - leader.currentTime;
  if (Math.abs(ahead) > 1 / fps && !video.seeking) video.currentTime = leader.currentTime;
  if (video.paused && !video.ended) video.play().catch(() => {});
  video.playbackRate = speed * Math.min(Math.max(1 - ahead, 0.9), 1.1);
}
