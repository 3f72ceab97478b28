"""``angioseg demo``: everything once: simulated cine -> DICOM -> server -> Slicer scene -> masks -> pictures."""

import shlex
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from angioseg.errors import AngioSegError
from angioseg.paths import RESULTS, slicer_dir

from .output import output_folder
from .progress import show_progress
from .speaking import clear_errors

__all__ = ["add_to"]

_FRAMES = 40


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(clear_errors(_demo))


def _demo(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where everything is written.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated cine.")] = 3,
    model: Annotated[Path | None, typer.Option(help="File of weights, instead of those that come along.")] = None,
) -> None:
    """Show everything once, on a simulated cine.

    Simulates a cine, segments it through the server into a Slicer scene, and writes the pictures.
    """
    with output_folder(out):
        _run(out, seed, model)


def _run(out: Path, seed: int, model: Path | None) -> None:
    """Write ``studies/`` (the cine, as the server sees it), the results, and ``scene/``, which Slicer opens."""
    from angioseg.cine import read_cine, write_label
    from angioseg.keyframes import FrameMeasure, KeyFrame
    from angioseg.metrics import dice
    from angioseg.pictures import save_frames_csv, save_key_frame, save_overlay_video
    from angioseg.serve import start_server
    from angioseg.simulation import simulate_clip, write_xa_dicom

    if not all(map(find_spec, ("monailabel", "slicer"))):
        raise AngioSegError('the server or the Slicer scene is not installed: pip install "angioseg[server,scene]"')
    import slicer

    sys.path.insert(0, str(slicer_dir()))
    from AngioSegLib.cine import createCine
    from AngioSegLib.client import Client
    from AngioSegLib.clipSegmenter import ClipSegmenter
    from AngioSegLib.errors import AngioSegLibError
    from AngioSegLib.scene import createScene, saveScene
    from AngioSegLib.segmentation import createSegmentation

    typer.echo(f"1. Simulating a cine of {_FRAMES} frames (seed {seed}) ...")
    clip = simulate_clip(seed, frames=_FRAMES)
    studies = out / "studies"
    studies.mkdir(exist_ok=True)
    name = f"simulated_{seed}"
    path = studies / f"{name}.dcm"
    write_xa_dicom(path, clip)
    cine = read_cine(path)

    typer.echo("2. Starting the MONAI Label server on it ...")
    try:
        with start_server(studies, model=model) as url:
            typer.echo(f"3. Loading it into a Slicer scene and segmenting it through {url} ...")
            createScene()
            node = createCine(cine.frames, cine.times_ms, cine.spacing, cine.spacing_source, cine.name)
            segmentation = createSegmentation(node)
            segmenter = ClipSegmenter(node, Client(url), segmentation)
            start = time.perf_counter()
            with show_progress("segmenting") as progress:
                key_frames = [KeyFrame(**key_frame) for key_frame in segmenter.run(progress)]
            seconds = (time.perf_counter() - start) / _FRAMES
            segmenter.close()
        typer.echo("4. Saving the scene ...")
        scene = saveScene(slicer.mrmlScene, out / "scene")
    except AngioSegLibError as error:
        raise AngioSegError(str(error)) from error

    typer.echo("5. Writing masks, pictures and numbers ...")
    mask = segmentation.mask()
    measures = [FrameMeasure(**segmenter.measures[frame]) for frame in sorted(segmenter.measures)]
    files = {kind: out / f"{name}{ending}" for kind, ending in RESULTS.items()}
    write_label(files["seg"], mask, cine, segmentation.segmentedFrames())
    save_frames_csv(files["frames"], measures, key_frames, cine)
    save_key_frame(files["keyframe"], cine, mask, key_frames, measures)
    save_overlay_video(files["overlay"], cine, mask, key_frames, segmentation.segmentedFrames())

    typer.echo()
    typer.echo(f"Vessel Dice against the simulated truth, all {_FRAMES} frames: {dice(mask, clip.vessels):.3f}")
    typer.echo(f"Time per frame, over HTTP: {seconds:.2f} s")
    if key_frames:
        area = clip.vessels.sum((1, 2), dtype=int)
        share = area[key_frames[0].frame] / area[clip.best_frame]
        typer.echo(f"Key frame: {key_frames[0].frame}. {key_frames[0].why}")
        typer.echo(f"By the truth it shows {share:.0%} of the vessel pixels of the fullest frame, {clip.best_frame}")
    else:
        typer.echo("Key frame: none, no vessel was found")
    typer.echo(f"Pictures: {files['keyframe']}, {files['overlay']}")
    typer.echo(f"In 3D Slicer: open {scene} (views black? click the eye beside the cine in the Data module)")
    typer.echo(
        f"To serve it to Slicer's MONAI Label module: angioseg serve --studies {shlex.quote(str(studies))}, then http://127.0.0.1:8000"
    )
