"""``angioseg info``: what is known of a cine."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .speaking import clear_errors, printable

if TYPE_CHECKING:
    from angioseg.cine import Cine

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("info")(clear_errors(_info))


def _info(
    path: Annotated[Path, typer.Argument(metavar="CINE", help="DICOM, video, NRRD, or a folder of frames.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show size, frame times and pixel size of a cine.

    Each with where it comes from; nothing about the patient.
    """
    from angioseg.cine import read_cine

    cine = read_cine(path)
    if as_json:
        typer.echo(json.dumps(_facts(cine)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _rows(cine):
        table.add_row(label, Text(printable(value)))
    Console().print(table)


def _facts(cine: "Cine") -> dict:
    row, column = cine.spacing
    return {
        "name": cine.name,
        "num_frames": cine.num_frames,
        "rows": cine.shape[1],
        "columns": cine.shape[2],
        "dtype": str(cine.frames.dtype),
        "grey_levels": [int(cine.frames.min()), int(cine.frames.max())],
        "frame_times_ms": [round(float(t), 3) for t in cine.times_ms],
        "times_source": cine.times_source,
        "frames_per_second": _rate(cine),
        "pixel_size": {"row": row, "column": column, "source": cine.spacing_source},
        "meta": {key: value for key, value in cine.meta.items() if isinstance(value, str | int | float)},
        "warnings": list(cine.warnings),
    }


def _rate(cine: "Cine") -> float | None:
    duration = float(cine.times_ms[-1])
    return round(1000 * (cine.num_frames - 1) / duration, 3) if duration > 0 else None


def _rows(cine: "Cine") -> list[tuple[str, str]]:
    count, height, width = cine.shape
    meta = cine.meta
    rows = [
        ("cine", cine.name),
        ("frames", str(count)),
        ("size", f"{width} x {height} (columns x rows)"),
        ("grey levels", f"{cine.frames.min()} to {cine.frames.max()} ({cine.frames.dtype})"),
        ("frame times", _times(cine)),
        ("pixel size", _pixel_size(cine)),
    ]
    angles = [
        f"{names[meta[key] < 0]} {abs(meta[key]):g}"
        for key, names in (("primary_angle", ("LAO", "RAO")), ("secondary_angle", ("CRA", "CAU")))
        if isinstance(meta.get(key), int | float)
    ]
    optional = [
        ("projection", ", ".join(f"{angle} deg" for angle in angles)),
        ("source to detector", f"{meta['sid_mm']:g} mm" if "sid_mm" in meta else ""),
        ("source to patient", f"{meta['sod_mm']:g} mm" if "sod_mm" in meta else ""),
        ("made by", " ".join(str(meta[key]) for key in ("manufacturer", "model") if key in meta)),
        ("modality", meta.get("modality", "")),
        ("stored as", meta.get("transfer_syntax", "")),
    ]
    rows += [(label, value) for label, value in optional if value]
    return rows + [("warning", warning) for warning in cine.warnings]


def _times(cine: "Cine") -> str:
    rate = _rate(cine)
    if rate is None:
        return f"none ({cine.times_source})" if cine.num_frames > 1 else "one frame"
    return f"{rate:g} frames a second, {cine.times_ms[-1] / 1000:.2f} s from first to last ({cine.times_source})"


def _pixel_size(cine: "Cine") -> str:
    row, column = cine.spacing
    size = f"{column:.4g} x {row:.4g} mm"
    return {
        "calibrated": f"{size} (calibrated)",
        "imager": f"{size} at the detector; smaller in the patient",
        "unknown": "unknown",
    }[cine.spacing_source]
