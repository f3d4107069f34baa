from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ProductsConfig(AppConfig):
    name = "products"
    verbose_name = "Products"

    def ready(self) -> None:
        from products.services.statistics import refresh_statistics

        post_migrate.connect(refresh_statistics, sender=self)
