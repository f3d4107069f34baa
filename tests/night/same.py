"""What two runs must have in common: products, contents of files, measurements, scores and alerts, without ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from processing.datastore import DataStore
from products.alerts import frozen
from products.models import Alert, AlertBatch, DeepScoreSet, Exposure, MeasurementSet
from products.models.files import FileBacked
from products.selectors.tags import product_models

OWN = {"id", "created_at", "filepath"}  # columns that differ from run to run, as do the ids of parents


def tree(exposure: Exposure, section: str) -> dict[str, Any]:
    """Class of each product of a CCD → its columns and the checksum of its file."""
    data = DataStore.from_tag(exposure, section, "current")
    return {type(product).__name__: columns(product) for product in data.products()}


def columns(row: Any) -> dict[str, Any]:
    """The columns of a row that are not ids."""
    found = {
        field.name: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.name not in OWN and (not field.is_relation or field.name == "provenance")
    }
    if isinstance(row, AlertBatch):  # the packets in its file name other rows by their ids
        found.pop("sha256")
        found["packets"] = [_without_ids(packet) for packet in frozen.read(row).values()] if row.filepath else []
    if isinstance(row, (MeasurementSet, DeepScoreSet)):
        found["rows"] = [columns(each) for each in row.all_rows()]
    return found


def _without_ids(packet: dict[str, Any]) -> dict[str, Any]:
    ids = {"alertId", "diaSourceId", "diaObjectId", "name"}
    plain = {name: value for name, value in packet.items() if name not in ids}
    for name in ("diaSource", "diaObject"):
        plain[name] = {key: value for key, value in packet[name].items() if key not in ids}
    plain["prvDiaSources"] = [{k: v for k, v in one.items() if k not in ids} for one in packet["prvDiaSources"]]
    return plain


def counts() -> dict[str, int]:
    """How many rows there are of each product, and alerts."""
    return {model.__name__: model.objects.count() for model in (*product_models(), Alert)}


def recorded() -> set[str]:
    """Files that rows name."""
    models = [model for model in product_models() if issubclass(model, FileBacked)]
    return {key for model in models for key in model.objects.values_list("filepath", flat=True)} - {""}


def stored() -> set[str]:
    """Files in the data folder."""
    root = Path(settings.SEECHANGE_DATA) / "files"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
