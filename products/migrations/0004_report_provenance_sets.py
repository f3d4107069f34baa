import base64
import hashlib

import django.db.models.deletion
from django.db import migrations, models


def fill(apps, schema_editor):
    """Give every report that there is its set of provenances."""
    Report, ProvenanceSet = apps.get_model("products", "Report"), apps.get_model("products", "ProvenanceSet")
    known = {}
    for pk, provenances in Report.objects.order_by().values_list("pk", "provenances").iterator(chunk_size=1000):
        if members := tuple(sorted(set(provenances.values()))):
            known.setdefault(members, []).append(pk)
    for members, rows in known.items():
        key = base64.b32encode(hashlib.sha256(" ".join(members).encode()).digest()).decode()[:20]
        ProvenanceSet.objects.create(key=key, members=list(members))
        for start in range(0, len(rows), 500):
            Report.objects.filter(pk__in=rows[start : start + 500]).update(provenance_set=key)


class Migration(migrations.Migration):
    dependencies = [("products", "0003_scores_beside_measurements")]

    operations = [
        migrations.CreateModel(
            name="ProvenanceSet",
            fields=[
                (
                    "key",
                    models.CharField(
                        editable=False,
                        help_text="Hash of the members.",
                        max_length=20,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("members", models.JSONField(help_text="Provenance ids, sorted.")),
            ],
        ),
        migrations.AddField(
            model_name="report",
            name="provenance_set",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                help_text="The same without the names of the steps.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reports",
                to="products.provenanceset",
            ),
        ),
        migrations.AddIndex(
            model_name="report",
            index=models.Index(
                fields=["exposure", "section", "attempt", "state", "tag", "provenance_set", "cluster", "node"],
                name="report_states",
            ),
        ),
        migrations.AddIndex(
            model_name="report",
            index=models.Index(fields=["error_type", "error_step"], name="report_errors"),
        ),
        # The last: PostgreSQL changes no table with rows that wait for the check of a foreign key.
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
