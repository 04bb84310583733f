"""WebSockets: one of ours, for reviewers. Every other path is closed.

Who comes in is asked here, since approvals know nothing of sign-ins.
"""

from __future__ import annotations

from functools import partial
from typing import Any, final

from approvals.consumers import PATH, ReviewSocket
from approvals.following import Following
from approvals.walls import VIEWS
from gateway.identity.socket_door import admitted
from gateway.static import Receive, Send


async def closed(scope: Any, receive: Receive, send: Send) -> None:
    """There is no WebSocket here."""
    await send({"type": "websocket.close", "code": 1000, "reason": ""})


@final
class Sockets:
    """The ASGI application for WebSockets of a gateway process."""

    def __init__(self) -> None:
        self._following = Following()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["path"] != PATH:
            await closed(scope, receive, send)
            return
        admit = partial(admitted, permission=VIEWS)
        await ReviewSocket(following=self._following, admit=admit)(scope, receive, send)

    def stop(self) -> None:
        """End them all. From the loop or from a signal's handler."""
        self._following.stop()
