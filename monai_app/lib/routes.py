"""Endpoints in place of the platform's, with its paths and replies, where the platform's cannot do what cines need."""

import os
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import FileResponse
from monailabel.config import RBAC_ADMIN, RBAC_ANNOTATOR, RBAC_USER, settings
from monailabel.endpoints.datastore import download_image
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType

from lib.cine_routes import nrrd_response

__all__ = ["batch_routes", "dataset_routes", "log_routes", "scoring_routes", "train_routes"]

_USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
_ANNOTATOR = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
_ADMIN = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))


def train_routes(app) -> APIRouter:
    """``/train/``.

    The platform's own starts whatever is asked, tells only what a training prints, and stops it by killing it.

    Args:
        app: has ``start_training`` and ``trainings``.
    """
    router = _run_routes("/train", "/", "Train", app.trainings, "Training", RBAC_ADMIN, _ADMIN)

    @router.post("/{model}", summary=f"{RBAC_ADMIN}Run Training Task for specific model")
    def start(model: str, params: dict | None = None, run_sync: bool = False, user: User = _ADMIN):
        task = app.start_training(model, params or {})
        return app.trainings.wait(task["id"]) if run_sync else task

    return router


def scoring_routes(app) -> APIRouter:
    """``/scoring/``.

    The platform's own starts a second server process, with a model of its own, for every run.

    Args:
        app: has ``start_scoring`` and ``scorings``.
    """
    router = _run_routes("/scoring", "/", "Scoring", app.scorings, "Scoring", RBAC_ANNOTATOR, _ANNOTATOR)

    @router.post("/{method}", summary=f"{RBAC_ANNOTATOR}Run Scoring Task for specific method")
    def start(method: str, params: dict | None = None, run_sync: bool = False, user: User = _ANNOTATOR):
        task = app.start_scoring(method, params or {})
        return app.scorings.wait(task["id"]) if run_sync else task

    return router


def batch_routes(app) -> APIRouter:
    """``/batch/infer``.

    The platform's own starts a second server process, with a model of its own, for every run.

    Args:
        app: has ``start_batch`` and ``batches``.
    """
    router = _run_routes("/batch", "/infer", "Infer", app.batches, "Batch Inference", RBAC_ADMIN, _ADMIN)

    @router.post("/infer/{model}", summary=f"{RBAC_ADMIN}Run Batch Inference Task")
    def start(
        model: str,
        images: BatchInferImageType = BatchInferImageType.IMAGES_ALL,
        params: dict | None = None,
        run_sync: bool = False,
        user: User = _ADMIN,
    ):
        task = app.start_batch(model, images, params or {})
        return app.batches.wait(task["id"]) if run_sync else task

    return router


def dataset_routes(app) -> APIRouter:
    """``/datastore/dataset`` and ``/datastore/image``.

    The platform's own leaves a copy of the patients' images in the temporary folder every time, and has no answer where
    an image is a folder of frames.

    Args:
        app: has ``datastore()``.
    """
    router = APIRouter(prefix="/datastore", tags=["Datastore"], responses={404: {"description": "Not found"}})

    @router.get("/dataset", summary=f"{RBAC_ANNOTATOR}Download full dataset as ZIP archive")
    def dataset(limit_cases: Annotated[int | None, Query(ge=1)] = None, user: User = _ANNOTATOR):
        path = app.datastore().get_dataset_archive(limit_cases)
        return _OnceOnly(path, media_type="application/zip", filename="dataset.zip")

    @router.get("/image", summary=f"{RBAC_USER}Download Image; a folder of frames as one NRRD")
    def image(image: str, user: User = _USER):
        if os.path.isdir(app.datastore().get_image_uri(image)):
            return nrrd_response(app.datastore().read_image(image), image)
        return download_image(image)

    return router


class _OnceOnly(FileResponse):
    """A file that is gone when it is sent, or when its client has hung up."""

    async def __call__(self, scope, receive, send):
        try:
            await super().__call__(scope, receive, send)
        finally:
            Path(self.path).unlink(missing_ok=True)


def log_routes() -> APIRouter:
    """``/logs/``: what the platform offers there is a file that this server does not write."""
    router = APIRouter(prefix="/logs", tags=["Others"], responses={404: {"description": "Not found"}})

    @router.get("/", summary=f"{RBAC_ADMIN}Get Logs")
    @router.get("/gpu", summary=f"{RBAC_ADMIN}Get GPU Info")
    def logs(user: User = _ADMIN):
        raise HTTPException(404, "The log is what the server prints where it was started; it is not given over HTTP.")

    return router


def _run_routes(prefix: str, path: str, tag: str, runs, what: str, role: str, may_stop) -> APIRouter:
    """A router that tells of runs and stops them: alike for all kinds, they differ in how one is started."""
    router = APIRouter(prefix=prefix, tags=[tag], responses={404: {"description": "Not found"}})

    @router.get(path, summary=f"{RBAC_USER}Get Status of {what} Task")
    def status(all: bool = False, check_if_running: bool = False, user: User = _USER):
        tasks = runs.status(check_if_running)
        if not tasks:
            name = what.lower()
            raise HTTPException(404, f"No {name} is running." if check_if_running else f"There was no {name} so far.")
        return tasks if all else tasks[-1]

    @router.delete(path, summary=f"{role}Stop {what} Task")
    def stop(user: User = may_stop):
        return runs.stop()

    return router
