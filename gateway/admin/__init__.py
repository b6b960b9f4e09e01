"""`/admin/v1`: what operators change while the shop is open. Each resource is a module; docs/admin.md shows all."""

from gateway.admin.call import Admin
from gateway.admin.door import STREAMED, install

__all__ = ["STREAMED", "Admin", "install"]
