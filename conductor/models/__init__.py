"""What the conductor knows: exposures to be processed, what happened to them, who works, what is looked at."""

from conductor.models.events import ClaimEvent
from conductor.models.known_exposures import KnownExposure
from conductor.models.watches import Policy, Watch
from conductor.models.workers import PipelineWorker

__all__ = ["ClaimEvent", "KnownExposure", "PipelineWorker", "Policy", "Watch"]
