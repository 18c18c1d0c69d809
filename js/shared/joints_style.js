/** Looks of the joints on their picture, beside those of all widgets. */

let made = null;

/** The style sheet, made when it is first asked for. */
export function sheet() {
  if (made) return made;
  made = new CSSStyleSheet();
  made.replaceSync(`
    .joints canvas { flex: 1 1 0; min-height: 0; width: 100%; border-radius: 8px; outline: none;
      background: color-mix(in srgb, var(--input-text, #ddd) 7%, transparent);
      touch-action: none; }
    .joints canvas:focus-visible { outline: 2px solid var(--p-primary-color, #4a9eff);
      outline-offset: -2px; }
    .tools { flex: none; display: flex; flex-wrap: wrap; gap: 4px; }
    .tools .bar select { width: auto; padding: 0 4px; max-width: 14em; text-align: left;
      text-align-last: left; color: var(--input-text, #ddd); }
    .tools .bar button:first-child { color: var(--descrip-text, #999); }
    .tools .bar button[aria-pressed="true"] { color: var(--input-text, #ddd); }
    .tools .size { width: 64px; margin: 0 4px; accent-color: var(--p-primary-color, #4a9eff); }
    .tools .size:disabled { opacity: .35; }
    .said { flex: none; padding: 0 4px; min-height: 1.3em; color: var(--descrip-text, #999);
      overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  `);
  return made;
}
