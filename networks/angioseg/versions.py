"""Models trained from a folder of labelled cines: each a bundle of its own, the newest one in use."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import AngioSegError, lacks_memory
from .paths import bundle_dir, weights_of
from .training import Training, TrainingProgress, train

__all__ = ["Version", "Versions"]

_UNFINISHED = ".training-"
_LEFT_BEHIND_S = 24 * 3600.0


@dataclass(frozen=True)
class Version:
    """A model that can be used.

    Attributes:
        number: from 1; 0 for the one that training began with.
        bundle: its bundle folder.
        weights: its file of weights.
    """

    number: int
    bundle: Path
    weights: Path

    @property
    def name(self) -> str:
        """As replies give it: the version in the bundle's metadata."""
        return json.loads((self.bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))["version"]


class Versions:
    """The folders ``1``, ``2``, ... below ``root``: MONAI bundles, each with its own weights and metadata.

    A version's folder appears when it is whole and is never written to again. To go back, move the newest away.

    Args:
        root: made when the first training begins.
        first: weights of version 0; those that ship when None.

    Attributes:
        first: the model that training began with.
    """

    def __init__(self, root: str | Path, first: str | Path | None = None) -> None:
        self.root = Path(root)
        self.first = Version(0, bundle_dir(), Path(first or weights_of(bundle_dir())))

    def current(self) -> Version:
        """The newest version."""
        for number in sorted(self._numbers(), reverse=True):
            bundle = self.root / str(number)
            if (weights := weights_of(bundle)).is_file():
                return Version(number, bundle, weights)
        return self.first

    def train(
        self,
        train_clips: Sequence[dict[str, Any]],
        val_clips: Sequence[dict[str, Any]],
        *,
        from_first: bool = False,
        progress: Callable[[TrainingProgress], None] | None = None,
        stop: Callable[[], bool] | None = None,
        **options: Any,
    ) -> Training:
        """Train further; a better model becomes the next version.

        Args:
            train_clips: see :class:`angioseg.data.FrameDataset`.
            val_clips: the same, of other patients.
            from_first: start from version 0 instead of the current one. Better then means better than version 0.
            progress: see :func:`angioseg.training.train`.
            stop: see there.
            options: see there.

        Returns:
            What came of it. ``current()`` is the new version when it is ``better``.

        Raises:
            AngioSegError: as there, or when the folder cannot be written to.
        """
        start = self._first if from_first else self.current()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()
            work = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.root))
        except OSError as error:
            raise AngioSegError(f"{self.root}: cannot be written to: {error.strerror or error}.") from error
        try:
            bundle = work / "bundle"
            # The configs of the package: those of an older version may not fit it any more.
            result = train(
                bundle_dir(), start.weights, train_clips, val_clips, bundle, progress=progress, stop=stop, **options
            )
            if result.better:
                self._publish(bundle, result, start.name)
            return result
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _publish(self, bundle: Path, result: Training, start: str) -> None:
        number = max(self._numbers(), default=0) + 1
        metadata = bundle / "configs" / "metadata.json"
        values = json.loads(metadata.read_text(encoding="utf-8"))
        name = f"{values['version']}+{number}"
        values["changelog"] = {**values["changelog"], name: f"from {start}: {result}"}
        metadata.write_text(json.dumps({**values, "version": name}, indent=4), encoding="utf-8")
        os.replace(bundle, self.root / str(number))

    def _numbers(self) -> list[int]:
        return [int(path.name) for path in self.root.glob("[1-9]*") if path.name.isdecimal()]

    def _sweep(self) -> None:
        """Remove what a killed training left behind."""
        for path in self.root.glob(f"{_UNFINISHED}*"):
            if time.time() - path.stat().st_mtime > _LEFT_BEHIND_S:
                shutil.rmtree(path, ignore_errors=True)


def _main() -> None:
    """A process of its own: a file with arguments of `Versions` and `Versions.train` in, a line of JSON a step out.

    It stops, with the best model so far, when its input ends: so also when the process that started it is gone.
    """
    arguments = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    stopping = threading.Event()
    told = 0.0

    def watch() -> None:
        sys.stdin.buffer.read()
        stopping.set()

    def say(**what: Any) -> None:
        try:
            print(json.dumps(what), file=out, flush=True)
        except BrokenPipeError:
            stopping.set()

    def progress(now: TrainingProgress) -> None:
        nonlocal told
        if now.loss is None or time.monotonic() - told > 0.2:
            told = time.monotonic()
            say(progress=asdict(now), line=str(now))

    # Libraries print; the lines of this process are its own.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    threading.Thread(target=watch, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(10)  # whoever waits for a segmentation comes first
    try:
        versions = Versions(arguments.pop("root"), arguments.pop("first"))
        result = versions.train(
            **arguments, progress=progress, stop=stopping.is_set, left_out=lambda line: say(line=f"left out: {line}")
        )
    except AngioSegError as error:
        say(error=str(error))
    except Exception as error:
        if lacks_memory(error):
            say(error="There is not enough memory: train with a smaller crop or batch_size.")
        else:
            # Where, not what: messages quote file names.
            place = traceback.extract_tb(error.__traceback__)[-1]
            say(error=f"The training failed ({type(error).__name__} at {Path(place.filename).name}:{place.lineno}).")
    else:
        say(result=asdict(result), line=str(result))


if __name__ == "__main__":
    _main()
