"""Real cines to look at: each run as a strip over time and its first three key frames, masks drawn in.

    uv run python tests/benchmarks/real_cines.py CINES_DIR -o OUT [--model model.pt] [--strip 6]

CINES_DIR holds a folder a run with its pictures in ``frames``, and may hold ``keyframes.json``: run -> {"keyframes":
[frame numbers from 0]}, a published selection. Writes strips.png and key_frames.png into OUT and prints how often the
key frames fall into that selection.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from angioseg.errors import AngioSegError
from angioseg.panels import draw_panels
from angioseg.pictures import draw_frame, grey_window
from angioseg.segmentation import Segmenter
from PIL import Image

CHOICES = 3


def main() -> None:
    """Segment every run and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cines", type=Path, metavar="CINES_DIR")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="file of weights; those that ship when left out")
    parser.add_argument("--strip", type=int, default=6, help="frames of a strip")
    arguments = parser.parse_args()
    published = arguments.cines / "keyframes.json"
    published = json.loads(published.read_text(encoding="utf-8")) if published.is_file() else {}
    arguments.out.mkdir(parents=True, exist_ok=True)
    strips, keys, within, judged = [], [], 0, 0
    try:
        segmenter = Segmenter(model=arguments.model)
        for run in sorted(path for path in arguments.cines.iterdir() if (path / "frames").is_dir()):
            result = segmenter(run / "frames")
            frames, window = result.cine.frames, grey_window(result.cine.frames)

            def draw(
                numbers: list[int], frames: np.ndarray = frames, mask: np.ndarray = result.mask, window: tuple = window
            ) -> list[Image.Image]:
                return [draw_frame(frames[number], mask[number], window) for number in numbers]

            even = np.linspace(0, len(frames) - 1, arguments.strip).round().astype(int).tolist()
            chosen = [key.frame for key in result.key_frames[:CHOICES]]
            selection = published.get(run.name, {}).get("keyframes", [])
            strips.append((f"{run.name}: frames {', '.join(map(str, even))}", draw(even)))
            caption = f"{run.name}: frames {', '.join(map(str, chosen))} of {len(frames)}"
            if selection:
                hits = [frame for frame in chosen if frame in selection]
                within, judged = within + len(hits), judged + len(chosen)
                caption += f"; published {selection[0]} to {selection[-1]}"
            keys.append((caption, draw(chosen)))
            print(caption, flush=True)
        if not keys:
            raise AngioSegError(f"{arguments.cines}: holds no run; give a folder of RUN/frames.")
    except AngioSegError as error:
        sys.exit(f"error: {error}")
    draw_panels([""] * arguments.strip, strips).save(arguments.out / "strips.png")
    draw_panels([f"choice {n + 1}" for n in range(CHOICES)], keys).save(arguments.out / "key_frames.png")
    if judged:
        print(f"{within} of {judged} key frames lie in the published selections")


if __name__ == "__main__":
    main()
