"""Reading and writing X-ray angiography cines: DICOM, video, NRRD, NIfTI, MHA, folders of frames, pictures."""

from angioseg.cine.cine import Cine, CineError
from angioseg.cine.find import cines_in, is_cine
from angioseg.cine.read import read_cine
from angioseg.cine.saved import read_label, write_cine, write_label
from angioseg.cine.suffixes import CINE_SUFFIXES
from angioseg.cine.vessel import vessel_mask

__all__ = [
    "CINE_SUFFIXES",
    "Cine",
    "CineError",
    "CineReader",
    "cines_in",
    "is_cine",
    "read_cine",
    "read_label",
    "vessel_mask",
    "write_cine",
    "write_label",
]


def __getattr__(name: str):
    # MONAI takes seconds to import: only who asks for the reader pays for it.
    if name == "CineReader":
        from angioseg.cine.reader import CineReader

        return CineReader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
