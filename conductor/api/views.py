"""The conductor's endpoints: what launchers, watches and people ask of it."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.mixins import CreateModelMixin, DestroyModelMixin, ListModelMixin, UpdateModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from conductor import selectors
from conductor.api import serializers as data
from conductor.errors import BadValue, ConductorError, LeaseLost
from conductor.filters import ClaimEventFilter, KnownExposureFilter
from conductor.incoming import allowed_folders
from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Policy, Watch
from conductor.services import adding, claiming, finishing, moving, policy, watches, workers
from processing.instruments.offers import Offer
from products.api.base import ArchiveView, ReadView
from products.api.parameters import refuse_others
from products.models import Exposure

WORK = "conductor.change_knownexposure"
UUID_PATTERN = "[0-9a-fA-F-]{32,36}"


class Conflict(APIException):
    """What was asked does not fit to how things stand."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class OfConductor(APIView):
    """What the conductor shares: who may read it, and expected failures with the status that fits."""

    is_under_tag = False
    read_permission = "conductor.view_knownexposure"

    def handle_exception(self, error: Exception) -> Response:
        """The answer to an error."""
        if isinstance(error, BadValue):
            error = ValidationError({error.details["field"]: [error.details["reason"]]})
        elif isinstance(error, ConductorError):
            error = Conflict(str(error), code="lease_lost" if isinstance(error, LeaseLost) else "conflict")
        return super().handle_exception(error)

    def sent(self, serializer: type[serializers.Serializer], **context: Any) -> dict[str, Any]:
        """The values that were sent; 400 names those that are wrong."""
        found = serializer(data=self.request.data, context=context)
        found.is_valid(raise_exception=True)
        return found.validated_data


class KnownExposureView(OfConductor, ReadView):
    """Exposures to be processed: added, claimed, given back, and moved."""

    queryset = KnownExposure.objects.none()  # for the document
    serializer_class = data.KnownExposureSerializer
    filterset_class = KnownExposureFilter
    ordering = ["-mjd"]
    ordering_fields = ("mjd", "created_at", "priority", "identifier")
    lookup_value_regex = UUID_PATTERN
    scopes = {
        "create": "ingest", "claim": "claim", "heartbeat": "claim", "start": "claim", "finish": "claim",
        "release": "claim", "move": "admin",
    }  # fmt: skip
    permissions = {
        "create": "conductor.add_knownexposure", "claim": WORK, "heartbeat": WORK, "start": WORK, "finish": WORK,
        "release": WORK, "move": WORK,
    }  # fmt: skip

    def get_queryset(self) -> Any:
        """All of them: what is known does not depend on a tag."""
        return selectors.rows()

    @extend_schema(request=data.AddSerializer, responses={201: data.AddedSerializer})
    def create(self, request: Request) -> Response:
        """Make exposures known; those that are known already are left alone."""
        sent = self.sent(data.AddSerializer, folders=allowed_folders())
        offers = [Offer(**one) for one in sent.pop("exposures")]
        added = adding.add(sent.pop("instrument"), offers, actor=_person(request), **sent)
        return Response(data.AddedSerializer(added).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=data.ClaimSerializer, responses=data.HandedOutSerializer)
    @action(detail=False, methods=["post"], filterset_class=None)
    def claim(self, request: Request) -> Response:
        """The next exposure for a launcher; the same token again gives the same one."""
        sent = self.sent(data.ClaimSerializer)
        found = claiming.claim(sent.pop("token"), sent.pop("cluster"), sent.pop("node"), **sent)
        if found is None:
            reason = selectors.why_nothing(sent["instrument"], sent["kinds"])
            answer = {"known_exposure": None, "lease_expires": None, "through_step": "", "reason": reason}
        else:
            answer = {"known_exposure": found.known_exposure, "lease_expires": found.lease_expires, "reason": ""}
            answer["through_step"] = found.through_step
        return Response(data.HandedOutSerializer(answer).data)

    @extend_schema(request=data.BeatSerializer, responses=data.KnownExposureSerializer)
    @action(detail=True, methods=["post"])
    def heartbeat(self, request: Request, pk: str) -> Response:
        """The holder lives: its lease begins anew. 409 where it is the holder no longer."""
        sent = self._of_holder(data.BeatSerializer, pk)
        if not claiming.heartbeat(sent["token"], lease=sent["lease"]):
            claiming.refuse(sent["token"])
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=data.StartSerializer, responses=data.KnownExposureSerializer)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """Processing begins; the CCDs that are named must finish."""
        sent = self._of_holder(data.StartSerializer, pk)
        claiming.start(sent["token"], exposure=_exposure(sent), sections=sent["sections"])
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=data.FinishSerializer, responses=data.KnownExposureSerializer)
    @action(detail=True, methods=["post"])
    def finish(self, request: Request, pk: str) -> Response:
        """The holder is through: done only where every CCD is."""
        sent = self._of_holder(data.FinishSerializer, pk)
        finishing.finish(
            sent["token"], sent["sections"], error=sent["error"], transient=sent["transient"], exposure=_exposure(sent)
        )
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=data.ReleaseSerializer, responses=data.KnownExposureSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """The holder gives it back; the attempt does not count."""
        sent = self._of_holder(data.ReleaseSerializer, pk)
        claiming.release(sent["token"], sent["reason"])
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=data.MoveSerializer, responses=data.MovedSerializer(many=True))
    @action(detail=False, methods=["post"], filterset_class=None, pagination_class=None)
    def move(self, request: Request) -> Response:
        """Hold, make ready, release, expire, delete or change many at once; the answer says what became of each."""
        sent = self.sent(data.MoveSerializer)
        if sent["action"] == "delete" and not request.user.has_perm("conductor.delete_knownexposure"):
            raise PermissionDenied("your account lacks the permission conductor.delete_knownexposure")
        moved = moving.move(sent.pop("action"), sent.pop("ids"), actor=_person(request), **sent)
        return Response(data.MovedSerializer(moved, many=True).data)

    def _of_holder(self, serializer: type[serializers.Serializer], pk: str) -> dict[str, Any]:
        """What a holder sent; a token that was drawn for another known exposure is refused."""
        row, sent = self.get_object(), self.sent(serializer)
        claiming.refuse_another(sent["token"], row)
        return sent


