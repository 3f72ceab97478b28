"""What AngioSeg writes beside a node's data, so that a saved scene brings it back."""

import json
from collections.abc import Callable
from typing import Any

__all__ = ["Notes"]


class Notes:
    """A JSON object in an attribute of a node.

    Args:
        node: the vtkMRMLNode.
        attribute: the attribute's name.
        earlier: the attribute in which earlier versions wrote it, in another form; it is converted once.
        convert: makes the object of what is there.
    """

    def __init__(self, node, attribute: str, earlier: str, convert: Callable[[dict[str, Any]], dict[str, Any]]):
        self._node = node
        self._attribute = attribute
        self._text: str | None = None
        self._value: dict[str, Any] = {}
        if node.GetAttribute(earlier) and not node.GetAttribute(attribute):
            self.set(convert(json.loads(node.GetAttribute(earlier))))
            # An earlier version that opens the scene then finds nothing there, and nothing that is wrong.
            node.RemoveAttribute(earlier)

    def get(self) -> dict[str, Any]:
        """The object as it is now; not to be changed."""
        text = self._node.GetAttribute(self._attribute)
        if text != self._text:
            self._text, self._value = text, json.loads(text or "{}")
        return self._value

    def set(self, value: dict[str, Any]) -> None:
        """Put another object in its place."""
        self._node.SetAttribute(self._attribute, json.dumps(value, sort_keys=True))
