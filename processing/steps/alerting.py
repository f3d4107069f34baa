"""Alerting: decide which measurements the world is told of. What comes out is a receipt; sending reads it."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import field_validator

from processing.parameters import Parameters, param
from processing.senders.base import Sender
from processing.step import Step
from products.alerts.deciding import Judged, StreamCuts, refusal
from products.alerts.packet import alert_id
from products.models import Alert, AlertBatch, DeepScoreSet, KnownObjectSet, MeasurementSet


class Stream(Parameters):
    """One named stream of alerts: cuts and a sender."""

    name: str = param("all", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$", help="Letters, digits, dots and dashes.")
    sender: Sender = param("folder", critical=False, help="How the alerts of this stream are sent.")
    min_score: float | None = param(None, help="Smallest score; the scorer's own threshold if not given.")
    min_snr: float = param(0.0, ge=0, help="Smallest S/N of the detection.")
    also_bad: bool = param(False, help="Also those that failed a cut of the measuring.")
    sign: Literal["any", "positive", "negative"] = param("any", help="Only what brightened, or only what faded.")
    filters: tuple[str, ...] = param((), help="Short names of filters; every filter if none is given.")
    brightest: float | None = param(None, unit="mag", help="Brightest magnitude of the change.")
    faintest: float | None = param(None, unit="mag", help="Faintest magnitude of the change.")
    min_detections: int = param(
        1, ge=1, help="Kept detections of the object so far, with this one: 2 for what was seen before."
    )
    max_detections: int | None = param(
        None, ge=1, help="Kept detections of the object so far, with this one: 1 for new objects only."
    )

    known_objects: Literal["any", "none", "only"] = param(
        "any", help="Known moving objects: like others, not at all, or nothing else; where they are looked for."
    )

    @property
    def cuts(self) -> StreamCuts:
        """What decides."""
        return StreamCuts.of({name: getattr(self, name) for name in type(self).model_fields})


class AlertingParameters(Parameters):
    streams: tuple[Stream, ...] = param((Stream(),), help="Streams with their own cuts and senders.")
    send: bool = param(True, critical=False, help="Send them; otherwise they wait for `manage.py send_alerts`.")

    @field_validator("streams")
    @classmethod
    def _names_differ(cls, streams: tuple[Stream, ...]) -> tuple[Stream, ...]:
        names = [stream.name for stream in streams]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two streams are called {', '.join(twice)}")
        return streams


class Alerting(Step):
    """Choose the measurements that become alerts; the same measurement always gives the same alert id."""

    name = "alerting"
    version = (1, 2, 0)
    parameters: AlertingParameters

    def run(
        self, score_set: DeepScoreSet, measurement_set: MeasurementSet, known_set: KnownObjectSet | None = None
    ) -> AlertBatch:
        scores, streams = score_set.all_rows(), [stream.cuts for stream in self.parameters.streams]
        counting = any(cuts.counts_detections for cuts in streams)
        earlier = measurement_set.earlier_detections() if counting else Counter()
        known = {row.measurement_id: row.name for row in known_set.all_rows()} if known_set else {}
        batch = AlertBatch(score_set=score_set, known_set=known_set, n_scored=len(scores))
        for cuts in streams:
            refused: Counter[str] = Counter()
            for score in scores:
                row = score.measurement
                body = known.get(row.pk, "")
                why = refusal(cuts, Judged(row, score.score, score_set.threshold, earlier[row.object_id], body))
                if why:
                    refused[why.cut] += 1
                    continue
                identity = alert_id(row.pk, score_set.provenance_id, cuts.name)
                batch.rows.append(Alert(id=identity, batch=batch, score=score, stream=cuts.name))
            batch.refused[cuts.name] = dict(refused)
        batch.n_alerts = len(batch.rows)
        return batch
