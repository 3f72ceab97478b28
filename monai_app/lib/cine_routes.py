"""Endpoints that do for a client what it cannot do itself: decode, draw, simulate. Nothing stays on the disk."""

import shutil
import tempfile
import zipfile
from pathlib import Path

from angioseg.cine import Cine, read_cine, write_cine
from angioseg.errors import AngioSegError
from angioseg.keyframes import measure_frames, rank_key_frames
from angioseg.pictures import save_overlay_video
from angioseg.simulation import simulate_clip, write_xa_dicom
from fastapi import APIRouter, Depends, HTTPException, Response, UploadFile
from monailabel.config import RBAC_USER, settings
from monailabel.endpoints.user.auth import RBAC, User

from lib.label_files import label_suffix
from lib.labels import read_mask
from lib.options import check_options
from lib.sessions import unzip

__all__ = ["cine_routes", "nrrd_response"]

_USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
_SAMPLE_FRAMES = 30
_LARGEST_SEED = 2**32 - 1


def cine_routes(app) -> APIRouter:
    """``/angioseg/``.

    Args:
        app: has ``datastore()``, ``sessions()`` and ``cines``.
    """
    router = APIRouter(prefix="/angioseg", tags=["AngioSeg"])

    @router.post("/decode", summary=f"{RBAC_USER}Turn any cine, or a zip of frames, into an NRRD with its times")
    def decode(file: UploadFile, user: User = _USER):
        with tempfile.TemporaryDirectory() as folder:
            path = _received(file, folder, "cine")
            try:
                cine = read_cine(_unpacked(path, Path(folder, "unpacked")) if zipfile.is_zipfile(path) else path)
            except AngioSegError as error:
                raise HTTPException(400, str(error).replace(f"{path.parent}/", "").replace(f"{folder}/", "")) from error
        return nrrd_response(cine, _view(cine))

    @router.get("/cine", summary=f"{RBAC_USER}A cine of the studies folder, whatever its form, as decode gives it")
    def cine(image: str, user: User = _USER):
        found = app.datastore().read_image(image)
        return nrrd_response(found, _view(found))

    @router.post("/overlay", summary=f"{RBAC_USER}Draw a mask over the cine of a session, as a video")
    def overlay(session_id: str, mask: UploadFile, user: User = _USER):
        sessions = app.sessions()
        session = sessions.get_session(session_id) if sessions is not None else None
        if session is None:
            raise HTTPException(404, "Unknown or expired session. Upload the cine again.")
        try:
            cine = app.cines.read(session.image)
        except AngioSegError as error:
            raise HTTPException(400, str(error).replace(session.image, "The cine")) from error
        with tempfile.TemporaryDirectory() as folder:
            path = _received(mask, folder, "mask.nrrd")
            if label_suffix(path.name) is None:
                path = path.rename(path.with_name("mask.nrrd"))
            label = read_mask(str(path), cine)
            keys = rank_key_frames(measure_frames(cine.frames, label.mask, cine.times_ms, label.frames))
            video = Path(folder, "overlay.mp4")
            save_overlay_video(video, cine, label.mask, keys, label.frames)
            return Response(video.read_bytes(), media_type="video/mp4")

    @router.post("/sample", summary=f"{RBAC_USER}A simulated cine, to try things on")
    def sample(params: dict | None = None, user: User = _USER):
        check_options(params or {}, ("seed",))
        seed = (params or {}).get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed <= _LARGEST_SEED:
            raise HTTPException(400, f"`seed` must be a whole number from 0 to {_LARGEST_SEED}.")
        with tempfile.TemporaryDirectory() as folder:
            path = write_xa_dicom(Path(folder, "sample.dcm"), simulate_clip(seed, frames=_SAMPLE_FRAMES))
            return nrrd_response(read_cine(path), f"simulated {seed}")

    return router


def _received(upload: UploadFile, folder: str, name: str) -> Path:
    # Only the last part: a name such as ../x is not followed.
    path = Path(folder, "received", Path(upload.filename or name).name or name)
    path.parent.mkdir()
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)
    return path


def _unpacked(archive: Path, folder: Path) -> Path:
    """What an archive holds: its folder of frames, however deep it lies, or its one file."""
    unzip(archive, folder)
    while folder.is_dir():
        inside = [path for path in folder.iterdir() if path.name != "__MACOSX" and not path.name.startswith(".")]
        if len(inside) != 1:
            break
        folder = inside[0]
    return folder


def nrrd_response(cine: Cine, name: str) -> Response:
    """A cine as an NRRD with its times, under a name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "answer.nrrd")
        write_cine(path, cine, name)
        return Response(path.read_bytes(), media_type="application/octet-stream")


def _view(cine: Cine) -> str:
    """A name that says what cardiologists call a run by, and nothing of the file's name: that can be a patient's."""
    angles = [cine.meta.get(key) for key in ("primary_angle", "secondary_angle")]
    if None in angles:
        return "cine"
    primary, secondary = (round(angle) for angle in angles)
    return f"{'RAO' if primary < 0 else 'LAO'} {abs(primary)} {'CAU' if secondary < 0 else 'CRA'} {abs(secondary)}"
