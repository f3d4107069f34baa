"""Files of products as answers to whoever asks for them, pages and the REST API alike."""

from __future__ import annotations

from typing import BinaryIO

from django.http import FileResponse

from products.calibrated_fits import calibrated_copy
from products.models import Image
from products.models.files import FileBacked
from products.selectors import trace
from products.selectors.tags import ChosenTag

CALIBRATED = (Image.Kind.SCIENCE, Image.Kind.COADD)  # kinds that are calibrated after their file is written


def fits_answer(row: FileBacked, tag: ChosenTag, *, calibrated: bool = False) -> FileResponse:
    """The file of a row; ArchiveError or OSError where it cannot be read.

    With `calibrated` an image has the WCS and the zero point in its headers that it has under the tag.
    """
    path = row.path()
    content: BinaryIO = path.open("rb")
    if calibrated and isinstance(row, Image):
        image = Image.objects.get(pk=row.pk)
        if image.kind in CALIBRATED and (zero_point := trace.tree(image, tag).zero_point):
            content = calibrated_copy(path, zero_point)
    kind = "avro" if path.suffix == ".avro" else "fits"
    answer = FileResponse(content, as_attachment=True, filename=path.name, content_type=f"application/{kind}")
    answer["Cache-Control"] = "private"
    return answer
