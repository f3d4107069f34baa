"""Train the scorers that learn, or show the card of a model."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from processing.algorithms.scoring.base import Scorer
from processing.algorithms.scoring.committee import Committee
from processing.algorithms.scoring.models import NAMES, LearnedScorer, card_of
from processing.management.step_command import EngineCommand, number_of_processes, require_migrated
from processing.progress import Tell, bars
from processing.training import archive, cards, material, nights
from processing.training.material import Material
from processing.training.printing import print_card

FOLDER = Path(__file__).parents[2] / "algorithms" / "scoring"


def members() -> dict[str, type[LearnedScorer]]:
    """The scorers that learn, by name; one that is made of others comes after them."""
    found = {name: one for name, one in Scorer.members().items() if issubclass(one, LearnedScorer)}
    # The committee takes what its members have learned.
    return dict(sorted(found.items(), key=lambda item: item[1] is Committee))


class Command(EngineCommand):
    help = """Train the scorers that learn, on simulated nights that went through the whole pipeline or on what this
archive holds, and write each model with its card.

  manage.py train_scorer --nights 120 --replace             the packaged models again
  manage.py train_scorer --nights 60 --from-tag current --name mine
                                                            with the labels and fakes of this archive too:
                                                            use them with --set scoring.scorer.model=mine_trees
  manage.py train_scorer --card trees                       what is known of a model

Nights are shared: three in five to learn from, one to make the scores probabilities, one to test. The same seed gives
the same nights and the same trees. Trees need scikit-learn, networks PyTorch (pip install scikit-learn torch)."""
    needs_tables = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--card", metavar="NAME", help="Show the card of a model, and train nothing.")
        parser.add_argument("--scorer", nargs="+", default=[], help=f"Of {', '.join(members())} [all].")
        parser.add_argument("--name", default="", help="The models are called NAME_SCORER [SCORER].")
        parser.add_argument(
            "--nights", type=number_of_processes, default=0, help="Simulated nights, of one field each."
        )
        parser.add_argument("--from-tag", metavar="TAG", help="Learn from the labels and fakes under this tag too.")
        parser.add_argument(
            "--material", metavar="FILE", help="Candidates: read from there if it exists, else kept there (.npz)."
        )
        parser.add_argument("--side", type=int, default=1024, help="Pixels of the simulated images [1024].")
        parser.add_argument("--seed", type=int, default=1, help="Of nights, shares and training [1].")
        parser.add_argument("--numprocs", type=number_of_processes, default=1, help="Processes for the nights [1].")
        parser.add_argument("--date", default="", help="On the card [today, UTC].")
        parser.add_argument("--replace", action="store_true", help="Models of the same name may be overwritten.")

    def work(self, options: dict[str, Any]) -> None:
        if options["card"]:
            print_card(options["card"], card_of(options["card"]), self.stdout)
            return
        wanted = self._wanted(options)
        with bars() as tell:
            found = self._material(options, tell)
            parts = cards.shares(found, options["seed"])
            made, known = [], {}
            for name, scorer in wanted.items():
                tick = tell(f"learning: {name}", 0)
                model = known[scorer.name] = cards.trained(scorer, parts, options["seed"], tick, known)
                made.append((name, model, cards.card(scorer, model, parts, self._origin(options))))
        for name, model, card in made:
            path = cards.write(FOLDER, name, model, card)
            print_card(name, card, self.stdout)
            self.stdout.write(
                f"kept in {path}: --set scoring.scorer={card['scorer']} --set scoring.scorer.model={name}"
            )

    def _wanted(self, options: dict[str, Any]) -> dict[str, type[LearnedScorer]]:
        """Name of the model → the scorer."""
        known = members()
        if unknown := [name for name in options["scorer"] if name not in known]:
            raise CommandError(f"no scorer that learns is called {', '.join(unknown)}; there are: {', '.join(known)}")
        asked = [name for name in known if name in options["scorer"]] or list(known)
        prefix = f"{options['name']}_" if options["name"] else ""
        found = {f"{prefix}{name}": known[name] for name in asked}
        if not all(re.match(NAMES, name) for name in found):
            raise CommandError("the name of a model has small letters, digits and underscores")
        there = [name for name in found if (FOLDER / f"{name}.npz").exists()]
        if there and not options["replace"]:
            raise CommandError(f"there is a model {', '.join(there)}: give another --name, or --replace")
        return found

    def _material(self, options: dict[str, Any], tell: Tell) -> Material:
        path = Path(options["material"]) if options["material"] else None
        if path and path.exists():
            return material.load(path)
        if not options["nights"] and not options["from_tag"]:
            raise CommandError("say what to learn from: --nights N, --from-tag TAG, or --material FILE")
        configuration = self.configuration(options)
        parts: Sequence[Material] = ()
        if options["from_tag"]:
            require_migrated()
            parts = archive.material_of(options["from_tag"], configuration, tell)
        if options["nights"]:
            parts = [*parts, *self._simulated(options, configuration, tell)]
        found = material.joined(parts, self._made_by(options))
        if path:
            material.save(found, path)
        return found

    def _simulated(self, options: dict[str, Any], configuration: Any, tell: Tell) -> Sequence[Material]:
        first = 1000 * options["seed"]
        seeds = range(first, first + options["nights"])
        made = nights.simulate(
            seeds, side=options["side"], configuration=configuration, numprocs=options["numprocs"],
            tick=tell("simulated nights", len(seeds)),
        )  # fmt: skip
        for seed, reason in made.failed.items():
            self.stderr.write(f"night {seed} is left out: {reason}")
        return made.parts

    @staticmethod
    def _made_by(options: dict[str, Any]) -> str:
        """What of the command line decides the candidates."""
        found = [f"--{name} {options[name]}" for name in ("nights", "side", "seed")] if options["nights"] else []
        found += [f"--from-tag {options['from_tag']}"] if options["from_tag"] else []
        return " ".join([*found, *(f"--set {text}" for text in options["assignments"])])

    @staticmethod
    def _origin(options: dict[str, Any]) -> cards.Origin:
        date = options["date"] or datetime.now(UTC).date().isoformat()
        return cards.Origin(date, options["seed"])
