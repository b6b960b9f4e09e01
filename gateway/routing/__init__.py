"""Where a request leads: placements, their arms, and who falls in which."""

from gateway.routing.arms import Arm, Assigned
from gateway.routing.loading import SurfacesLoader
from gateway.routing.surfaces import Surface, Surfaces

__all__ = ["Arm", "Assigned", "Surface", "Surfaces", "SurfacesLoader"]
