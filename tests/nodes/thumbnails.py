"""Make the thumbnails of the workflows anew, after the model or the example has changed:

COMFYUI_DIR=/where/ComfyUI/is python -m tests.nodes.thumbnails

Runs every graph of the embedded model on a real server and puts what its player shows into one
picture: the character, the driver, and twice the result.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path

import av
from PIL import Image

from .real_server import ROOT, Server, comfyui_from_environment, running_server

logger = logging.getLogger(__name__)
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
    driver, result = frames(files["driving"]), frames(files["result"])
    cells = [Image.open(files["reference"]).convert("RGB"), at(driver, LOOKS[0])]
    cells += [at(result, look) for look in LOOKS]
    side = 2 * CELL + 3 * GAP
    picture = Image.new("RGB", (side, side), (24, 24, 28))
    for k, cell in enumerate(cells):
        corner = tuple(GAP + (CELL + GAP) * place for place in (k % 2, k // 2))
        picture.paste(cell.resize((CELL, CELL), Image.Resampling.LANCZOS), corner)
    return picture


def frames(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as video:
        return [frame.to_image() for frame in video.decode(video=0)]


def at(clip: list[Image.Image], part: float) -> Image.Image:
    return clip[round(part * (len(clip) - 1))]


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main()
