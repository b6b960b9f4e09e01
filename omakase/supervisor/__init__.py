"""The processes of a whole Omakase on one machine: started, watched, stopped in order."""

from omakase.supervisor.supervisor import Supervisor

__all__ = ["Supervisor"]
