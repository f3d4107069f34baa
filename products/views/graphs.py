"""Graphs of what came from what, as boxes in columns with arrows between them; templates draw them as SVG."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 132, 38, 54, 12
LANE = 7  # between arrows that run above the boxes
Arrow = tuple[Hashable, Hashable]  # keys of cells, upstream first


@dataclass(frozen=True)
class Cell:
    """What a box says; column 0 is the chosen one, negative ones are upstream of it."""

    title: str
    text: str
    column: int
    address: str = ""
    hint: str = ""
    state: str = ""  # "bad", or "inherits" badness
    is_chosen: bool = False


@dataclass(frozen=True)
class Box:
    """A cell at its place."""

    cell: Cell
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """The graph as boxes and curves."""

    boxes: list[Box]
    curves: list[str]
    width: float
    height: float
    box: tuple[int, int] = (BOX_WIDTH, BOX_HEIGHT)


def drawing_of(cells: Mapping[Hashable, Cell], arrows: Iterable[Arrow]) -> Drawing:
    """Columns from left to right, cells below each other in their order; arrows that pass a column run above the boxes,
    which would hide them."""
    columns: dict[int, list[Hashable]] = {}
    for key, cell in cells.items():
        columns.setdefault(cell.column, []).append(key)
    first, last, most = min(columns), max(columns), max(map(len, columns.values()))
    known = sorted({(up, down) for up, down in arrows if up in cells and down in cells}, key=str)
    lanes = lanes_of({pair: (cells[pair[0]].column, cells[pair[1]].column) for pair in known})
    head = LANE * (max(lanes.values(), default=-1) + 1)
    places = {}
    for column, keys in columns.items():
        for row, key in enumerate(keys):
            x = (column - first) * (BOX_WIDTH + GAP_X) + 2
            places[key] = (x, (row + (most - len(keys)) / 2) * (BOX_HEIGHT + GAP_Y) + 2 + head)
    curves = [
        _curve(places[up], places[down], head - LANE * (lanes[up, down] + 0.5) if (up, down) in lanes else None)
        for up, down in known
    ]
    boxes = [Box(cell, *places[key]) for key, cell in cells.items()]
    width, height = (last - first + 1) * (BOX_WIDTH + GAP_X) - GAP_X + 4, most * (BOX_HEIGHT + GAP_Y) - GAP_Y + 4
    return Drawing(boxes, curves, width, height + head)


def lanes_of(arrows: Mapping[Arrow, tuple[int, int]]) -> dict[Arrow, int]:
    """Arrow (with the columns of its ends) → number of its lane above the boxes, for those that pass a column."""
    far = sorted(((ends[1] - ends[0], ends, pair) for pair, ends in arrows.items() if ends[1] - ends[0] > 1), key=str)
    taken: list[list[tuple[int, int]]] = []
    lanes: dict[Arrow, int] = {}
    for _, (begin, end), pair in far:
        free = (i for i, lane in enumerate(taken) if all(end <= a or b <= begin for a, b in lane))
        lane = next(free, len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((begin, end))
        lanes[pair] = lane
    return lanes


def _curve(up: tuple[float, float], down: tuple[float, float], lane: float | None) -> str:
    """The path from the right side of a box to the left side of another, along the height `lane` where one is given."""
    a, b, c, d, half = up[0] + BOX_WIDTH, up[1] + BOX_HEIGHT / 2, down[0], down[1] + BOX_HEIGHT / 2, GAP_X / 2
    if lane is None:
        return f"M{a} {b}C{a + half} {b} {c - half} {d} {c} {d}"
    rise = f"C{a + half} {b} {a + half / 2} {lane} {a + GAP_X} {lane}"
    return f"M{a} {b}{rise}H{c - GAP_X}C{c - half / 2} {lane} {c - half} {d} {c} {d}"
