"""What AngioSeg writes beside a node's data, so that a saved scene brings it back."""

import json
from typing import Any

__all__ = ["Notes"]


class Notes:
    """A JSON object in an attribute of a node.

    Args:
        node: the vtkMRMLNode.
        attribute: the attribute's name.
    """

    def __init__(self, node, attribute: str):
        self._node = node
        self._attribute = attribute
        self._text: str | None = None
        self._value: dict[str, Any] = {}

    def get(self) -> dict[str, Any]:
        """The object as it is now; not to be changed."""
        text = self._node.GetAttribute(self._attribute)
        if text != self._text:
            self._text, self._value = text, json.loads(text or "{}")
        return self._value

    def set(self, value: dict[str, Any]) -> None:
        """Put another object in its place."""
        self._node.SetAttribute(self._attribute, json.dumps(value, sort_keys=True))
