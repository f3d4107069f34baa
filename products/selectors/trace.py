"""From a CCD to everything made of it, and from a provenance to what it came from and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from products.models import (
    PSF,
    Background,
    Cutouts,
    DeepScoreSet,
    Detections,
    DifferenceImage,
    Exposure,
    FakeAnalysis,
    Image,
    MeasurementSet,
    Provenance,
    ScienceImage,
    SourceList,
    WarpedImage,
    WorldCoordinates,
    ZeroPoint,
)
from products.selectors.tags import ChosenTag


def exposure_by_name(name: str, tag: ChosenTag) -> Exposure | None:
    """The exposure called `name`; one of the tag first, then the newest."""
    rows = list(Exposure.objects.filter(name=name).order_by("-created_at"))
    chosen = [row for row in rows if row.provenance_id in tag.ids]
    return (chosen or rows or [None])[0]


@dataclass
class Tree:
    """The products of one CCD under a tag, None where a step made none."""

    image: ScienceImage | Image
    sources: SourceList | None = None
    psf: PSF | None = None
    background: Background | None = None
    world_coordinates: WorldCoordinates | None = None
    zero_point: ZeroPoint | None = None
    warped: WarpedImage | None = None
    difference: DifferenceImage | None = None
    detections: Detections | None = None
    cutouts: Cutouts | None = None
    measurement_set: MeasurementSet | None = None
    score_set: DeepScoreSet | None = None
    fakes: FakeAnalysis | None = None

    @property
    def reference_image(self) -> UUID | None:
        """Id of the image that was subtracted."""
        reference = self.difference and self.difference.reference
        return reference.zero_point.world_coordinates.sources.image_id if reference else None

    @property
    def made(self) -> list[tuple[str, Any]]:
        """(name, product) of what exists, in the order of the pipeline."""
        return [(name, value) for name, value in vars(self).items() if value is not None]


def science_image(exposure: Exposure, section: str, tag: ChosenTag) -> ScienceImage | None:
    """The newest science image of a CCD under the tag."""
    rows = tag.narrow(ScienceImage.objects.filter(exposure=exposure, section=section))
    return rows.select_related("exposure", "provenance").order_by("-created_at").first()


def tree(image: Image, tag: ChosenTag) -> Tree:
    """The products made of an image under the tag; the newest of each kind where the image is not of the tag."""
    if image.provenance_id not in tag.ids:
        tag = ChosenTag(tag.name, frozenset())

    def newest(model: Any, **parents: Any) -> Any:
        if None in parents.values():
            return None
        rows = tag.narrow(model.objects.filter(**parents))
        return rows.select_related("provenance__code_version").order_by("-created_at").first()

    found = Tree(image)
    found.sources = newest(SourceList, image=image, kind=SourceList.Kind.SOURCES)
    found.psf = newest(PSF, sources=found.sources)
    found.background = newest(Background, sources=found.sources)
    found.world_coordinates = newest(WorldCoordinates, sources=found.sources)
    found.zero_point = newest(ZeroPoint, world_coordinates=found.world_coordinates)
    found.difference = newest(DifferenceImage, zero_point=found.zero_point)
    if found.difference:
        kin = {"zero_point": found.zero_point, "reference": found.difference.reference_id}
        found.warped = newest(WarpedImage, **kin)
    found.detections = newest(Detections, image=found.difference)
    found.cutouts = newest(Cutouts, sources=found.detections)
    found.measurement_set = newest(MeasurementSet, cutouts=found.cutouts)
    found.score_set = newest(DeepScoreSet, measurement_set=found.measurement_set)
    found.fakes = newest(FakeAnalysis, score_set=found.score_set)
    return found


def light_lost(tree: Tree) -> float | None:
    """By how much the stars are fainter than in clear air, mag; of one exposure only: a coadd has no weather."""
    expected = tree.image.zero_point_estimate
    if expected is None or tree.zero_point is None or tree.image.kind != Image.Kind.SCIENCE:
        return None
    return expected - tree.zero_point.zp


@dataclass
class Node:
    """A provenance in a graph: depth 0 is the chosen one, negative ones are upstream of it."""

    provenance: Provenance
    depth: int
    row: int = 0


@dataclass
class Graph:
    """Provenances around one, with the arrows between them (upstream id, downstream id)."""

    nodes: dict[str, Node] = field(default_factory=dict)
    arrows: set[tuple[str, str]] = field(default_factory=set)


def provenance_graph(centre: Provenance, *, deepest: int = 20, largest: int = 400) -> Graph:
    """Everything upstream and downstream of `centre`; one query a level and direction."""
    graph = Graph({centre.pk: Node(centre, 0)})
    for direction, field_name in ((-1, "upstreams"), (1, "downstreams")):
        level = {centre.pk: centre}
        for depth in range(1, deepest + 1):
            level = _next_level(graph, level.values(), field_name, direction * depth)
            if not level or len(graph.nodes) > largest:
                break
    counts: dict[int, int] = {}
    for node in sorted(graph.nodes.values(), key=lambda node: (node.provenance.process, node.provenance.created_at)):
        node.row = counts.get(node.depth, 0)
        counts[node.depth] = node.row + 1
    return graph


def _next_level(graph: Graph, level: Iterable[Provenance], field_name: str, depth: int) -> dict[str, Provenance]:
    through = Provenance.upstreams.through
    ours, theirs = (
        ("from_provenance", "to_provenance") if field_name == "upstreams" else ("to_provenance", "from_provenance")
    )
    links = list(
        through.objects.filter(**{f"{ours}__in": [row.pk for row in level]}).values_list(f"{ours}_id", f"{theirs}_id")
    )
    for near, far in links:
        graph.arrows.add((far, near) if field_name == "upstreams" else (near, far))
    rows = Provenance.objects.select_related("code_version").in_bulk({far for _, far in links})
    for key, row in rows.items():
        known = graph.nodes.get(key)
        if known is None:
            graph.nodes[key] = Node(row, depth)
        elif known.depth != 0 and abs(known.depth) < abs(depth):
            known.depth = depth
    return rows
