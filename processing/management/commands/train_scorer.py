"""Train the trees that score candidates."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from processing.algorithms.scoring.training_stamps import TrainingSet, training_set
from processing.algorithms.scoring.trees import predict, train
from processing.progress import bar

PACKAGE = Path(__file__).parents[2] / "algorithms" / "scoring"
CHUNK = 8  # fields drawn between two ticks of the bar
LEVELS = (0.5, 0.7, 0.9)


class Command(BaseCommand):
    help = """Train the scorer `trees` on simulated fields, and say how it does on fields that it has not seen.

  manage.py train_scorer --fields 400 --name mine     a model of your own: --set scoring.scorer.model=mine
  manage.py train_scorer --name trees                 the packaged model again

Needs scikit-learn: pip install -r requirements-dev.txt. The same seed gives the same model."""
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--name", required=True, help=f"Name of the model; the file goes to {PACKAGE.name}/NAME.npz."
        )
        parser.add_argument("--fields", type=int, default=400, help="Simulated fields to train on [400].")
        parser.add_argument("--test-fields", type=int, default=100, help="Further ones to test on [100].")
        parser.add_argument("--test-only", action="store_true", help="Test the model of this name as it is.")
        parser.add_argument("--seed", type=int, default=1, help="[1]")
        parser.add_argument("--label", default="", help="Kept with every score [simulated SEED].")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["name"].replace("_", "").isalnum() or not options["name"].islower():
            raise CommandError("the name of a model has small letters, digits and underscores")
        try:
            import sklearn  # noqa: F401
        except ImportError as error:
            raise CommandError("training needs scikit-learn: pip install -r requirements-dev.txt") from error
        seed = options["seed"]
        learned = self._drawn("fields to train on", seed, options["fields"])
        model = train(learned.features, learned.is_real, seed, options["label"] or f"simulated {seed}")
        path = PACKAGE / f"{options['name']}.npz"
        np.savez_compressed(path, **model)
        tested = self._drawn("fields to test on", seed + 1_000_000, options["test_fields"])
        self._show(tested, 1 / (1 + np.exp(-predict(model, tested.features))))
        self.stdout.write(
            f"{len(learned.is_real)} candidates learned ({learned.is_real.mean():.0%} real), kept in {path}"
        )

    def _drawn(self, title: str, seed: int, fields: int) -> TrainingSet:
        parts = []
        with bar(title, fields) as tick:
            for first in range(0, fields, CHUNK):
                number = min(CHUNK, fields - first)
                parts.append(training_set(seed + 1000 * first, number))
                for _ in range(number):
                    tick("")
        names = ("features", "is_real", "kind", "snr", "table")
        return TrainingSet(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def _show(self, tested: TrainingSet, score: np.ndarray) -> None:
        console = Console(file=self.stdout, width=None if self.stdout.isatty() else 100)
        table = Table(title="Fields that it has not seen")
        for title in ("threshold", "real ones lost", "bogus ones kept", "purity at 9 bogus to 1 real"):
            table.add_column(title, justify="right")
        for level in LEVELS:
            lost = float((score[tested.is_real] < level).mean())
            kept = float((score[~tested.is_real] >= level).mean())
            purity = (1 - lost) / max(1 - lost + 9 * kept, 1e-9)
            table.add_row(f"{level:.1f}", f"{lost:.2%}", f"{kept:.2%}", f"{purity:.1%}")
        console.print(table)
        table = Table(title=f"By kind, at {LEVELS[0]}")
        for title, justify in (("kind", "left"), ("candidates", "right"), ("wrong", "right")):
            table.add_column(title, justify=justify)
        for kind in np.unique(tested.kind):
            rows = tested.kind == kind
            wrong = (score[rows] >= LEVELS[0]) != tested.is_real[rows]
            table.add_row(str(kind), str(rows.sum()), f"{wrong.mean():.2%}")
        console.print(table)
