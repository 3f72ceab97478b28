"""Output folders: usable before the long work starts, and with whole results or none at its end."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from angioseg.errors import AngioSegError, is_full

__all__ = ["check_free", "output_folder", "staging_folder"]


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Make the folder that results go to while the block runs; folders made here and left empty go again.

    Raises:
        AngioSegError: when it cannot be made or written to.
    """
    made = []
    try:
        try:
            for folder in (*reversed(path.absolute().parents), path.absolute()):
                if not folder.is_dir():
                    folder.mkdir()
                    made.append(folder)
            with tempfile.TemporaryFile(dir=path):
                pass
        except FileExistsError:
            raise AngioSegError(f"{folder}: is a file; give the name of a folder to write to.") from None
        except OSError as error:
            raise AngioSegError(
                f"{path}: cannot be written to: {error.strerror or error}; give another folder."
            ) from error
        yield path
    finally:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()


def check_free(files: Iterable[Path], overwrite: bool) -> None:
    """Look, before the long work starts, whether results can be put where they go.

    Raises:
        AngioSegError: for the first name that a folder has, or a file that is not to be replaced.
    """
    for file in files:
        if file.is_dir():
            raise AngioSegError(f"{file}: is a folder; move it away.")
        if file.exists() and not overwrite:
            raise AngioSegError(f"{file}: is already there; give another folder, or --overwrite to replace it.")


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """A folder of its own inside ``folder`` to write to; what is in it moves up when the block ends well, else goes.

    Raises:
        AngioSegError: when the files cannot be moved.
    """
    stage = Path(tempfile.mkdtemp(prefix=".angioseg-", dir=folder))
    try:
        yield stage
        for item in stage.iterdir():
            if (folder / item.name).is_dir() and not item.is_dir():
                raise AngioSegError(f"{folder / item.name}: is a folder; move it away.")
        for item in sorted(stage.iterdir()):
            try:
                os.replace(item, folder / item.name)
            except OSError as error:
                raise AngioSegError(f"{folder / item.name}: cannot be replaced: {error.strerror or error}.") from error
    except OSError as error:
        if not is_full(error):
            raise
        raise AngioSegError(f"{folder}: cannot be written to: {error.strerror}; make room, or give another.") from error
    except AngioSegError as error:
        # The staging folder is gone when the user reads this.
        raise AngioSegError(str(error).replace(str(stage), str(folder))) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
