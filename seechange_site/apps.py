from django.apps import AppConfig


class SeeChangeSiteConfig(AppConfig):
    name = "seechange_site"
    verbose_name = "SeeChange"

    def ready(self) -> None:
        from seechange_site import checks  # noqa: F401  (registers them)
