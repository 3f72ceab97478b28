"""A chart of a few numbers over time, drawn into a label."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import qt

__all__ = ["Chart", "Curve"]

# Blue and vermilion of Okabe and Ito's palette: told apart with any colour vision, and by their dashes too.
BLUE, VERMILION, GREY = (0, 114, 178), (213, 94, 0), (120, 120, 120)
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 20, 16


@dataclass(frozen=True)
class Curve:
    """One line of the chart.

    Args:
        name: what it shows, with its unit.
        colour: red, green, blue.
        values: by position along the x axis.
        dashed: whether the line is.
    """

    name: str
    colour: tuple[int, int, int]
    values: dict[int, float]
    dashed: bool = False


class Chart:
    """Draws curves, each to its own greatest value, and says where it was clicked.

    Args:
        label: a QLabel.
        unit: what is written at the left end of the x axis.
        onClick: called with the position along the x axis that is nearest to a click.
    """

    def __init__(self, label, unit: str, onClick: Callable[[int], None] | None = None):
        self._label = label
        self._unit = unit
        self._last = 0
        self._drawn: tuple = ([], 0)
        self._onClick = onClick
        self._filter = _LabelFilter(self._clicked, lambda: self.draw(*self._drawn))
        label.installEventFilter(self._filter)

    def draw(self, curves: Sequence[Curve], last: int, marks: Sequence[int] = (), at: int | None = None) -> None:
        """Draw anew.

        Args:
            curves: the lines.
            last: the x axis goes from 0 to this.
            marks: positions to mark, the first one most.
            at: where the user is.
        """
        self._last, self._drawn = last, (curves, last, marks, at)
        width, height = max(self._label.width, 120), max(self._label.height, 60)
        pixmap = qt.QPixmap(width, height)
        pixmap.fill(qt.QColor(255, 255, 255))
        painter = qt.QPainter()
        painter.begin(pixmap)
        painter.setRenderHint(qt.QPainter.Antialiasing, True)
        for rank, mark in enumerate(marks):
            self._mark(painter, mark, rank == 0, height)
        for curve in curves:
            self._curve(painter, curve, height)
        if at is not None:
            painter.setPen(_pen((0, 0, 0), 1))
            x = self._x(at)
            painter.drawLine(x, _TOP, x, height - _BOTTOM)
        self._captions(painter, curves, bool(marks), height)
        painter.end()
        self._label.pixmap = pixmap

    def _curve(self, painter, curve: Curve, height: int) -> None:
        most = max(curve.values.values(), default=0) or 1
        painter.setPen(_pen(curve.colour, 2, curve.dashed))

        def y(value: float) -> int:
            return round(height - _BOTTOM - value / most * (height - _TOP - _BOTTOM))

        positions = sorted(curve.values)
        for first, second in itertools.pairwise(positions):
            if second == first + 1:
                painter.drawLine(self._x(first), y(curve.values[first]), self._x(second), y(curve.values[second]))
        painter.setPen(_pen(curve.colour, 4))
        for position in positions:
            painter.drawPoint(self._x(position), y(curve.values[position]))

    def _mark(self, painter, position: int, first: bool, height: int) -> None:
        x, colour = self._x(position), (0, 0, 0) if first else GREY
        painter.setPen(_pen(GREY, 1, True))
        painter.drawLine(x, _TOP, x, height - _BOTTOM)
        painter.setPen(_pen(colour, 2))
        size = 5 if first else 3
        for dx in range(-size, size + 1):
            painter.drawLine(x + dx, _TOP - size + abs(dx), x, _TOP + 1)

    def _captions(self, painter, curves: Sequence[Curve], marked: bool, height: int) -> None:
        x = _LEFT
        for curve in curves:
            painter.setPen(_pen(curve.colour, 2, curve.dashed))
            painter.drawLine(x, 8, x + 18, 8)
            painter.setPen(_pen((0, 0, 0), 1))
            painter.drawText(x + 22, 12, curve.name)
            x += 34 + 7 * len(curve.name)
        painter.setPen(_pen((0, 0, 0), 1))
        painter.drawText(_LEFT, height - 3, self._unit)
        text = str(self._last)
        painter.drawText(self._label.width - _RIGHT - 8 * len(text), height - 3, text)

    def _x(self, position: int) -> int:
        inside = max(self._label.width, 120) - _LEFT - _RIGHT
        return round(_LEFT + position / max(self._last, 1) * inside)

    def _clicked(self, x: float) -> None:
        inside = max(self._label.width, 120) - _LEFT - _RIGHT
        if self._onClick is not None and self._last:
            self._onClick(min(max(round((x - _LEFT) / inside * self._last), 0), self._last))


class _LabelFilter(qt.QObject):
    def __init__(self, onClick: Callable[[float], None], onResize: Callable[[], None]):
        qt.QObject.__init__(self)
        self._onClick = onClick
        self._onResize = onResize

    def eventFilter(self, watched, event) -> bool:
        if event.type() == qt.QEvent.Resize:
            self._onResize()
        if event.type() == qt.QEvent.MouseButtonPress:
            self._onClick(event.pos().x())
            return True
        return False


def _pen(colour: tuple[int, int, int], width: int, dashed: bool = False):
    pen = qt.QPen(qt.QColor(*colour))
    pen.setWidth(width)
    pen.setStyle(qt.Qt.DashLine if dashed else qt.Qt.SolidLine)
    pen.setCapStyle(qt.Qt.RoundCap)
    return pen
