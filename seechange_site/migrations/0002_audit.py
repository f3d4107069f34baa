"""The record of accounts, and the triggers that keep its rows as they were written."""

import django.utils.timezone
from django.db import migrations, models

TABLE = "seechange_site_auditevent"
SAYS = "audit events are never changed"
# SQLite has no TRUNCATE: `flush`, which empties a database, deletes there row by row, so deleting stays possible.
TRIGGERS = {
    "sqlite": [
        f"CREATE TRIGGER audit_unchanging BEFORE UPDATE ON {TABLE} BEGIN SELECT RAISE(ABORT, '{SAYS}'); END",
    ],
    "postgresql": [
        "CREATE FUNCTION audit_unchanging() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{SAYS}' USING ERRCODE = 'restrict_violation'; END $$",
        f"CREATE TRIGGER audit_unchanging BEFORE UPDATE OR DELETE ON {TABLE} "
        "FOR EACH ROW EXECUTE FUNCTION audit_unchanging()",
    ],
}
UNDONE = {
    "sqlite": ["DROP TRIGGER audit_unchanging"],
    "postgresql": [f"DROP TRIGGER audit_unchanging ON {TABLE}", "DROP FUNCTION audit_unchanging"],
}


def run(statements):
    def forward(apps, schema_editor):
        for statement in statements.get(schema_editor.connection.vendor, ()):
            schema_editor.execute(statement)

    return forward


class Migration(migrations.Migration):

    dependencies = [
        ('seechange_site', '0001_api_token'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_index=True, default=django.utils.timezone.now, editable=False, help_text='UTC.')),
                ('action', models.CharField(choices=[('logged in', 'logged in'), ('logged out', 'logged out'), ('log-in failed', 'log-in failed'), ('log-in refused', 'too many attempts to log in'), ('password', 'password changed'), ('link', 'link to set a password made'), ('reset', 'link to set a password asked for'), ('token made', 'token made'), ('token revoked', 'token revoked'), ('token used', 'token used for the first time of a day'), ('added', 'account added'), ('changed', 'account changed')], help_text='What happened.', max_length=20)),
                ('actor', models.CharField(blank=True, help_text='Name of who did it; empty for a stranger.', max_length=150)),
                ('about', models.CharField(blank=True, help_text='Name of the account that it was done with.', max_length=150)),
                ('address', models.GenericIPAddressField(blank=True, help_text='From which address it was asked.', null=True)),
                ('detail', models.CharField(blank=True, help_text='More of it, in words.', max_length=300)),
            ],
            options={
                'ordering': ['-id'],
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['action', 'at'], name='audit_action_at'), models.Index(fields=['about', '-id'], name='audit_about')],
            },
        ),
        migrations.RunPython(run(TRIGGERS), run(UNDONE)),
    ]
