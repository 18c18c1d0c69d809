/** Small pieces of a page. */

/** element("div", { className: "bar" }, child, ...); names with a dash or `role` are attributes. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

const ICONS = {
  play: "M5 3.5v11l9-5.5z",
  pause: "M5 3.5h3v11H5zM10 3.5h3v11h-3z",
  loop:
    "M4 6.5h8.2L10.6 4.9l1-1 3.3 3.3-3.3 3.3-1-1 1.6-1.6H5.4v2.6H4z" +
    "M14 11.5H5.8l1.6 1.6-1 1-3.3-3.3",
  sound:
    "M3 7v4h2.6L9 14.2V3.8L5.6 7z" +
    "M10.6 6.2v5.6a3 3 0 0 0 0-5.6zM10.6 3.4v1.5a4.3 4.3 0 0 1 0 8.2v1.5a5.7 5.7 0 0 0 0-11.2z",
  silent:
    "M3 7v4h2.6L9 14.2V3.8L5.6 7z" +
    "M10.6 7.2l1-1 1.7 1.8L15 6.2l1 1L14.3 9l1.7 1.8-1 1-1.7-1.8-1.7 1.8-1-1L12.3 9z",
  wipe: "M8.3 2h1.4v14H8.3zM2.5 4.5h5v1.4H3.9v6.2h3.6v1.4h-5zM10.5 4.5h5v9h-5z",
  mask: "M2.5 3.5h13v11h-13zM4 5v8h5V5z",
};

/** A round button. `pressed` makes it a switch; icon names one of ICONS. */
export function iconButton(icon, label, onclick, pressed) {
  const button = element("button", { type: "button", title: label, "aria-label": label, onclick });
  button.innerHTML =
    '<svg viewBox="0 0 18 18" width="16" height="16" aria-hidden="true">' +
    `<path fill="currentColor" fill-rule="evenodd" d="${ICONS[icon]}"/></svg>`;
  if (pressed !== undefined) button.setAttribute("aria-pressed", pressed);
  return button;
}

export function changeIcon(button, icon, label) {
  button.querySelector("path").setAttribute("d", ICONS[icon]);
  button.title = label;
  button.setAttribute("aria-label", label);
}
