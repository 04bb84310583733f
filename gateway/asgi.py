"""The ASGI entry point: `gateway.asgi:application`, for any ASGI server that runs the lifespan."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from django.core.asgi import get_asgi_application

if TYPE_CHECKING:
    from gateway.front import Front

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")


def build() -> Front:
    """Imports inside: the rooms' models can only be imported once Django has been set up."""
    django = get_asgi_application()
    from django.conf import settings

    from gateway.front import Behind, Front
    from gateway.proxy import configure, snapshot
    from gateway.sockets import Sockets
    from gateway.static import StaticFiles

    proxy = configure.build()

    def ready() -> bool:
        """The record can be written, the configuration is fresh, what the first calls need is compiled."""
        fresh = proxy.snapshots.age <= snapshot.MAX_AGE
        return proxy.recorder.healthy and fresh and proxy.broker.ready

    pages = django if settings.TRUSTED_PROXIES is None else Behind(django, settings.TRUSTED_PROXIES)
    return Front(proxy=proxy, ready=ready, static=StaticFiles(), django=pages, sockets=Sockets())


application = build()
