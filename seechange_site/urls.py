"""The table of contents of the site."""

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView, PasswordResetDoneView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from processing.urls import archive_patterns
from seechange_site import accounts, passwords, people, trouble, views

urlpatterns = [
    path("", views.home, name="home"),
    path("find/", views.find, name="find"),
    path("preferences/", views.preferences, name="preferences"),
    path("", include("products.urls")),
    path("", include(archive_patterns)),
    path("pipeline/", include("processing.urls")),
    path("conductor/", include("conductor.urls")),
    path("docs/", views.docs, name="docs"),
    path("docs/<path:page>/", views.doc, name="doc"),
    path("login/", passwords.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("password/forgotten/", passwords.Forgotten.as_view(), name="password_reset"),
    path("password/sent/", PasswordResetDoneView.as_view(), name="password_reset_done"),
    path("password/<uidb64>/<token>/", passwords.Confirm.as_view(), name="password_reset_confirm"),
    path("account/", accounts.account, name="account"),
    path("account/password/", passwords.Change.as_view(), name="password_change"),
    path("account/tokens/", accounts.make_token, name="make_token"),
    path("account/tokens/<uuid:key>/revoke/", accounts.revoke_token, name="revoke_token"),
    path("people/", people.people, name="people"),
    path("people/<str:name>/", people.person, name="person"),
    path("people/<str:name>/role/", people.change_person, {"what": "role"}, name="give_role"),
    path("people/<str:name>/open/", people.change_person, {"what": "open"}, name="open_account"),
    path("people/<str:name>/close/", people.change_person, {"what": "close"}, name="close_account"),
    path("people/<str:name>/link/", people.change_person, {"what": "link"}, name="password_link"),
    path("audit/", people.record, name="audit"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("seechange_site.api_urls")),
    path("api/", views.api_index, name="api"),
    path("health/", trouble.health, name="health"),
    path("favicon.ico", login_not_required(RedirectView.as_view(url=static("img/icon.svg"), permanent=True))),
]
handler400 = "seechange_site.trouble.unreadable"
handler500 = "seechange_site.trouble.failed"
