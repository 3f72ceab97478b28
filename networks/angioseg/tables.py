"""Tables for people."""

from collections.abc import Sequence

__all__ = ["markdown_table"]


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length, the first the heading, as Markdown; no line break at the end."""
    heading, *others = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([heading, "| " + " | ".join(["---"] * len(rows[0])) + " |", *others])
