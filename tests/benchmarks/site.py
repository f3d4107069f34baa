"""How fast the site answers with a whole survey in its database: server time of every list, page and endpoint.

Run by hand: `python manage.py benchmark site` (or `python -m tests.benchmarks.site --help`), in a SQLite database of its
own. Pages are asked for in this process, without a network; what reads pixels is left out, since there are no files.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
FOLDER = Path(tempfile.mkdtemp(prefix="seechange-benchmark-"))
os.environ["SEECHANGE_DATA"] = str(FOLDER)
os.environ["API_RATE"] = "1000000/min"
os.environ.pop("DATABASE_URL", None)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")

LISTS = (
    "/", "/find/?q=demo", "/exposures/", "/exposures/?state=failed", "/exposures/?state=done&filter=g&sort=-seeing",
    "/exposures/?position={place}", "/exposures/?start=61310&end=61320&page=2", "/reports/", "/reports/?state=failed",
    "/reports/?text=stars&sort=-started", "/candidates/", "/candidates/?show=all&sort=-score&page=40",
    "/candidates/?show=cut&sort=-snr", "/candidates/?filter=g&min_score=0.5", "/candidates/?min_snr=10&label=none",
    "/candidates/?position={place}&radius=60", "/candidates/?exposure={exposure}", "/candidates/?alert=yes",
    "/objects/", "/objects/?sort=-count&min_count=3", "/objects/?position={place}&radius=60", "/objects/?name=b&page=3",
    "/trace/?position={place}", "/alerts/", "/alerts/?state=pending", "/alerts/?sort=-created&page=5", "/provenance/",
    "/provenance/compare/?a=current&b=other", "/references/", "/references/?position={place}", "/calibrators/",
    "/fakes/", "/conductor/", "/conductor/?state=failed&sort=-mjd", "/conductor/events/", "/conductor/queue/",
    "/pipeline/", "/account/", "/people/", "/audit/", "/docs/overview/", "/api/", "/admin/",
    "/admin/products/measurement/", "/admin/products/object/", "/admin/products/alert/",
)  # fmt: skip
ROWS = (
    "/exposures/{exposure}/", "/exposures/{exposure}/{section}/report/", "/objects/{object}/",
    "/objects/{object}/light_curve.csv", "/provenance/{provenance}/", "/provenance/tags/current/",
    "/provenance/product/image/{image}/", "/provenance/product/image/{image}/badness/", "/measurements/{measurement}/alerts/",
)  # fmt: skip
API = (
    "exposures/?sort=mjd&page_size=250", "exposures/{exposure}/", "exposures/{exposure}/ccds/",
    "measurements/?page_size=250", "measurements/?sort=-snr&max_snr=6&page_size=250", "measurements/?min_score=0.9&filter=r",
    "measurements/?position={place}&radius=30", "objects/?position={place}&radius=30", "objects/{object}/",
    "objects/{object}/light-curve/", "objects/{object}/measurements/", "cone-search/?position={place}&radius=3600",
    "alerts/?page_size=500", "reports/?state=failed", "images/?kind=science&filter=g", "tags/current/",
)  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """The times of one address."""

    address: str
    status: int
    seconds: list[float]
    kilobytes: float

    @property
    def p95(self) -> float:
        """Below this were 95 % of the answers, seconds."""
        return statistics.quantiles(self.seconds, n=20, method="inclusive")[-1]


def main() -> None:
    """Fill a database, ask, print the slowest first; exit status 1 where an answer is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measurements", type=int, default=100_000, help="In the database [100000].")
    parser.add_argument("--repeat", type=int, default=20, help="How often each address is asked for [20].")
    parser.add_argument("--limit", type=float, default=0.3, help="Seconds that 95 %% of the answers may take [0.3].")
    parser.add_argument("--only", default="", help="Only addresses that contain this.")
    options = parser.parse_args()
    try:
        filled(options.measurements)
        rows = [timed(address, options.repeat) for address in addresses() if options.only in address]
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    print(f"{'p95 ms':>8} {'median':>8} {'kB':>8}  status  address")
    for row in sorted(rows, key=lambda row: -row.p95):
        mark = " *" if row.p95 > options.limit or row.status != 200 else ""
        middle = 1000 * statistics.median(row.seconds)
        print(f"{1000 * row.p95:8.0f} {middle:8.0f} {row.kilobytes:8.0f}  {row.status}     {row.address}{mark}")
    wrong = sum(row.p95 > options.limit or row.status != 200 for row in rows)
    print(f"{len(rows)} addresses, {wrong} of them slower than {1000 * options.limit:g} ms or not answered with 200")
    sys.exit(bool(wrong))


def filled(measurements: int) -> None:
    """A database with the rows of a survey."""
    from django.core.management import call_command

    import seechange_site.wsgi  # noqa: F401  (as a server loads the site)
    from tests.rows.waiting import known

    call_command("migrate", verbosity=0)
    begin = time.perf_counter()
    maker = [sys.executable, "-m", "tests.benchmarks.large_archive", "--measurements", str(measurements)]
    subprocess.run(maker, check=True)  # not here: what it leaves in memory is looked through again and again
    known(2000)
    print(f"{measurements} measurements, 2000 known exposures: made in {time.perf_counter() - begin:.0f} s", flush=True)


def addresses() -> list[str]:
    """What is asked for, with names that exist; every list of the REST API is among it."""
    from django.db.models import Count

    from products.models import Exposure, Image, Measurement, Object
    from seechange_site.endpoints import endpoints

    thing = Object.objects.annotate(n=Count("measurements")).order_by("-n").first()
    measured = (
        Measurement.objects.filter(object=thing).select_related("measurement_set__cutouts__sources__image").first()
    )
    image = measured.measurement_set.cutouts.sources.image
    names = {
        "exposure": Exposure.objects.get(pk=image.exposure_id).name, "section": image.section, "object": thing.name,
        "place": f"{thing.ra:.5f} {thing.dec:+.5f}".replace("+", "%2B"), "provenance": image.provenance_id,
        "image": Image.objects.filter(kind="science").first().pk, "measurement": measured.pk,
    }  # fmt: skip
    lists = [one.path for one in endpoints() if one.method == "GET" and "{" not in one.path]
    lists = [path for path in lists if not path.endswith(("/cone-search/", "/tag-comparison/"))]
    own = [f"/api/v1/{path}" for path in API]
    return [text.format(**names) for text in (*LISTS, *ROWS, *lists, *own)]


def timed(address: str, repeat: int) -> Timed:
    """The times of an address, for somebody who may see everything; the first answer, which warms caches, is left out."""
    from django.contrib.auth.models import User
    from django.test import Client

    person = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("benchmark")
    client = Client(raise_request_exception=False)
    client.force_login(person)

    def ask() -> Any:
        answer = client.get(address)
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return answer.status_code, len(body)

    status, size = ask()
    seconds = []
    for _ in range(repeat):
        begin = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - begin)
    return Timed(address, status, seconds, size / 1000)


if __name__ == "__main__":
    main()
