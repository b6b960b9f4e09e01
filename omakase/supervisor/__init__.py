"""Everything on one machine: the processes, the sockets and the data directory of a whole Omakase."""

from omakase.supervisor.deployment import Deployment, Uris
from omakase.supervisor.supervisor import Supervisor

__all__ = ["Deployment", "Supervisor", "Uris"]
