"""Rows and columns as a user gives them."""

import re

import typer

__all__ = ["rows_columns"]


def rows_columns(text: str) -> tuple[int, int]:
    """(512, 448) of "512x448".

    Raises:
        typer.BadParameter: for anything else; of the option ``--size``.
    """
    if not (match := re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)):
        raise typer.BadParameter(f"{text!r}: give rows x columns, as 512x512.", param_hint="'--size'")
    return int(match[1]), int(match[2])
