"""The table of contents of the site."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from seechange_site import views

urlpatterns = [
    path("", views.home, name="home"),
    path("find/", views.find, name="find"),
    path("preferences/", views.preferences, name="preferences"),
    path("", include("products.urls")),
    path("pipeline/", include("processing.urls")),
    path("docs/", views.docs, name="docs"),
    path("docs/<path:page>/", views.doc, name="doc"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("seechange_site.api_urls")),
    path("favicon.ico", RedirectView.as_view(url=static("img/icon.svg"), permanent=True)),
]
