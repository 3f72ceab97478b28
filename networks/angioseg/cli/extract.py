"""``angioseg extract``: the frames of cines as pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from angioseg.errors import AngioSegError
from angioseg.paths import free_name

from .output import output_folder, staging_folder
from .progress import show_progress
from .speaking import clear_errors, counted, fail, note, warn

if TYPE_CHECKING:
    import numpy as np

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("extract")(clear_errors(_extract))


def _extract(
    cines: Annotated[list[Path], typer.Argument(metavar="CINE...", help="DICOM, video, NRRD, or a folder of frames.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Where the clips' folders are written.")],
) -> None:
    """Write every frame of cines as lossless 8-bit PNG.

    One folder a clip: DIR/NAME/images/frame_0000.png. 8-bit cines are written unchanged. Deeper ones are mapped from
    the whole clip's range to 0 to 255.
    """
    failed = False
    written: dict[str, int] = {}
    try:
        with output_folder(out), show_progress("extracting") as progress:
            for number, path in enumerate(cines, start=1):
                try:
                    _extract_one(path, out, written, progress if len(cines) == 1 else None)
                except AngioSegError as error:
                    fail(error)
                    failed = True
                if len(cines) > 1:
                    progress(number, len(cines))
    finally:
        # Not while the bar is on the terminal.
        for name, count in written.items():
            typer.echo(f"{out / name}: {counted(count, 'frame')}")
    if failed:
        raise typer.Exit(1)


def _extract_one(path: Path, out: Path, written: dict[str, int], progress: Callable[[int, int], None] | None) -> None:
    from PIL import Image

    from angioseg.cine import read_cine

    cine = read_cine(path)
    for warning in cine.warnings:
        warn(f"{path}: {warning}")
    name = free_name(cine.name, {other.lower() for other in written})
    folder = out / name
    if folder.exists():
        raise AngioSegError(f"{folder}: is already there; remove it or give another folder.")
    window = _window(cine.frames)
    if window is not None:
        note(f"{path}: grey levels {window[0]} to {window[1]}, the whole clip's, were mapped to 0 to 255")
    with staging_folder(out) as stage:
        images = stage / name / "images"
        images.mkdir(parents=True)
        for index, frame in enumerate(cine.frames):
            Image.fromarray(_to_8_bit(frame, window)).save(images / f"frame_{index:04d}.png", compress_level=3)
            if progress is not None:
                progress(index + 1, cine.num_frames)
    written[name] = cine.num_frames


def _window(frames: "np.ndarray") -> tuple[int, int] | None:
    """The clip's lowest and highest grey level; None where they fit into 8 bits as they are."""
    low, high = int(frames.min()), int(frames.max())
    return None if low >= 0 and high <= 255 else (low, high)


def _to_8_bit(frame: "np.ndarray", window: tuple[int, int] | None) -> "np.ndarray":
    if window is None:
        return frame.astype("uint8")
    low, high = window
    return ((frame.astype("float64") - low) * (255 / max(1, high - low))).round().astype("uint8")
