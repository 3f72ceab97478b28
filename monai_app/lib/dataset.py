"""The labelled cines of a server as one ZIP archive."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["write_dataset"]


def write_dataset(path: str, cases: Iterable[dict[str, str]], metadata: str) -> None:
    """Write cines and their labels, and ``metadata.json``.

    Args:
        path: of the archive, which is replaced.
        cases: what belongs together, its name in the archive -> file or folder. Of what is removed meanwhile the whole
            case is left out.
        metadata: JSON that tells of them.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for case in cases:
            if all(map(_exists, case.values())):
                for name, source in case.items():
                    _add(archive, Path(source), name)
        archive.writestr("metadata.json", metadata)


def _exists(source: str) -> bool:
    return bool(source) and Path(source).exists()


def _add(archive: zipfile.ZipFile, source: Path, name: str):
    for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if file.is_file():
            archive.write(file, str(Path(name, file.relative_to(source))))
