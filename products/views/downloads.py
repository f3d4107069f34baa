"""Tables as files to keep."""

from __future__ import annotations

from astropy.table import Table
from django.http import Http404, HttpResponse

from products import exporting


def table_file(table: Table, name: str, ending: str) -> HttpResponse:
    """The table as an attachment; 404 for a format that is not written."""
    if ending not in exporting.MEDIA:
        raise Http404(f"There is no format '{ending}'; there are: {', '.join(exporting.MEDIA)}.")
    response = HttpResponse(exporting.as_bytes(table, ending), content_type=exporting.MEDIA[ending])
    response["Content-Disposition"] = f'attachment; filename="{name}.{ending}"'
    return response
