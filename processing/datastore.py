"""The DataStore: the products of one CCD at hand, found by their class."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from django.db import models

from processing.errors import BadInput
from processing.step import Lookup, Step
from products.models import DifferenceImage, Exposure, Provenance, ProvenanceTag, ScienceImage
from products.models.base import Product
from products.services.tagging import refuse_unknown

T = TypeVar("T")


class DataStore:
    """Products of one CCD (or of one coadd) by class.

    `data[ScienceImage]` is the image; a class that is not there raises KeyError with what is. What steps need that is
    no product (raw pixels, calibration frames, catalogue stars) is provided on demand by `processing.providers`.
    """

    def __init__(self, *held: Any, section: str = "") -> None:
        self.section = section
        self._held: dict[type, Any] = {}
        self.put(*held)

    def put(self, *things: Any) -> None:
        """Hold products, or other inputs, by their class."""
        for thing in things:
            self._held[type(thing)] = thing

    def __repr__(self) -> str:
        held = ", ".join(cls.__name__ for cls in self._held) or "nothing"
        return f"<DataStore of {self.section or 'no one CCD'} with {held}>"

    def __contains__(self, cls: type) -> bool:
        return cls in self._held

    def __getitem__(self, cls: type[T]) -> T:
        if cls not in self._held:
            held = ", ".join(sorted(c.__name__ for c in self._held)) or "nothing"
            raise KeyError(f"{cls.__name__} is not in the DataStore; it holds {held}")
        return self._held[cls]

    def get(self, cls: type[T]) -> T | None:
        """The product, or None."""
        return self._held.get(cls)

    def products(self) -> list[Product]:
        """Every product held, in the order in which it came."""
        return [thing for thing in self._held.values() if isinstance(thing, Product)]

    def fork(self) -> Self:
        """A second store that begins with the same products; what is put there does not show here."""
        copy = type(self)(section=self.section)
        copy._held = dict(self._held)
        return copy

    def free(self) -> None:
        """Let go of all arrays; those with a file load again when touched."""
        for product in self.products():
            if hasattr(product, "free"):
                product.free()

    def product_inputs(self, step: type[Step]) -> dict[str, Product | None]:
        """The inputs of `step` that are products; KeyError where a needed one is missing."""
        found: dict[str, Product | None] = {}
        for name, classes in step.inputs().items():
            if not any(issubclass(cls, Product) for cls in classes):
                continue
            held = [self._held[cls] for cls in classes if cls in self._held]
            if not held and type(None) not in classes:
                self[classes[0]]
            found[name] = held[0] if held else None
        return found

    def has_inputs(self, step: type[Step]) -> bool:
        """Whether every product that `step` needs is at hand."""
        needed = [classes for classes in step.inputs().values() if type(None) not in classes]
        products = [classes for classes in needed if any(issubclass(cls, Product) for cls in classes)]
        return all(any(cls in self for cls in classes) for classes in products)

    def find(self, step: type[Step], provenance: Provenance) -> list[Product] | None:
        """The products of `step` with this provenance and the parents at hand; None unless all exist."""
        inputs = self.product_inputs(step)
        found: list[Product] = []
        for output in step.outputs():
            identity = {name: self._identity(name, output, inputs, found) for name in output.identity_fields()}
            row = output.objects.filter(provenance=provenance, **self._kind(output), **identity).first()
            if row is None:
                return None
            found.append(row)
        return found

    def _identity(self, name: str, output: type[Product], inputs: dict[str, Any], made: list[Product]) -> Any:
        field = output._meta.get_field(name)
        if not isinstance(field, models.ForeignKey):
            return self.section if name == "section" else getattr(self._held[_Identity], name)
        for candidate in [*made, *([inputs[name]] if inputs.get(name) is not None else [])]:
            if isinstance(candidate, field.related_model):
                return candidate.pk
        raise TypeError(f"{output.__name__}.{name} is neither an input nor an earlier output of its step")

    @staticmethod
    def _kind(output: type[Product]) -> dict[str, str]:
        return {"kind": output.KIND} if output.KIND else {}

    @classmethod
    def from_tag(cls, exposure: Exposure, section: str, tag: str) -> Self:
        """Everything that exists for a CCD with the provenances of a tag, fakes included.

        UnknownTag, or BadInput for a CCD that the exposure does not have: nothing found must not mean a typing error.
        """
        from processing.pipelines import FAKES, SCIENCE

        refuse_unknown(tag)
        data = cls(exposure, section=section)
        held = {
            row.provenance.process: row.provenance
            for row in ProvenanceTag.objects.filter(tag=tag).select_related("provenance")
        }
        for step in (*SCIENCE, *(step for step in FAKES if step not in SCIENCE)):
            if issubclass(step, Lookup):
                difference = DifferenceImage.objects.filter(
                    zero_point__world_coordinates__sources__image__exposure=exposure,
                    section=section,
                    provenance=held.get("subtraction"),
                ).first()
                found = [difference.reference] if difference else None
            else:
                found = data.find(step, held[step.name]) if step.name in held and data.has_inputs(step) else None
            if found:
                data.put(*found)
        known = list(exposure.header.get("sections", []))
        if ScienceImage not in data and known and section not in known:
            raise BadInput(what=f"section {section}", reason=f"{exposure.name} has {', '.join(known)}")
        return data


class _Identity:
    """Identity of a product that is not in its parents, e.g. the set of components of a coadd."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def identity(**fields: Any) -> _Identity:
    """Fields that identify what a run without an exposure makes; put it into the DataStore."""
    return _Identity(**fields)
