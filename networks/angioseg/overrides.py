"""What the bundle's configs were told: values that none of them knows, and numbers that nothing can be done with."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from .errors import AngioSegError

__all__ = ["check_numbers", "check_overrides", "check_positive", "check_sizes", "need"]


def check_overrides(argv: Sequence[str] | None = None) -> None:
    """Refuse an option that none of the configs knows: MONAI adds it to them, and nobody reads it there.

    Args:
        argv: the command line; this process's when None. Of other programs than MONAI's nothing is looked at.

    Raises:
        AngioSegError: for the first such option.
    """
    argv = sys.argv if argv is None else argv
    if Path(argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py"):
        return
    from monai.bundle import ConfigParser, ConfigWorkflow, run

    given = {}
    for option, value in zip(argv[1:], [*argv[2:], ""]):
        if found := re.match(r"--?([A-Za-z_].*)", option):
            name, equals, own = found[1].partition("=")
            given[name.replace("-", "_")] = own if equals else value
    if "args_file" in given:
        given = {**ConfigParser.load_config_file(given["args_file"]), **given}
    known = {name for callable in (run, ConfigWorkflow) for name in inspect.signature(callable).parameters}
    known.update(ConfigParser.load_config_files(_files(given["config_file"])))
    for name in given:
        # A name goes down into a config by # or ::, and what is new there may be an argument of a component.
        root = name.replace("::", "#").partition("#")[0]
        if root not in known:
            meant = get_close_matches(root, known, 1)
            raise AngioSegError(
                f"--{name}: the configs have no such value; "
                + (f"did you mean --{meant[0]}?" if meant else "leave it out.")
            )


def check_numbers(least: int = 1, /, **numbers: object) -> None:
    """Refuse what is no whole number of at least ``least``.

    Raises:
        AngioSegError: for the first, by its name.
    """
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise AngioSegError(f"{name} {number!r}: give a whole number of at least {least}.")


def check_positive(**numbers: object) -> None:
    """Refuse what is no number above 0.

    Raises:
        AngioSegError: for the first, by its name.
    """
    for name, number in numbers.items():
        if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number < float("inf"):
            raise AngioSegError(f"{name} {number!r}: give a number above 0.")


def need(module: str, extra: str) -> bool:
    """True where a package is installed that only some configs use.

    Raises:
        AngioSegError: where it is not; it says how to install it.
    """
    if find_spec(module) is None:
        raise AngioSegError(f'{module} is not installed: pip install "angioseg[{extra}]"')
    return True


def check_sizes(**sizes: object) -> None:
    """Refuse what is no size of a picture: two whole numbers of at least 1, rows and columns.

    Raises:
        AngioSegError: for the first, by its name.
    """
    for name, size in sizes.items():
        try:
            rows, columns = size
            check_numbers(rows=rows, columns=columns)
        except (TypeError, ValueError, AngioSegError):
            raise AngioSegError(f"{name} {size!r}: give rows and columns, as [256,256].") from None


def _files(given: object) -> object:
    """One file, some with commas between, or a list as Python writes it."""
    return ast.literal_eval(given) if isinstance(given, str) and given[:1] in ("[", "(") else given
