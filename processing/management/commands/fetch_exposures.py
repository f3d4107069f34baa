"""Exposures of an archive, without the conductor: look for them, bring them here, take them in."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from processing.errors import StepError
from processing.exposures import ingest
from processing.instruments.base import Instrument
from processing.instruments.offers import Offer, Unreadable, argument_value, checked_arguments
from processing.management.step_command import EngineCommand, instrument_from, require_migrated, said_of
from processing.progress import bytes_bar
from products.errors import ArchiveError


class Command(EngineCommand):
    help = """List the exposures that the archive of an instrument offers, download them, take them in.

Without --into nothing is downloaded. A download that broke off goes on when it is asked for again; a file that is there
is left as it is. What can be searched by is declared by the instrument, the same as for a watch.

examples:
  manage.py fetch_exposures --instrument decam --argument start=2023-08-04 --argument end=2023-08-04
  manage.py fetch_exposures --instrument decam --argument start=2023-08-04 --argument filters=[g,r] --into raw --ingest
  manage.py fetch_exposures --instrument decam --argument proc_type=instcal --argument ra=150.1 --argument dec=2.2"""

    needs_tables = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--instrument", required=True, help="Instrument that knows where to look.")
        parser.add_argument(
            "--argument", action="append", default=[], metavar="NAME=VALUE", help="What it is asked for; repeatable."
        )
        parser.add_argument("--into", type=Path, metavar="FOLDER", help="Download them into this folder.")
        parser.add_argument("--ingest", action="store_true", help="Take them in, once they are here.")
        parser.add_argument("--limit", type=int, metavar="N", help="At most N of them, the earliest first.")

    def work(self, options: dict[str, Any]) -> None:
        if options["ingest"] and not options["into"]:
            raise CommandError("--ingest needs --into FOLDER: what is not here cannot be taken in")
        if options["ingest"]:
            require_migrated()
        if wrong := [text for text in options["argument"] if "=" not in text]:
            raise CommandError(f"'{wrong[0]}': write --argument NAME=VALUE")
        instrument = instrument_from(options, self.configuration(options))
        pairs = (text.split("=", 1) for text in options["argument"])
        arguments = checked_arguments(instrument.offers, {name: argument_value(text) for name, text in pairs})
        offers, failed = [], 0
        for one in instrument.offers((), **arguments):
            if isinstance(one, Unreadable):
                self.stderr.write(f"{one.identifier}: {one.reason}")
            else:
                offers.append(one)
        offers = sorted(offers, key=lambda offer: offer.mjd)[: options["limit"]]
        for offer in offers:
            self.stdout.write(_line(offer))
            if options["into"]:
                failed += not self._bring(offer, instrument, options)
        self.stdout.write(f"{len(offers)} exposures")
        if failed:
            raise CommandError(f"{failed} of {len(offers)} exposures could not be had; run it again to go on")

    def _bring(self, offer: Offer, instrument: Instrument, options: dict[str, Any]) -> bool:
        """Download one exposure and take it in; what is wrong with it is said, and the others go on."""
        try:
            with bytes_bar(offer.identifier) as progress:
                path = instrument.fetch(offer.identifier, offer.params, options["into"], progress)
            self.stdout.write(f"  {path}")
            if options["ingest"]:
                self.stdout.write(f"  taken in as {ingest(path, instrument).name}")
        except (StepError, ArchiveError) as error:
            self.stderr.write(said_of(offer.identifier, error))
            return False
        return True


def _line(offer: Offer) -> str:
    seconds = "? s" if offer.exposure_time is None else f"{offer.exposure_time:g} s"
    facts = (offer.kind, offer.filter or "no filter", f"MJD {offer.mjd:.5f}", seconds, offer.target)
    return f"{offer.identifier}: {', '.join(facts)}"
