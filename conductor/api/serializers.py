"""The conductor's rows as JSON, and what is sent to it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from conductor import steps
from conductor.errors import ConductorError, NotAllowed
from conductor.incoming import check_folder, checked_params
from conductor.models import ClaimEvent, KnownExposure, PipelineWorker, Policy, Watch
from conductor.services.adding import named_instrument
from conductor.services.claiming import LEASE, LONGEST_LEASE, SCIENCE
from conductor.services.moving import ACTIONS
from conductor.watching import check_arguments
from products.models import Exposure


class Strict(serializers.Serializer):
    """What is sent; a name that is not known is refused, since a typing error would change nothing silently."""

    def to_internal_value(self, data: Any) -> Any:
        """The values by name."""
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            listed = ", ".join(self.fields)
            raise serializers.ValidationError(
                {name: [f"there is no such field; there are {listed}"] for name in unknown}
            )
        return super().to_internal_value(data)


class StepField(serializers.CharField):
    """The name of a step, or nothing."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_blank": True, "required": False, "max_length": 40, **options})

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return _as_field_error(steps.checked, super().run_validation(data))


class InstrumentField(serializers.CharField):
    """The name of an instrument."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        found = super().run_validation(data)
        if found:
            _as_field_error(named_instrument, found)
        return found


class PlainJSON(serializers.JSONField):
    """An object of plain JSON."""

    def run_validation(self, data: Any = serializers.empty) -> Any:
        found = super().run_validation(data)
        if not isinstance(found, dict):
            raise serializers.ValidationError("an object is needed: names and values")
        return found


def _as_field_error(check: Any, value: Any) -> Any:
    """What `check` gives for a value; its complaint is told as that of the field."""
    try:
        return check(value)
    except ConductorError as error:
        raise serializers.ValidationError(error.details["reason"]) from error


# What is shown ---------------------------------------------------------------------------------------------


class KnownExposureSerializer(serializers.ModelSerializer):
    """One known exposure; the token of its holder is nobody's business."""

    cluster = serializers.CharField(source="worker.cluster", default="", read_only=True)
    node = serializers.CharField(source="worker.node", default="", read_only=True)
    watch = serializers.CharField(source="watch.name", default=None, read_only=True, allow_null=True)
    exposure = serializers.CharField(source="exposure.name", default=None, read_only=True, allow_null=True)

    class Meta:
        model = KnownExposure
        fields = [
            "id", "instrument", "identifier", "params", "kind", "mjd", "exposure_time", "filter", "filters", "target",
            "project", "ra", "dec", "priority", "not_before", "through_step", "watch", "state", "attempt",
            "lease_expires", "cluster", "node", "claimed_at", "started_at", "finished_at", "sections", "last_error",
            "exposure", "created_at",
        ]  # fmt: skip


class ClaimEventSerializer(serializers.ModelSerializer):
    """One event."""

    known_exposure = serializers.UUIDField(
        source="known_exposure_id", allow_null=True, help_text="Also of one that is deleted; none: all of them."
    )

    class Meta:
        model = ClaimEvent
        fields = [
            "id", "at", "known_exposure", "instrument", "identifier", "from_state", "to_state", "what", "actor",
            "reason", "attempt",
        ]  # fmt: skip


class WorkerSerializer(serializers.ModelSerializer):
    """One worker."""

    class Meta:
        model = PipelineWorker
        fields = ["id", "cluster", "node", "process_id", "version", "started_at", "last_heartbeat", "ended_at"]
        read_only_fields = ["started_at", "last_heartbeat", "ended_at"]
        validators: list = []  # a launcher that starts again takes the row of its name


class WatchSerializer(Strict, serializers.ModelSerializer):
    """One watch."""

    instrument = InstrumentField(max_length=40)
    arguments = PlainJSON(help_text="What the instrument is asked for.", required=False)
    through_step = StepField()

    class Meta:
        model = Watch
        fields = [
            "id", "name", "instrument", "arguments", "interval", "hold", "is_paused", "priority", "through_step",
            "look_at_once", "last_run", "last_result", "last_counts", "last_error",
        ]  # fmt: skip
        read_only_fields = ["look_at_once"]

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """The search arguments must be those of the instrument, and the folder one that this person may name."""
        of = {name: values.get(name, getattr(self.instance, name, None)) for name in ("instrument", "arguments")}
        try:
            check_arguments(of["instrument"], of["arguments"] or {})
            check_folder(of["arguments"] or {}, self.context["request"].user)
        except NotAllowed as error:
            raise serializers.ValidationError({"arguments": [f"folder: {error}"]}) from error
        except ConductorError as error:
            raise serializers.ValidationError({error.details["field"]: [error.details["reason"]]}) from error
        return values


class PolicySerializer(Strict, serializers.ModelSerializer):
    """The policy."""

    through_step = StepField()

    class Meta:
        model = Policy
        fields = ["is_paused", "through_step"]


# What is sent ----------------------------------------------------------------------------------------------


