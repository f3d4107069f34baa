"""Addresses of the conductor's pages."""

from django.urls import path

from conductor.views import queue

urlpatterns = [path("queue/", queue.queue, name="queue")]
