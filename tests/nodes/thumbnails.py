"""Make the thumbnails of the workflows anew, after the model or the example has changed:

COMFYUI_DIR=/where/ComfyUI/is python -m tests.nodes.thumbnails

Runs every graph of the embedded model on a real server and puts what its player shows into one
picture: the character, the driver, and twice the result. What asks for a picture and a clip of
one's own gets a scribble with its joints placed, and the clip of the example.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from dreamactor_core.media import write_video
from dreamactor_core.puppets.example import example
from dreamactor_core.puppets.world import FPS

from .real_server import ROOT, Server, comfyui_from_environment, running_server

logger = logging.getLogger(__name__)
SEED = 13  # of the example whose clip drives it
SIDE, LINE, LIMB, SKULL = 512, 7, 52, 66  # pixels of the scribble: its pen, its limbs, its head
PAPER, PEN, FILL, BUTTON = (244, 240, 228), (38, 44, 110), (250, 214, 150), (226, 92, 84)
HEAD = (256, 110)
JOINTS = [
    *((256, 118), (256, 198)),  # nose, neck
    *((214, 214), (158, 262), (110, 318), (298, 214), (354, 262), (402, 318)),  # arms
    *((226, 326), (214, 398), (206, 466), (286, 326), (298, 398), (306, 466)),  # legs
    *((232, 98), (280, 98), (194, 108), (318, 108)),  # eyes, ears
]
CELL, GAP = 250, 4  # pixels: the picture is square, for the host shows the middle of any other
LOOKS = (0.3, 0.75)  # parts of the clip


def main() -> None:
    host = comfyui_from_environment()
    if host is None:
        raise SystemExit("Set COMFYUI_DIR to the folder of a ComfyUI, then run this again.")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        with running_server(*host, base) as server:
            for path in sorted((ROOT / "tests" / "nodes" / "api").glob("*.json")):
                prompt = json.loads(path.read_text(encoding="utf-8"))
                loaders = [n for n in prompt.values() if n["class_type"] == "DreamActorLoadModel"]
                if not loaders or "embedded" not in loaders[0]["inputs"]["model"]:
                    continue  # it needs a model that somebody must download first
                if "LoadImage" in {node["class_type"] for node in prompt.values()}:
                    own_material(prompt, base / "input")
                target = ROOT / "workflows" / f"{path.stem}.jpg"
                thumbnail(server, prompt, base).save(target, quality=88)
                logger.info("%s, %d bytes", target.name, target.stat().st_size)


def thumbnail(server: Server, prompt: dict, folder: Path) -> Image.Image:
    outcome = server.run(prompt)
    assert outcome.kind == "execution_success", outcome.last
    (shown,) = (
        output["dreamactor_player"][0]
        for output in outcome.outputs.values()
        if "dreamactor_player" in output
    )
    files = {name: server.fetch(shown[name], folder) for name in ("reference", "driving", "result")}
    return contact_sheet(**files)


def contact_sheet(reference: Path, driving: Path, result: Path) -> Image.Image:
    """The picture, the driver, and twice the result."""
    driver, made = frames(driving), frames(result)
    cells = [Image.open(reference).convert("RGB"), at(driver, LOOKS[0])]
    cells += [at(made, look) for look in LOOKS]
    side = 2 * CELL + 3 * GAP
    picture = Image.new("RGB", (side, side), (24, 24, 28))
    for k, cell in enumerate(cells):
        corner = tuple(GAP + (CELL + GAP) * place for place in (k % 2, k // 2))
        picture.paste(cell.resize((CELL, CELL), Image.Resampling.LANCZOS), corner)
    return picture


def own_material(prompt: dict, folder: Path) -> None:
    """Put a scribble and a clip into the input folder, and the scribble's joints into the graph."""
    picture, joints = scribble()
    picture.save(folder / "scribble.png")
    _, driving, _, _ = example(SEED)
    write_video(folder / "driver.mp4", driving, FPS)
    kinds = {node["class_type"]: key for key, node in prompt.items()}
    prompt[kinds["LoadImage"]]["inputs"]["image"] = "scribble.png"
    prompt[kinds["LoadVideo"]]["inputs"]["file"] = "driver.mp4"
    value = json.dumps({"version": 1, "bodies": [joints], "strokes": []})
    image = [kinds["LoadImage"], 0]
    inputs = {"image": image, "joints": value}
    prompt["joints"] = {"class_type": "DreamActorJoints", "inputs": inputs}
    guides = {"reference_keypoints": ["joints", 0], "reference_mask": ["joints", 1]}
    prompt[kinds["DreamActorAnimate"]]["inputs"] |= guides


def scribble() -> tuple[Image.Image, list]:
    """A figure drawn with a felt pen on paper, and its joints in shares of the picture."""
    paper = np.full((SIDE, SIDE, 3), PAPER, np.uint8)
    joints = np.array(JOINTS)
    limbs = [[0, 1], [2, 3, 4], [5, 6, 7], [8, 9, 10], [11, 12, 13], [2, 5, 11, 8, 2]]
    for colour, grown in ((PEN, 0), (FILL, 2 * LINE)):  # a thick line, then a thinner one in it
        for limb in limbs:
            cv2.polylines(paper, [joints[limb]], False, colour, LIMB - grown, cv2.LINE_AA)
        cv2.circle(paper, HEAD, SKULL - grown // 2, colour, cv2.FILLED, cv2.LINE_AA)
    cv2.fillPoly(paper, [joints[limbs[-1]]], FILL, cv2.LINE_AA)
    for y in (232, 272):
        cv2.circle(paper, (HEAD[0], y), LINE, BUTTON, cv2.FILLED, cv2.LINE_AA)
    for eye in joints[14:16]:
        cv2.circle(paper, eye.tolist(), LINE, PEN, cv2.FILLED, cv2.LINE_AA)
    cv2.ellipse(paper, HEAD, (28, 26), 0, 20, 160, PEN, LINE, cv2.LINE_AA)
    return Image.fromarray(paper), (joints / SIDE).round(4).tolist()


def frames(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as video:
        return [frame.to_image() for frame in video.decode(video=0)]


def at(clip: list[Image.Image], part: float) -> Image.Image:
    return clip[round(part * (len(clip) - 1))]


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main()
