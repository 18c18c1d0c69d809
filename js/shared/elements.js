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
  joints:
    "M9 1.8a2 2 0 1 1 0 4 2 2 0 0 1 0-4zM8.3 6h1.4v2.2l4.6 1.6-.5 1.3-4.1-1.4v1.4l3 4-1.1.9" +
    "L9 12.6l-2.6 3.4-1.1-.9 3-4V9.7l-4.1 1.4-.5-1.3 4.6-1.6z",
  brush:
    "M13.5 2.2l2.3 2.3-6.6 6.6-2.3-2.3zM6 9.8l2.2 2.2c-.3 2.6-2.4 3.6-6 3.6 1.8-1.2 1.2-5.3" +
    " 3.8-5.8z",
  rubber:
    "M10.6 3L15 7.4 8.4 14H15v1.4H5.6L2.6 12.4a1 1 0 0 1 0-1.4zM9.9 5.7L6.4 9.2l2.4 2.4 3.5" +
    "-3.5z",
  undo: "M6.5 4L2.5 7.6l4 3.6V8.4h4a2.6 2.6 0 0 1 0 5.2H6V15h4.5a4 4 0 0 0 0-8h-4z",
  redo: "M11.5 4l4 3.6-4 3.6V8.4h-4a2.6 2.6 0 0 0 0 5.2H12V15H7.5a4 4 0 0 1 0-8h4z",
  again: "M9 3a6 6 0 1 1-5.8 7.5l1.4-.4A4.5 4.5 0 1 0 6 5.7l1.8 1.8H3V2.7l2 2A6 6 0 0 1 9 3z",
  delete: "M6.5 2.5h5v1.3H15v1.4H3V3.8h3.5zM4.2 6.4h9.6l-.7 9.1H4.9z",
  lengths:
    "M3 7.6a1.9 1.9 0 0 1 3.7-.3h4.6a1.9 1.9 0 1 1 0 1.4H6.7A1.9 1.9 0 0 1 3 7.6zM2.5 13h13" +
    "v1.4h-13z",
  straight:
    "M3.2 13.4L13.4 3.2l1.4 1.4L4.6 14.8zM3.5 12.2a2 2 0 1 1 0 .1zM8 8.5a1.6 1.6 0 1 1 0 .1" +
    "z",
  mirror: "M8.3 2h1.4v14H8.3zM7 4.5v9H1.8zM11 4.5l5.2 9H11zM12.3 9.2V12H14z",
  swap: "M5.5 3L2 6.2l3.5 3.2V7h8V5.4h-8zM12.5 8.6L16 11.8 12.5 15v-2.4h-8V11h8z",
  more: "M8.2 3h1.6v5.2H15v1.6H9.8V15H8.2V9.8H3V8.2h5.2z",
  fewer: "M3 8.2h12v1.6H3z",
  closer:
    "M7.8 2.5a5.2 5.2 0 0 1 4.2 8.3l3.6 3.6-1.1 1.1-3.6-3.6A5.2 5.2 0 1 1 7.8 2.5zM7.8 4a3." +
    "7 3.7 0 1 0 0 7.4 3.7 3.7 0 0 0 0-7.4zM7.2 5.4h1.3v1.7h1.7v1.3H8.5v1.7H7.2V8.4H5.5V7.1" +
    "h1.7z",
  farther:
    "M7.8 2.5a5.2 5.2 0 0 1 4.2 8.3l3.6 3.6-1.1 1.1-3.6-3.6A5.2 5.2 0 1 1 7.8 2.5zM7.8 4a3." +
    "7 3.7 0 1 0 0 7.4 3.7 3.7 0 0 0 0-7.4zM5.5 7.1h4.7v1.3H5.5z",
  fit:
    "M2.5 2.5h5V4H4v3.5H2.5zM10.5 2.5h5v5H14V4h-3.5zM2.5 10.5H4V14h3.5v1.5h-5zM14 10.5h1.5v" +
    "5h-5V14H14z",
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
