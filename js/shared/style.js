/** Looks of all widgets, in the colours of the theme that is set in ComfyUI. */

let made = null;

/** The one style sheet, made when it is first asked for. */
export function sheet() {
  if (made) return made;
  made = new CSSStyleSheet();
  made.replaceSync(`
    :host { display: block; position: relative; width: 100%; height: 100%; box-sizing: border-box; overflow: hidden;
      color: var(--input-text, #ddd); font: 12px/1.3 Inter, system-ui, sans-serif; }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    p { margin: 0; height: 100%; min-height: 40px; display: grid; place-content: center;
      text-align: center; text-wrap: balance; padding: 6px 14px; border-radius: 8px;
      color: var(--descrip-text, #999); border: 1px dashed var(--border-color, #555); }
    p.failed { color: var(--error-text, #ff6b6b); border: 1px solid currentColor; user-select: text;
      overflow: auto; text-wrap: wrap; }
    p.failed:not([hidden]) + * { display: none; } /* why stands where the result would be */
    .words { position: absolute; inset: 6px 6px auto auto; padding: 2px 10px; border-radius: 9px;
      font-variant-numeric: tabular-nums; color: #fff; background: rgb(0 0 0 / 65%); }
    p:has(+ .words:not([hidden])) { color: transparent; } /* they may lie over the invitation */
    .stage { height: 100%; display: flex; flex-direction: column; gap: 6px; outline: none; }
    .read { flex: none; color: var(--descrip-text, #999); user-select: text; }
    .read.note { color: var(--input-text, #ddd); }
    .panels { flex: 1 1 0; min-height: 0; display: grid; gap: 6px; grid-auto-flow: column;
      grid-auto-columns: minmax(0, 1fr); }
    .cell { container-type: size; display: grid; place-content: center; min-width: 0; }
    .cell:first-child:not(:only-child) { justify-content: end; } /* pictures keep together */
    .cell:last-child:not(:only-child) { justify-content: start; }
    .frame { position: relative; aspect-ratio: var(--aspect, 1); overflow: hidden;
      width: min(100cqw, 100cqh * var(--aspect, 1)); border-radius: 6px; }
    .frame > * { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
    .frame > img { object-fit: contain; background: #000; }
    .frame > video { object-fit: fill; } /* the frame has its aspect; contain leaves a thin edge */
    .frame > .tag { inset: auto auto 5px 5px; width: auto; height: auto; padding: 1px 7px;
      border-radius: 9px; font-size: 10px; color: #fff; background: rgb(0 0 0 / 50%);
      transition: opacity .15s; }
    .frame > .tag.right { inset: auto 5px 5px auto; }
    .frame:hover > .tag { opacity: 0; }
    .stage:focus-visible .panels { outline: 2px solid var(--p-primary-color, #4a9eff);
      outline-offset: 1px; border-radius: 6px; }

    .wiping .result-frame video { clip-path: inset(0 0 0 var(--wipe, 50%)); }
    .wiping .result-frame video.driving { clip-path: none; }
    .frame > .line { left: var(--wipe, 50%); width: 2px; margin-left: -1px; background: #fff;
      box-shadow: 0 0 4px rgb(0 0 0 / 70%); }
    .line::after { content: "‹ ›"; position: absolute; top: 50%; left: 50%; width: 26px;
      height: 26px; translate: -50% -50%; border-radius: 50%; background: #fff; color: #222;
      font: bold 15px/24px system-ui, sans-serif; text-align: center; letter-spacing: -1px;
      box-shadow: 0 1px 5px rgb(0 0 0 / 55%); }
    .frame > .wipe { margin: 0; opacity: 0; cursor: ew-resize; appearance: none;
      pointer-events: auto; }
    .wipe::-webkit-slider-thumb { appearance: none; width: 2px; height: 100%; }
    .wipe::-moz-range-thumb { width: 2px; height: 100%; border: 0; }
    .wipe:focus-visible + .line::after { outline: 2px solid var(--p-primary-color, #4a9eff);
      outline-offset: 2px; }

    .bar { flex: none; display: flex; align-items: center; gap: 2px; height: 28px; padding: 0 3px;
      border-radius: 8px;
      background: color-mix(in srgb, var(--input-text, #ddd) 9%, transparent); }
    .bar button, .bar select { flex: none; height: 22px; border: 0; border-radius: 6px; padding: 0;
      background: none; color: var(--descrip-text, #999); font: inherit; cursor: pointer; }
    .bar button { width: 24px; display: grid; place-content: center; }
    .bar button:first-child, .bar button[aria-pressed="true"] { color: var(--input-text, #ddd); }
    .bar button[aria-pressed="true"] {
      background: color-mix(in srgb, var(--input-text, #ddd) 16%, transparent); }
    .bar button:hover:enabled, .bar select:hover { color: var(--input-text, #ddd);
      background: color-mix(in srgb, var(--input-text, #ddd) 26%, transparent); }
    .bar button:disabled { opacity: .35; cursor: default; }
    .bar select option { color: #222; background: #fff; }
    .bar select { width: 46px; text-align: center; appearance: none; text-align-last: center; }
    .bar :focus-visible { outline: 2px solid var(--p-primary-color, #4a9eff);
      outline-offset: -1px; }
    .count { flex: none; min-width: 5.2em; text-align: center; font-variant-numeric: tabular-nums;
      color: var(--input-text, #ddd); white-space: nowrap; }
    .track { position: relative; flex: 1 1 0; min-width: 40px; height: 22px; }
    .track input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0;
      appearance: none; background: none; cursor: pointer; }
    .track input::-webkit-slider-runnable-track { height: 4px; border-radius: 2px;
      background: linear-gradient(var(--p-primary-color, #4a9eff) 0 0) 0 / var(--at) 100% no-repeat,
        color-mix(in srgb, var(--input-text, #ddd) 28%, transparent); }
    .track input::-moz-range-track { height: 4px; border-radius: 2px;
      background: color-mix(in srgb, var(--input-text, #ddd) 28%, transparent); }
    .track input::-moz-range-progress { height: 4px; background: var(--p-primary-color, #4a9eff); }
    .track input::-webkit-slider-thumb { appearance: none; width: 12px; height: 12px;
      margin-top: -4px; border-radius: 50%; background: var(--input-text, #ddd); }
    .track input::-moz-range-thumb { width: 12px; height: 12px; border: 0; border-radius: 50%;
      background: var(--input-text, #ddd); }
    .mark { position: absolute; top: 4px; bottom: 4px; border-radius: 3px;
      background: repeating-linear-gradient(120deg,
        color-mix(in srgb, var(--input-text, #ddd) 34%, transparent) 0 3px, transparent 3px 6px); }
    .legend { flex: none; display: flex; flex-wrap: wrap; gap: 2px 14px; padding: 0 4px;
      color: var(--descrip-text, #999); }
    .legend b { display: inline-block; width: 10px; height: 10px; margin-right: 5px;
      border-radius: 3px; vertical-align: -1px; }
    .legend .mark { position: static; outline: 1px solid var(--descrip-text, #999); }
    .legend .now { margin-left: auto; color: var(--input-text, #ddd);
      font-variant-numeric: tabular-nums; }
  `);
  return made;
}
