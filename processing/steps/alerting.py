"""Alerting: decide which measurements the world is told of. What comes out is a receipt; sending reads it."""

from __future__ import annotations

from processing.parameters import Parameters, param
from processing.senders.base import Sender
from processing.step import Step
from products.ids import stable_id
from products.models import Alert, AlertBatch, DeepScoreSet, MeasurementSet


class Stream(Parameters):
    """One named stream of alerts."""

    name: str = param("all", help="Name of the stream.")
    sender: Sender = param("folder", critical=False, help="How the alerts of this stream are sent.")
    min_score: float | None = param(None, help="Smallest score; the scorer's own threshold if not given.")
    min_snr: float = param(0.0, ge=0, help="Smallest S/N of the detection.")
    also_bad: bool = param(False, help="Also those that failed a cut.")


class AlertingParameters(Parameters):
    streams: tuple[Stream, ...] = param((Stream(),), help="Streams with their own cuts and senders.")
    send: bool = param(True, critical=False, help="Send them; otherwise they wait for `manage.py send_alerts`.")


class Alerting(Step):
    """Choose the measurements that become alerts; the same measurement always gives the same alert id."""

    name = "alerting"
    version = (1, 0, 0)
    parameters: AlertingParameters

    def run(self, score_set: DeepScoreSet, measurement_set: MeasurementSet) -> AlertBatch:
        batch = AlertBatch(score_set=score_set)
        for stream in self.parameters.streams:
            least = score_set.threshold if stream.min_score is None else stream.min_score
            for score in score_set.all_rows():
                row = score.measurement
                if score.score < least or row.snr < stream.min_snr or (row.is_bad and not stream.also_bad):
                    continue
                identity = stable_id("alert", row.pk, score_set.provenance_id, stream.name)
                batch.rows.append(Alert(id=identity, batch=batch, score=score, stream=stream.name))
        batch.n_alerts = len(batch.rows)
        return batch
