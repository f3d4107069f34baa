"""Keep the products of a step: files first, then all rows in one transaction; who comes second takes the winner's."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection, transaction

from products import storage
from products.interrupts import held_back
from products.models import AlertBatch, DeepScoreSet, KnownObjectSet, MeasurementSet, Provenance
from products.models.base import Product
from products.models.files import FileBacked
from products.services import badness


def keep(products: Sequence[Product], provenance: Provenance) -> bool:
    """Write and save `products`. False, with nothing left behind, where another process kept the same ones before."""
    try:
        for product in products:
            product.provenance = provenance
            if isinstance(product, FileBacked):
                product.write_file()
    except BaseException:
        _discard(products)
        raise
    try:
        with held_back(), transaction.atomic():
            badness.wait_for_marking()
            for product in products:
                product.save(force_insert=True)
                for name, related in getattr(product, "related", {}).items():
                    getattr(product, name).set(related)
                badness.inherit(product)
                _keep_rows(product)
    except BaseException as error:
        # The answer to a commit can be lost, and an interrupt comes right after it: only the database knows. Where it
        # cannot be asked the files stay; `manage.py fsck` finds those without a row.
        if isinstance(error, (OperationalError, InterfaceError)) and not connection.in_atomic_block:
            connection.close()  # the next query makes a new one
        if not type(products[0]).objects.filter(pk=products[0].pk).exists():
            _discard(products)
            if isinstance(error, IntegrityError) and _exists(products[0], provenance):
                return False
            raise
        if not isinstance(error, (DatabaseError, InterfaceError)):
            raise
    return True


def _keep_rows(product: Product) -> None:
    if not isinstance(product, (MeasurementSet, DeepScoreSet, KnownObjectSet, AlertBatch)):
        return
    if isinstance(product, MeasurementSet):
        from products.services.association import associate

        associate(product.rows, radius_arcsec=product.association_radius)
        for row in product.rows:
            row.inherit_badness()
    if isinstance(product, DeepScoreSet):
        for row in product.rows:
            row.scorer = product.provenance_id
    if product.rows:
        type(product.rows[0]).objects.bulk_create(product.rows)


def _discard(products: Sequence[Product]) -> None:
    for product in products:
        if isinstance(product, FileBacked) and product.filepath:
            storage.remove(product.filepath)
            product.filepath = ""


def _exists(product: Product, provenance: Provenance) -> bool:
    identity = {name: getattr(product, name) for name in product.identity_fields()}
    kind = {"kind": product.KIND} if product.KIND else {}
    return type(product).objects.filter(provenance=provenance, **kind, **identity).exists()
