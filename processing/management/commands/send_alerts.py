"""Send what has not gone out."""

from __future__ import annotations

from typing import Any

from processing.management.step_command import EngineCommand
from processing.tasks import send_alerts
from products.models import Alert


class Command(EngineCommand):
    help = "Send the alerts that wait, e.g. after a broker was down. Those that went out are not sent again."

    def work(self, options: dict[str, Any]) -> None:
        gone = send_alerts(self.configuration(options))
        left = Alert.objects.filter(state=Alert.State.PENDING).count()
        self.stdout.write(f"{gone} sent, {left} still waiting")
