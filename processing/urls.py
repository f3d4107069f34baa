"""Addresses of the pages that describe the pipeline."""

from django.urls import path

from processing import views

urlpatterns = [
    path("", views.pipeline, name="pipeline"),
    path("steps/<str:name>/", views.step, name="step"),
]
