"""Alerts as files in a folder: for a look, for tests, for another program that picks them up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from django.conf import settings

from processing.parameters import param
from processing.senders.base import Delivery, Packet, Sender
from products.errors import ArchiveError
from products.storage import whole_file


class FolderSender(Sender):
    """One Avro file an alert, in a folder for each day."""

    name = "folder"

    folder: str = param("", critical=False, help="Where to; the setting SEECHANGE_ALERTS if not given.")

    def send(self, packets: Sequence[Packet]) -> Iterable[Delivery]:
        root = Path(self.folder or settings.SEECHANGE_ALERTS)
        for packet in packets:
            path = root / f"{packet.created:%Y%m%d}" / f"{packet.id}.avro"
            try:
                with whole_file(path) as partial:
                    partial.write_bytes(packet.payload)
            except (OSError, ArchiveError) as error:
                yield Delivery(packet.id, ok=False, error=str(error))
            else:
                yield Delivery(packet.id, ok=True, where=str(path))
