/** The page of `python -m dreamactor_core joints`: the widget, and a button that saves. */
import { element } from "./elements.js";
import { Joints } from "./joints.js";
import { say } from "./words.js";

/** Fill the page; the addresses beside it are told in pose/joints_page.py. */
export async function openPage() {
  const host = element("div", { className: "dreamactor", "data-dreamactor": "dreamactor_joints" });
  const told = element("output");
  const button = element("button", { type: "button", textContent: say("Save"), disabled: true });
  document.body.replaceChildren(element("header", {}, told, button), host);
  const joints = new Joints(host, () => {}, "…");
  host.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      joints.bar.zoom(1.1 ** (-event.deltaY / 50), event);
    },
    { passive: false },
  );
  button.onclick = async () => {
    button.disabled = true;
    told.textContent = await saved(joints.value.text).catch(() =>
      say("The command has ended: start it again."),
    );
    if (told.textContent !== say("Saved: you can close this page.")) button.disabled = false;
  };
  joints.findMask = async (value) =>
    URL.createObjectURL(await (await fetch("mask", { method: "POST", body: value })).blob());
  const { bodies, notes } = await (await fetch("start")).json();
  await joints.show({ picture: "picture", bodies, notes });
  button.disabled = false;
}

/** What is to be said: that it was saved, or why not. */
async function saved(text) {
  const answer = await fetch("save", { method: "POST", body: text });
  return answer.ok ? say("Saved: you can close this page.") : answer.text();
}
