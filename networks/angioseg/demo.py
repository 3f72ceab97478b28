"""Everything once, joined: simulated cine -> DICOM -> server -> Slicer scene -> masks -> key frame -> pictures."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

from .errors import AngioSegError
from .paths import RESULTS, slicer_dir

__all__ = ["run_demo"]

_FRAMES = 40


def run_demo(out: Path, seed: int = 3, model: Path | None = None, frames: int = _FRAMES) -> dict:
    """Run the whole way on a simulated cine and say what happens.

    Writes into ``out``: ``studies/`` (the cine as multi-frame XA DICOM, as the server sees it), ``NAME_seg.nrrd``,
    ``NAME_overlay.mp4``, ``NAME_keyframe.png``, ``NAME_frames.csv`` and ``scene/`` (a scene that 3D Slicer opens).

    Args:
        out: an existing folder.
        seed: of the cine. The weights were trained on seeds from 100,000 on.
        model: file of weights; the bundle's own when None.
        frames: of the cine.

    Returns:
        ``dice`` (against the simulated truth, over all frames), ``seconds_per_frame`` and ``key_frame``.

    Raises:
        AngioSegError: when the server or scene parts are not installed, or a step fails.
    """
    from .cine import read_cine, write_label
    from .cli.progress import show_progress
    from .keyframes import FrameMeasure, KeyFrame
    from .metrics import dice
    from .pictures import save_frames_csv, save_key_frame, save_overlay_video
    from .serve import start_server
    from .simulation import simulate_clip, write_xa_dicom

    try:
        import slicer
    except ImportError:
        raise AngioSegError('the Slicer scene is not installed: pip install "angioseg[scene]"') from None
    sys.path.insert(0, str(slicer_dir()))
    from AngioSegLib.cine import createCine
    from AngioSegLib.client import Client
    from AngioSegLib.clipSegmenter import ClipSegmenter
    from AngioSegLib.errors import AngioSegLibError
    from AngioSegLib.scene import createScene, saveScene
    from AngioSegLib.segmentation import createSegmentation

    print(f"1. Simulating a cine of {frames} frames (seed {seed}) ...")
    clip = simulate_clip(seed, frames=frames)
    studies = out / "studies"
    studies.mkdir(exist_ok=True)
    name = f"simulated_{seed}"
    path = studies / f"{name}.dcm"
    write_xa_dicom(path, clip)
    cine = read_cine(path)

    print("2. Starting the MONAI Label server on it ...")
    try:
        with start_server(studies, model=model) as url:
            print(f"3. Loading it into a Slicer scene and segmenting it through {url} ...")
            createScene()
            node = createCine(cine.frames, cine.times_ms, cine.spacing, cine.spacing_source, cine.name)
            segmentation = createSegmentation(node)
            segmenter = ClipSegmenter(node, Client(url), segmentation)
            start = time.perf_counter()
            with show_progress("segmenting") as progress:
                key_frames = [KeyFrame(**key_frame) for key_frame in segmenter.run(progress)]
            seconds = (time.perf_counter() - start) / frames
            segmenter.close()
        print("4. Saving the scene ...")
        scene = saveScene(slicer.mrmlScene, out / "scene")
    except AngioSegLibError as error:
        raise AngioSegError(str(error)) from error

    print("5. Writing masks, pictures and numbers ...")
    mask = segmentation.mask()
    measures = [FrameMeasure(**segmenter.measures[frame]) for frame in sorted(segmenter.measures)]
    files = {kind: out / f"{name}{ending}" for kind, ending in RESULTS.items()}
    write_label(files["seg"], mask, cine, segmentation.segmentedFrames())
    save_frames_csv(files["frames"], measures, key_frames, cine)
    save_key_frame(files["keyframe"], cine, mask, key_frames, measures)
    save_overlay_video(files["overlay"], cine, mask, key_frames, segmentation.segmentedFrames())

    result = {
        "dice": dice(mask, clip.vessels),
        "seconds_per_frame": seconds,
        "key_frame": key_frames[0].frame if key_frames else None,
    }
    print()
    print(f"Vessel Dice against the simulated truth, all {frames} frames: {result['dice']:.3f}")
    print(f"Time per frame, over HTTP: {seconds:.2f} s")
    if key_frames:
        area = clip.vessels.sum((1, 2), dtype=int)
        share = area[key_frames[0].frame] / area[clip.best_frame]
        print(f"Key frame: {key_frames[0].frame}. {key_frames[0].why}")
        print(f"By the truth it shows {share:.0%} of the vessel pixels of the fullest frame, {clip.best_frame}")
    else:
        print("Key frame: none, no vessel was found")
    print(f"Pictures: {files['keyframe']}, {files['overlay']}")
    print(f"In 3D Slicer: open {scene} (views black? click the eye beside the cine in the Data module)")
    print(
        f"To serve it to Slicer's MONAI Label module: angioseg serve --studies {shlex.quote(str(studies))}, then http://127.0.0.1:8000"
    )
    return result
