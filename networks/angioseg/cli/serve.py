"""``angioseg serve``: the MONAI Label server on a folder of cines."""

from pathlib import Path
from typing import Annotated

import typer

from .speaking import clear_errors

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(clear_errors(_serve))


def _serve(
    studies: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Folder with the cines, labels are kept in it; or the address of an archive's DICOMweb service.",
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at; the default is this machine only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 8000,
    model: Annotated[Path | None, typer.Option(help="File of weights, instead of those that come along.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; a GPU where there is one.")] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ANGIOSEG_TOKEN",
            show_envvar=True,
            help="Asked of every request, as a bearer token or as any user's password. Other users of this machine "
            "can read a command line: better set the variable.",
        ),
    ] = None,
    max_upload_mb: Annotated[int, typer.Option(min=1, help="The most that one request may send.")] = 4096,
) -> None:
    """Run the MONAI Label server until Ctrl-C."""
    from angioseg.serve import serve

    serve(studies, host, port, model=model, device=device, token=token, max_upload_mb=max_upload_mb)
