"""Alerts as files in a folder: for a look, for tests, for another program that picks them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from django.conf import settings

from processing.parameters import param
from processing.senders.base import Delivery, Packet, Sender
from products.errors import ArchiveError
from products.storage import settle, whole_file


class FolderSender(Sender):
    """One Avro file an alert, in a folder for each day."""

    name = "folder"

    folder: str = param("", critical=False, help="Where to; the setting SEECHANGE_ALERTS if not given.")

    def send(self, packets: Sequence[Packet]) -> Iterable[Delivery]:
        root = Path(self.folder or settings.SEECHANGE_ALERTS)
        by_day = groupby(packets, key=lambda packet: root / f"{packet.created:%Y%m%d}")
        return [delivery for folder, of_day in by_day for delivery in _written(folder, list(of_day))]


def _written(folder: Path, packets: Sequence[Packet]) -> list[Delivery]:
    """Write packets; they count as sent when their names are on the disk too."""
    found: list[Delivery] = []
    for packet in packets:
        path = folder / f"{packet.id}.avro"
        try:
            with whole_file(path, folder_too=False) as partial:
                partial.write_bytes(packet.payload)
        except (OSError, ArchiveError) as error:
            found.append(Delivery(packet.id, ok=False, error=str(error)))
        else:
            found.append(Delivery(packet.id, ok=True, where=str(path)))
    try:
        if any(delivery.ok for delivery in found):
            settle(folder)
    except OSError as error:
        return [Delivery(packet.id, ok=False, error=str(error)) for packet in packets]
    return found
