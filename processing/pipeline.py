"""A pipeline: steps in order with their parameters; `run` brings one CCD through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from processing import config, provenances
from processing.datastore import DataStore
from processing.parameters import ConfigurationError
from processing.providers import CoaddInputs, provide
from processing.reporting import Reporter, renew_connection
from processing.step import Lookup, Step
from products.models import Exposure, Provenance, Reference, RefSet
from products.services.keeping import keep
from products.services.tagging import tag_provenances

Progress = Callable[[str], None]


class Pipeline:
    """Steps with frozen parameters.

    `Pipeline(extraction={...}, subtraction={...})` takes a mapping for each step by its name; what is not given comes
    from the configuration, what is not there from the declarations. Each step is an attribute by its name:
    `pipeline.extraction.parameters.show()`.
    """

    def __init__(
        self,
        steps: Sequence[type[Step]] | None = None,
        *,
        configuration: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> None:
        from processing.pipelines import SCIENCE

        settings = config.merge(config.load() if configuration is None else configuration, parameters)
        config.refuse_unknown(settings)
        self.settings = settings
        self.tag = config.tag_of(settings)
        self.steps = tuple(cls(**settings.get(cls.name, {})) for cls in steps or SCIENCE)

    def __repr__(self) -> str:
        return f"<Pipeline {' → '.join(step.name for step in self.steps)}, tag {self.tag or 'none'}>"

    def __getattr__(self, name: str) -> Step:
        for step in self.__dict__.get("steps", ()):
            if step.name == name:
                return step
        known = ", ".join(step.name for step in self.__dict__.get("steps", ()))
        raise AttributeError(f"a Pipeline has no '{name}'; its steps are: {known}", name=name, obj=self)

    def step(self, name: str) -> Step:
        """The step called `name`."""
        for step in self.steps:
            if step.name == name:
                return step
        raise ConfigurationError(f"there is no step '{name}'; there are: {', '.join(s.name for s in self.steps)}")

    def roots(self, data: DataStore) -> dict[type, list[str]]:
        """Provenance ids of what the steps begin with."""
        found = {type(product): [product.provenance_id] for product in data.products()}
        if inputs := data.get(CoaddInputs):
            found[CoaddInputs] = [part.zero_point.provenance_id for part in inputs.components]
        for step in self.steps:
            if isinstance(step, Lookup):
                refset = RefSet.objects.filter(name=step.parameters.refset).first()
                if refset:
                    found[Reference] = [refset.provenance_id]
        return found

    def provenances(self, data: DataStore) -> dict[str, Provenance]:
        """Step name → provenance for what `data` begins with; kept, and tagged where the pipeline has a tag.

        The tag also gets the provenance of the exposure, and that of the references.
        """
        roots = self.roots(data)
        kept = provenances.keep(self.steps, roots)
        if self.tag and Exposure in data:
            references = Provenance.objects.filter(pk__in=roots.get(Reference, []))
            tag_provenances(self.tag, [data[Exposure].provenance, *kept.values(), *references])
        return kept

    def run(
        self, data: DataStore, *, through: str = "", report: Reporter | None = None, progress: Progress | None = None
    ) -> DataStore:
        """Bring `data` through the steps, up to the one called `through`; what exists is found, not made."""
        if through:
            self.step(through)
        tree = self.provenances(data)
        report = report or Reporter(data.get(Exposure), data.section, tag=self.tag)
        report.begin([step.name for step in self.steps], {name: row.pk for name, row in tree.items()})
        for step in self.steps:
            with report.step(step.name) as entry:
                products = self.one(step, data, tree, entry)
                data.put(*products)
                entry["counts"] = {key: value for product in products for key, value in product.counts().items()}
            if progress:
                progress(step.name)
            if step.name == through:
                break
        return data

    def one(self, step: Step, data: DataStore, tree: Mapping[str, Provenance], entry: dict[str, Any]) -> list[Any]:
        """The products of one step: chosen, found, or made and kept; BadProvenance where they must not be used."""
        if isinstance(step, Lookup):
            entry["made"] = False
            return [step.find(data)]
        provenance = tree[step.name]
        provenances.refuse_bad(provenance)
        if found := data.find(type(step), provenance):
            entry["made"] = False
            return found
        products = self.make(step, data)
        renew_connection()
        entry["warnings"] += step.warnings()
        if not keep(products, provenance):
            entry["made"] = False
            return data.find(type(step), provenance)
        return products

    @staticmethod
    def make(step: Step, data: DataStore) -> list[Any]:
        """Run a step on what `data` holds and what is provided for it; nothing is kept."""
        inputs: dict[str, Any] = dict(data.product_inputs(type(step)))
        for name, classes in step.inputs().items():
            if name not in inputs:
                inputs[name] = provide(classes, data, step)
        made = step.run(**inputs)
        return list(made) if isinstance(made, tuple) else [made]
