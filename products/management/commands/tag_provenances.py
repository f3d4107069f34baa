"""Tags of provenances from the command line."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from products.errors import ArchiveError
from products.models import ProvenanceTag
from products.selectors.provenances import provenances_by_id
from products.selectors.tags import compare, contents, tag_rows
from products.services import tagging

ABOUT = """Names for sets of provenances: list them, look into one, change it, compare two.

A provenance says with what code, parameters and inputs products were made; a tag names a whole set of provenances,
one a process (several of referencing), for instance all those of a data release. Pages, commands and exports take
the name of a tag. Tags never change products: taking a provenance out of a tag deletes nothing.

examples:
  manage.py tag_provenances list
  manage.py tag_provenances show current
  manage.py tag_provenances tag release-1 3KQ7V2MD 7F2AXQ5T     tag two provenances, by the beginnings of their ids
  manage.py tag_provenances clone current release-2026          keep what 'current' holds now under another name
  manage.py tag_provenances compare current release-2026        what differs, and how many products each has
  manage.py tag_provenances untag release-1 7F2AXQ5T            take one provenance out
  manage.py tag_provenances untag release-1 --all               delete the tag"""


class Command(BaseCommand):
    help = ABOUT
    requires_migrations_checks = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        actions.add_parser("list", help="All tags, with the number of their provenances and the last change.")
        show = actions.add_parser("show", help="The provenances of a tag and what carries them.")
        show.add_argument("tag", metavar="TAG")
        show.add_argument("--parameters", action="store_true", help="With the parameters of each.")
        tag = actions.add_parser("tag", help="Put provenances into a tag; it is made where it is new.")
        tag.add_argument("tag", metavar="TAG")
        tag.add_argument("ids", metavar="ID", nargs="+", help="Id of a provenance, or its beginning.")
        untag = actions.add_parser("untag", help="Take provenances out of a tag.")
        untag.add_argument("tag", metavar="TAG")
        untag.add_argument("ids", metavar="ID", nargs="*", help="Id of a provenance, or its beginning.")
        untag.add_argument("--all", action="store_true", help="All of them: the tag is gone then.")
        clone = actions.add_parser("clone", help="Give the provenances of a tag a second name.")
        clone.add_argument("tag", metavar="TAG")
        clone.add_argument("new_tag", metavar="NEW")
        both = actions.add_parser("compare", help="What differs between two tags.")
        both.add_argument("tag", metavar="A")
        both.add_argument("other", metavar="B")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(options)
        except ArchiveError as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        rows = tag_rows()
        if not rows:
            self.stdout.write("There is no tag yet: processing an exposure makes 'current'.")
        table = [
            (row["tag"], f"{row['provenances']} provenances", f"{row['changed']:%Y-%m-%d %H:%M} UTC") for row in rows
        ]
        self._table(table)

    def _show(self, options: dict[str, Any]) -> None:
        tagging.refuse_unknown(options["tag"])
        for row in contents(options["tag"]):
            kept = ", ".join(f"{n} {kind}" for kind, n in row.products.items()) or "nothing yet"
            code = row.provenance.code_version
            bad = " BAD" if row.provenance.is_bad else ""
            self.stdout.write(
                f"{row.provenance.pk}  {row.provenance.process} {code.major}.{code.minor}.{code.patch}{bad}: {kept}"
            )
            if options["parameters"]:
                for name, value in row.parameters:
                    self.stdout.write(f"    {name} = {value}")

    def _tag(self, options: dict[str, Any]) -> None:
        new = tagging.tag_provenances(options["tag"], provenances_by_id(options["ids"]))
        self.stdout.write(f"{new} of {len(options['ids'])} provenances are new in '{options['tag']}'.")

    def _untag(self, options: dict[str, Any]) -> None:
        tag, ids = options["tag"], options["ids"]
        if bool(ids) == options["all"]:
            raise CommandError("give the ids of provenances to take out, or --all to delete the tag")
        tagging.refuse_unknown(tag)
        chosen = provenances_by_id(ids)
        held = set(ProvenanceTag.objects.filter(tag=tag).values_list("provenance_id", flat=True))
        if missing := [row for row in chosen if row.pk not in held]:
            names = ", ".join(f"{row.process} {row.pk}" for row in missing)
            raise CommandError(f"'{tag}' does not hold {names}; nothing was taken out")
        gone = tagging.untag(tag, None if options["all"] else chosen)
        rest = "the tag is gone" if gone == len(held) else f"it holds {len(held) - gone} more"
        self.stdout.write(f"{gone} provenances taken out of '{tag}'; {rest}. Products and provenances stay.")

    def _clone(self, options: dict[str, Any]) -> None:
        new = tagging.clone(options["tag"], options["new_tag"])
        self.stdout.write(f"{new} provenances of '{options['tag']}' are new in '{options['new_tag']}'.")

    def _compare(self, options: dict[str, Any]) -> None:
        a, b = options["tag"], options["other"]
        tagging.refuse_unknown(a)
        tagging.refuse_unknown(b)
        found = compare(a, b)
        table = [("process", a, b, "because of")]
        for row in found.processes:
            left, right = (" ".join(p.pk[:8] for p in side) or "-" for side in (row.a, row.b))
            table.append((row.process, left, "same" if row.same else right, "" if row.same else row.why))
        self._table(table)
        if found.parameters:
            self.stdout.write("\nparameters that differ")
            self._table([(process, name, x, y) for process, name, x, y in found.parameters])
        if found.products:
            self.stdout.write("\nproducts")
            self._table(found.products)

    def _table(self, rows: Iterable[tuple[Any, ...]]) -> None:
        texts = [[str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*texts)]
        for row in texts:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
