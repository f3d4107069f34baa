"""What is known of the CCDs of an exposure at its date: rows of the archive go before tables, tables before headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db.models import Q

from processing.instruments.base import Instrument, RawSection
from processing.instruments.distortion_tables import header_with_distortion
from processing.instruments.section_tables import SectionState, table_state
from products.models import Exposure, SensorSection


@dataclass(frozen=True)
class KnownSection:
    """A CCD at a date, and the row of the archive that says so, if one does."""

    state: SectionState
    row: SensorSection | None = None


def section_states(instrument: str, sections: Sequence[str], mjd: float) -> dict[str, KnownSection]:
    """What is known of CCDs at MJD (UTC), by name; of several rows of the archive the latest made holds."""
    rows = SensorSection.objects.filter(
        Q(valid_from=None) | Q(valid_from__lte=mjd),
        Q(valid_to=None) | Q(valid_to__gte=mjd),
        instrument=instrument,
        section__in=sections,
    )
    latest = {row.section: row for row in rows.order_by("created_at", "pk")}
    return {name: _known(table_state(instrument, name, mjd), latest.get(name)) for name in sections}


def section_state(instrument: str, section: str, mjd: float) -> KnownSection:
    """What is known of one CCD at MJD (UTC)."""
    return section_states(instrument, [section], mjd)[section]


def read_raw(exposure: Exposure, section: str) -> RawSection:
    """The raw pixels of a CCD, with gain, read noise, saturation and distortion as they are known for its date."""
    camera = Instrument.member(exposure.instrument)()
    raw = camera.read_section(exposure.path(), exposure.companion_paths(), exposure.header, section)
    known = section_state(exposure.instrument, section, exposure.mjd)
    amplifiers = tuple(replace(one, **known.state.amplifier(one.name)) for one in raw.amplifiers)
    shape = tuple(max(one.target[axis].stop for one in amplifiers) for axis in (0, 1))
    wcs = header_with_distortion(raw.wcs, exposure.instrument, section, shape)
    return replace(raw, amplifiers=amplifiers, wcs=wcs, sensor_section=known.row)


def _known(state: SectionState, row: SensorSection | None) -> KnownSection:
    """What a table says, with what the archive says on top."""
    if row is None:
        return KnownSection(state)
    names = {*state.amplifiers, *row.amplifiers}
    # What the archive says of all amplifiers goes before what the table says of one.
    of_all = row.amplifiers.get("", {})
    merged = {name: {**state.amplifiers.get(name, {}), **of_all, **row.amplifiers.get(name, {})} for name in names}
    comment = row.comment or state.comment
    return KnownSection(replace(state, is_usable=row.is_usable, comment=comment, amplifiers=merged), row)
