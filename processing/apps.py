from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class ProcessingConfig(AppConfig):
    name = "processing"

    def ready(self) -> None:
        from django_q.signals import pre_execute

        from processing import checks  # noqa: F401  (registers them)
        from processing.queue.allowed import refuse_others
        from processing.queue.schedules import keep_schedules

        pre_execute.connect(refuse_others)
        post_migrate.connect(keep_schedules, sender=apps.get_app_config("django_q"))
