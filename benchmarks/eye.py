"""How far the small model's broad eye is off, and how far its confidence can be believed.

    python benchmarks/eye.py [--base mini] [--bodies FOLDER] [--media FOLDER] [--own] [--fit]

With --own the network's eye. Pictures of the test split, that no eye has learned from: puppets,
rigged bodies (--bodies, a folder of GLB files), both in other styles, people (--media, pictures and
clips; their joints are those of BlazePose) and pictures of nothing. Prints how far joints are off
and how well bodies are told from the scene; then what the eye's confidence says beside what is
true, and who passes CONFIDENT. With --fit, what fits these weights (told_by of the eye's own
config.json, TOLD_BY of mini/eye.py), from every other group of three pictures, tabled on the rest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


from dreamactor_core.train.mini.create import check_small, load_base
from dreamactor_core.train.mini.eye_figures import eye_figures
from dreamactor_core.train.mini.people import Media, read_media


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--base", default="mini", help="the model, a name or folder (mini)")
    parser.add_argument("--bodies", type=Path, metavar="FOLDER", help="rigged bodies, GLB files")
    parser.add_argument("--media", type=Path, metavar="FOLDER", help="pictures and clips of people")
    parser.add_argument("--count", type=int, default=40, help="clips of each kind (40)")
    parser.add_argument("--own", action="store_true", help="of the eye that the network reads")
    parser.add_argument("--fit", action="store_true", help="fit confidence to these weights")
    args = parser.parse_args()
    media = read_media(args.media, "test") if args.media else Media([], [])
    backbone = check_small(load_base(args.base))
    eye = backbone.transformer.eye if args.own else backbone.broad_eye
    for line in eye_figures(backbone, eye, args.bodies, media, args.count, fit=args.fit):
        print(line, flush=True)


if __name__ == "__main__":
    main()
