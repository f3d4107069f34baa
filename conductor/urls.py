"""Addresses of the conductor's pages."""

from django.urls import path

from conductor.views import adding, events, known_exposures, moving, queue, watches

urlpatterns = [
    path("", known_exposures.conductor, name="conductor"),
    path("move/", moving.move_known_exposures, name="move_known_exposures"),
    path("policy/", moving.change_policy, name="change_policy"),
    path("add/", adding.add_exposures, name="add_exposures"),
    path("events/", events.claim_events, name="claim_events"),
    path("events/undo/", moving.undo_events, name="undo_events"),
    path("watches/add/", watches.add_watch, name="add_watch"),
    path("watches/<int:key>/", watches.change_watch, name="change_watch"),
    path("watches/<int:key>/move/", watches.move_watch, name="move_watch"),
    path("workers/<int:key>/remove/", watches.remove_worker, name="remove_worker"),
    path("queue/", queue.queue, name="queue"),
    path("<str:key>/", known_exposures.known_exposure, name="known_exposure"),
]