class OfferSerializer(Strict, serializers.ModelSerializer):
    """One exposure to be made known; the context has the folders of which raw files may be named."""

    params = PlainJSON(required=False, help_text="What the instrument needs to fetch the raw file, e.g. path.")
    filters = PlainJSON(required=False, help_text="Filter of each section, where they differ.")

    class Meta:
        model = KnownExposure
        fields = [
            "identifier", "params", "kind", "mjd", "exposure_time", "filter", "filters", "target", "project", "ra",
            "dec",
        ]  # fmt: skip

    def validate_params(self, params: dict[str, Any]) -> dict[str, Any]:
        """What is fetched later must not be anything that the server can read."""
        try:
            return checked_params(params, self.context["folders"])
        except NotAllowed as error:
            raise serializers.ValidationError(f"path: {error}") from error

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """A position has both coordinates."""
        if (values.get("ra") is None) != (values.get("dec") is None):
            raise serializers.ValidationError({"ra": ["give ra and dec, or neither"]})
        return {"params": {}, "kind": Exposure.Kind.SCIENCE.value, **values}


class AddSerializer(Strict):
    """Exposures to be made known."""

    instrument = InstrumentField(max_length=40)
    exposures = OfferSerializer(many=True, allow_empty=False, max_length=1000)
    hold = serializers.BooleanField(default=False)
    priority = serializers.IntegerField(default=0, min_value=-1_000_000, max_value=1_000_000)
    through_step = StepField(default="")


class ClaimSerializer(Strict):
    """Who asks for an exposure, and for which."""

    token = serializers.UUIDField(help_text="Drawn by the asker, a new one for every claim; the same to ask again.")
    cluster = serializers.CharField(max_length=100)
    node = serializers.CharField(max_length=100, allow_blank=True, default="")
    instrument = serializers.CharField(max_length=40, allow_blank=True, default="")
    kinds = serializers.ListField(
        child=serializers.ChoiceField(Exposure.Kind.choices), allow_empty=False, max_length=10, default=list(SCIENCE)
    )
    through_step = StepField(default="")
    lease = serializers.FloatField(default=LEASE, min_value=1, max_value=LONGEST_LEASE, help_text="Seconds.")


class BeatSerializer(Strict):
    """A holder that lives."""

    token = serializers.UUIDField()
    lease = serializers.FloatField(default=LEASE, min_value=1, max_value=LONGEST_LEASE, help_text="Seconds.")


class StartSerializer(Strict):
    """A holder that begins."""

    token = serializers.UUIDField()
    exposure = serializers.UUIDField(required=False, allow_null=True, help_text="Id of the exposure in the archive.")
    sections = serializers.ListField(
        child=serializers.CharField(max_length=40), default=list, max_length=2000, help_text="CCDs that must finish."
    )


class SectionSerializer(Strict):
    """What became of one CCD."""

    state = serializers.ChoiceField(["done", "failed"])
    error = serializers.CharField(allow_blank=True, default="", max_length=10_000)
    transient = serializers.BooleanField(default=False, help_text="Whether it may go well another time.")


class FinishSerializer(Strict):
    """A holder that is through."""

    token = serializers.UUIDField()
    sections = serializers.DictField(child=SectionSerializer(), default=dict)
    error = serializers.CharField(allow_blank=True, default="", max_length=10_000)
    transient = serializers.BooleanField(default=False)
    exposure = serializers.UUIDField(required=False, allow_null=True)


class ReleaseSerializer(Strict):
    """A holder that gives back."""

    token = serializers.UUIDField()
    reason = serializers.CharField(allow_blank=True, default="", max_length=1000)


class MoveSerializer(Strict):
    """What is to be done with known exposures."""

    ids = serializers.ListField(child=serializers.UUIDField(), allow_empty=False, max_length=1000)
    action = serializers.ChoiceField([(name, action.help) for name, action in ACTIONS.items()])
    reason = serializers.CharField(allow_blank=True, default="", max_length=1000)
    priority = serializers.IntegerField(required=False)
    not_before = serializers.DateTimeField(required=False, allow_null=True)
    through_step = StepField()


class MovedSerializer(serializers.Serializer):
    """What became of one of them."""

    id = serializers.UUIDField()
    identifier = serializers.CharField()
    ok = serializers.BooleanField()
    state = serializers.CharField(help_text="As it is now; empty: it is gone.")
    error = serializers.CharField()


class HandedOutSerializer(serializers.Serializer):
    """The answer to a claim."""

    known_exposure = KnownExposureSerializer(allow_null=True)
    lease_expires = serializers.DateTimeField(allow_null=True)
    through_step = serializers.CharField(help_text="Last step to be done; empty: all.")
    reason = serializers.CharField(help_text="Why there is none; empty where there is one.")


class UnreadableSerializer(serializers.Serializer):
    """An exposure that cannot be a row."""

    identifier = serializers.CharField()
    reason = serializers.CharField()


class AddedSerializer(serializers.Serializer):
    """What became of exposures that were sent."""

    new = KnownExposureSerializer(many=True)
    known = serializers.ListField(child=serializers.CharField(), help_text="Identifiers that were known already.")
    refused = UnreadableSerializer(many=True)
