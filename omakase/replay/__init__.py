"""`omakase replay`: a logged bandit, run through the real services on its own time."""

from omakase.replay.report import ReplayReport
from omakase.replay.run import replay

__all__ = ["ReplayReport", "replay"]
