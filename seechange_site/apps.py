from django.apps import AppConfig
from django.contrib.auth import signals
from django.db.models.signals import m2m_changed, post_migrate


class SeeChangeSiteConfig(AppConfig):
    name = "seechange_site"
    verbose_name = "SeeChange"

    def ready(self) -> None:
        from django.contrib.auth.models import User

        from seechange_site import audit, checks, roles  # noqa: F401  (checks register themselves)

        post_migrate.connect(roles.keep_roles, dispatch_uid="roles")
        m2m_changed.connect(roles.keep_staff, User.groups.through, dispatch_uid="staff")
        signals.user_logged_in.connect(audit.logged_in, dispatch_uid="logged in")
        signals.user_logged_out.connect(audit.logged_out, dispatch_uid="logged out")
        signals.user_login_failed.connect(audit.login_failed, dispatch_uid="log-in failed")
