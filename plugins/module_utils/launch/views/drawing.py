# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes of a picture, and the picture as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

# Width of a character by kind of label, in pixels; the fonts of style.py have these sizes.
WIDE = {"name": 8.6, "text": 6.8, "mono": 6.7, "small": 5.5, "chip": 6.1, "head": 8.2, "legend": 6.6}
LINE = 13.0


@dataclass(frozen=True)
class Box:
    """A rectangle.

    :ivar inside: name of the box that it lies in, empty for none.
    """

    name: str
    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str = ""
    inside: str = ""
    link: str = ""


@dataclass(frozen=True)
class Label:
    """One line of text; its place is the left end of its base line, or the middle or right end."""

    x: float
    y: float
    text: str
    kind: str
    anchor: str = "start"
    title: str = ""

    @property
    def width(self) -> float:
        """Width in pixels, about."""
        return len(self.text) * WIDE[self.kind]


@dataclass(frozen=True)
class Line:
    """A line through points, with an arrowhead at its end, or at both."""

    points: tuple[tuple[float, float], ...]
    kind: str
    heads: str = "end"


@dataclass(frozen=True)
class Badge:
    """The number of a finding."""

    x: float
    y: float
    number: int
    severity: str


@dataclass
class Drawing:
    """A picture."""

    width: float
    height: float = 0
    boxes: list[Box] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    badges: list[Badge] = field(default_factory=list)

    def box(self, box: Box) -> Box:
        """Add a box and return it."""
        self.boxes.append(box)
        return box

    def label(self, x: float, y: float, text: str, kind: str, *, anchor: str = "start", room: float = 0) -> None:
        """Add a text, shortened to the room that it has; the whole of it is shown when pointed at."""
        short = fit(text, kind, room) if room else text
        self.labels.append(Label(x, y, short, kind, anchor, text if short != text else ""))


def fit(text: str, kind: str, room: float) -> str:
    """Return a text that is no wider than the room, without its middle if need be."""
    most = max(int(room / WIDE[kind]), 3)
    if len(text) <= most:
        return text
    tail = (most - 1) * 2 // 3
    return text[: most - 1 - tail] + "\u2026" + text[len(text) - tail :]


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _place(**values: float) -> str:
    return " ".join(f'{name}="{_number(value)}"' for name, value in values.items())


def _box(box: Box) -> str:
    corner = 4 if box.kind in ("gpu", "rail", "port", "unknown") else 8
    place = _place(x=box.x, y=box.y, width=box.width, height=box.height, rx=corner)
    title = f"<title>{escape(box.title)}</title>" if box.title else ""
    shape = f'<rect class="b {box.kind}" {place}>{title}</rect>'
    return f'<a href="#{escape(box.link)}">{shape}</a>' if box.link else shape


def _label(label: Label) -> str:
    anchor = f' text-anchor="{label.anchor}"' if label.anchor != "start" else ""
    title = f"<title>{escape(label.title)}</title>" if label.title else ""
    return f'<text class="t {label.kind}" {_place(x=label.x, y=label.y)}{anchor}>{escape(label.text)}{title}</text>'


def _line(line: Line) -> str:
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in line.points)
    start = f' marker-start="url(#head-{line.kind})"' if line.heads == "both" else ""
    end = f' marker-end="url(#head-{line.kind})"' if line.heads != "none" else ""
    return f'<polyline class="l {line.kind}" points="{points}"{start}{end}/>'


def _badge(badge: Badge) -> str:
    place, middle = _place(cx=badge.x, cy=badge.y, r=9.5), _place(x=badge.x, y=badge.y + 4)
    text = f'<text class="t number" {middle} text-anchor="middle">{badge.number}</text>'
    title = f"<title>finding {badge.number}: {badge.severity}</title>"
    return f'<a href="#finding-{badge.number}"><circle class="badge {badge.severity}" {place}>{title}</circle>{text}</a>'


def marker(kind: str) -> str:
    """Return the arrowhead of a kind of line."""
    shape = '<path d="M0 0L8 4L0 8z"/>'
    size = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto-start-reverse"'
    return f'<marker id="head-{kind}" class="head {kind}" {size}>{shape}</marker>'


def svg(drawing: Drawing, title: str) -> str:
    """Return the picture; lines lie below boxes' texts and above their fill."""
    size = f"0 0 {_number(drawing.width)} {_number(drawing.height)}"
    parts = [f'<svg viewBox="{size}" role="img" xmlns="http://www.w3.org/2000/svg">', f"<title>{escape(title)}</title>"]
    parts += map(_box, drawing.boxes)
    parts += map(_line, drawing.lines)
    parts += map(_label, drawing.labels)
    parts += map(_badge, drawing.badges)
    return "\n".join([*parts, "</svg>"])
