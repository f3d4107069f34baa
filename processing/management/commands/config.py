"""Look at the configuration."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import yaml

from processing import config
from processing.choosing import ConfigChoice
from processing.management.step_command import EngineCommand
from processing.pipelines import STEPS


class Command(EngineCommand):
    help = """Show the configuration that a run would use.

  manage.py config --defaults > processing/configs/default.yaml    every parameter with its help
  manage.py config --config mine.yaml                              all values, after every file and --set
  manage.py config --step subtraction                              the parameters of one step"""

    needs_tables = False
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--defaults", action="store_true", help="The documented defaults, from the declarations.")
        parser.add_argument("--step", help="Only this step, with units and help.")

    def work(self, options: dict[str, Any]) -> None:
        if options["defaults"]:
            self.stdout.write(config.defaults_text(), ending="")
            return
        settings = self.configuration(options)
        steps = [cls(**settings.get(cls.name, {})) for cls in STEPS]
        if options["step"]:
            from processing.pipeline import Pipeline

            Pipeline(STEPS, configuration=settings).step(options["step"]).parameters.show()
            return
        values = {
            "pipeline": {"provenance_tag": config.tag_of(settings)},
            "configchoice": ConfigChoice.build(settings.get("configchoice", {}), "configchoice").values(),
            **{step.name: step.parameters.values() for step in steps},
        }
        self.stdout.write(yaml.safe_dump(values, sort_keys=False, default_flow_style=False), ending="")