class WorkerView(OfConductor, CreateModelMixin, DestroyModelMixin, ReadView):
    """Launchers: they register, send heartbeats, and leave."""

    queryset = PipelineWorker.objects.filter(ended_at=None)
    serializer_class = data.WorkerSerializer
    ordering = ["pk"]
    ordering_fields = ("cluster", "last_heartbeat")
    write_scope = "claim"
    permissions = {"create": WORK, "heartbeat": WORK, "destroy": WORK}
    lookup_value_regex = "[0-9]{1,18}"

    def perform_create(self, serializer: Any) -> None:
        """Register: one of the same name is replaced."""
        serializer.instance = workers.register(**serializer.validated_data)

    def perform_destroy(self, instance: PipelineWorker) -> None:
        """It ends."""
        workers.forget(instance)

    @extend_schema(request=None, responses=data.WorkerSerializer)
    @action(detail=True, methods=["post"])
    def heartbeat(self, request: Request, pk: str) -> Response:
        """It is there."""
        row = self.get_object()
        return Response(self.get_serializer(workers.seen(row.cluster, row.node)).data)


class WatchView(OfConductor, CreateModelMixin, UpdateModelMixin, DestroyModelMixin, ReadView):
    """Where new exposures are looked for."""

    queryset = Watch.objects.all()
    serializer_class = data.WatchSerializer
    ordering = ["name"]
    ordering_fields = ("name",)
    write_scope = "ingest"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    permissions = {
        "create": "conductor.add_watch", "update": "conductor.change_watch",
        "partial_update": "conductor.change_watch",
        "look": "conductor.change_watch",
        "destroy": "conductor.delete_watch",
    }  # fmt: skip
    lookup_value_regex = "[0-9]{1,18}"

    def perform_create(self, serializer: Any) -> None:
        """Make it."""
        serializer.instance = watches.save(Watch(**serializer.validated_data), actor=_person(self.request))

    def perform_update(self, serializer: Any) -> None:
        """Change what was sent of it."""
        for name, value in serializer.validated_data.items():
            setattr(serializer.instance, name, value)
        watches.save(serializer.instance, actor=_person(self.request))

    def perform_destroy(self, instance: Watch) -> None:
        """Forget it."""
        watches.delete(instance, actor=_person(self.request))

    @extend_schema(request=None, responses={202: data.WatchSerializer})
    @action(detail=True, methods=["post"])
    def look(self, request: Request, pk: str) -> Response:
        """Look as soon as a process that watches is free, whether or not it is due."""
        watches.look_soon(self.get_object(), actor=_person(request))
        return Response(self.get_serializer(self.get_object()).data, status=status.HTTP_202_ACCEPTED)


class ClaimEventView(OfConductor, ListModelMixin, ArchiveView):
    """What happened to known exposures; events are never changed."""

    queryset = ClaimEvent.objects.all()
    serializer_class = data.ClaimEventSerializer
    filterset_class = ClaimEventFilter
    ordering = ["-id"]
    ordering_fields = ("id", "at")


class PolicyView(OfConductor):
    """What holds for everything that is handed out."""

    read_scope, write_scope = "read", "admin"
    permissions = {"PATCH": "conductor.change_policy"}

    @extend_schema(responses=data.PolicySerializer)
    def get(self, request: Request) -> Response:
        """The policy."""
        refuse_others(request)
        return Response(data.PolicySerializer(policy.current()).data)

    @extend_schema(request=data.PolicySerializer, responses=data.PolicySerializer)
    def patch(self, request: Request) -> Response:
        """Change what is sent of the policy."""
        found = data.PolicySerializer(instance=Policy(), data=request.data, partial=True)
        found.is_valid(raise_exception=True)
        return Response(data.PolicySerializer(policy.set_policy(**found.validated_data, actor=_person(request))).data)


def _person(request: Request) -> str:
    return request.user.get_username()


def _exposure(sent: dict[str, Any]) -> Exposure | None:
    """The exposure that was named; 400 where the archive has none of that id."""
    key: uuid.UUID | None = sent.get("exposure")
    found = Exposure.objects.filter(pk=key).first() if key else None
    if key and found is None:
        raise BadValue(field="exposure", reason=f"the archive has no exposure {key}")
    return found
