"""Endpoints in place of the platform's, with its paths and replies, where the platform's cannot do what cines need."""

from fastapi import APIRouter, Depends, HTTPException
from monailabel.config import RBAC_ADMIN, RBAC_ANNOTATOR, RBAC_USER, settings
from monailabel.endpoints.user.auth import RBAC, User
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType

__all__ = ["batch_routes", "log_routes", "scoring_routes", "train_routes"]

_USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
_ANNOTATOR = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
_ADMIN = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN))


def train_routes(app) -> APIRouter:
    """``/train/``.

    The platform's own starts whatever is asked, tells only what a training prints, and stops it by killing it.

    Args:
        app: has ``start_training`` and ``trainings``.
    """
    router = APIRouter(prefix="/train", tags=["Train"], responses={404: {"description": "Not found"}})

    @router.get("/", summary=f"{RBAC_USER}Get Status of Training Task")
    def status(all: bool = False, check_if_running: bool = False, user: User = _USER):
        return _status(app.trainings, "training", all, check_if_running)

    @router.post("/{model}", summary=f"{RBAC_ADMIN}Run Training Task for specific model")
    def start(model: str, params: dict | None = None, run_sync: bool = False, user: User = _ADMIN):
        task = app.start_training(model, params or {})
        return app.trainings.wait(task["id"]) if run_sync else task

    @router.delete("/", summary=f"{RBAC_ADMIN}Stop Training Task")
    def stop(user: User = _ADMIN):
        return app.trainings.stop()

    return router


def scoring_routes(app) -> APIRouter:
    """``/scoring/``.

    The platform's own starts a second server process, with a model of its own, for every run.

    Args:
        app: has ``start_scoring`` and ``scorings``.
    """
    router = APIRouter(prefix="/scoring", tags=["Scoring"], responses={404: {"description": "Not found"}})

    @router.get("/", summary=f"{RBAC_USER}Get Status of Scoring Task")
    def status(all: bool = False, check_if_running: bool = False, user: User = _USER):
        return _status(app.scorings, "scoring", all, check_if_running)

    @router.post("/{method}", summary=f"{RBAC_ANNOTATOR}Run Scoring Task for specific method")
    def start(method: str, params: dict | None = None, run_sync: bool = False, user: User = _ANNOTATOR):
        task = app.start_scoring(method, params or {})
        return app.scorings.wait(task["id"]) if run_sync else task

    @router.delete("/", summary=f"{RBAC_ANNOTATOR}Stop Scoring Task")
    def stop(user: User = _ANNOTATOR):
        return app.scorings.stop()

    return router


def batch_routes(app) -> APIRouter:
    """``/batch/infer``.

    The platform's own starts a second server process, with a model of its own, for every run.

    Args:
        app: has ``start_batch`` and ``batches``.
    """
    router = APIRouter(prefix="/batch", tags=["Infer"], responses={404: {"description": "Not found"}})

    @router.get("/infer", summary=f"{RBAC_USER}Get Status of Batch Inference Task")
    def status(all: bool = False, check_if_running: bool = False, user: User = _USER):
        return _status(app.batches, "batch inference", all, check_if_running)

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

    @router.delete("/infer", summary=f"{RBAC_ADMIN}Stop Batch Inference Task")
    def stop(user: User = _ADMIN):
        return app.batches.stop()

    return router


def log_routes() -> APIRouter:
    """``/logs/``: what the platform offers there is a file that this server does not write."""
    router = APIRouter(prefix="/logs", tags=["Others"], responses={404: {"description": "Not found"}})

    @router.get("/", summary=f"{RBAC_ADMIN}Get Logs")
    @router.get("/gpu", summary=f"{RBAC_ADMIN}Get GPU Info")
    def logs(user: User = _ADMIN):
        raise HTTPException(404, "The log is what the server prints where it was started; it is not given over HTTP.")

    return router


def _status(runs, what: str, all: bool, running_only: bool):
    tasks = runs.status(running_only)
    if not tasks:
        raise HTTPException(404, f"No {what} is running." if running_only else f"There was no {what} so far.")
    return tasks if all else tasks[-1]
