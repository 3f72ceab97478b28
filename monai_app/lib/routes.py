"""Endpoints in place of the platform's, with its paths and replies, where the platform's cannot do what cines need."""

from fastapi import APIRouter, Depends, HTTPException
from monailabel.config import RBAC_ADMIN, RBAC_USER, settings
from monailabel.endpoints.user.auth import RBAC, User

__all__ = ["train_routes"]

_USER = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
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
        tasks = app.trainings.status(running_only=check_if_running)
        if not tasks:
            raise HTTPException(404, "No training is running." if check_if_running else "Nothing was trained so far.")
        return tasks if all else tasks[-1]

    @router.post("/{model}", summary=f"{RBAC_ADMIN}Run Training Task for specific model")
    def start(model: str, params: dict | None = None, run_sync: bool = False, user: User = _ADMIN):
        task = app.start_training(model, params or {})
        return app.trainings.wait(task["id"]) if run_sync else task

    @router.delete("/", summary=f"{RBAC_ADMIN}Stop Training Task")
    def stop(user: User = _ADMIN):
        return app.trainings.stop()

    return router
