"""Names of objects, in the format of the site: of the year and a running number, as letters or digits."""

from __future__ import annotations

from django.conf import settings
from django.db.models import F

from products.models import ObjectName

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORTEST = 4  # letters: a year's first 456,976 names have this length


def new_names(year: int, count: int) -> list[str]:
    """`count` names of `year` that nobody else gets; call it inside the transaction that uses them."""
    ObjectName.objects.get_or_create(year=year)
    ObjectName.objects.filter(year=year).update(used=F("used") + count)
    used = ObjectName.objects.get(year=year).used
    return [name_of(settings.SEECHANGE_OBJECT_NAMES, year, number) for number in range(used - count, used)]


def name_of(pattern: str, year: int, number: int) -> str:
    """The name of the object `number` (from 0) of a year in a format with {yyyy} or {yy}, and {letters} or {number}."""
    return pattern.format(yyyy=year, yy=f"{year % 100:02d}", letters=letters(number), number=number + 1)


def letters(number: int) -> str:
    """0 → aaaa, 1 → aaab, …; names grow by a letter when one length is used up."""
    length = SHORTEST
    while number >= len(LETTERS) ** length:
        number -= len(LETTERS) ** length
        length += 1
    found = ""
    for _ in range(length):
        number, digit = divmod(number, len(LETTERS))
        found = LETTERS[digit] + found
    return found
