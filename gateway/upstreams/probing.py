"""The sweep that asks those endpoints which want to be asked, and a test by hand.

An endpoint is taken by moving `next_probe_at`, which one sweep alone achieves: sweeps may be doubled, late
or killed, and whoever was killed leaves out one probe. Threads only speak HTTP; the store is asked and told
here.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from django.utils import timezone

from gateway.models import Endpoint, EndpointHealth, User
from gateway.upstreams.connecting import Aim, Heard, aim_at, ask
from gateway.upstreams.health import Probed, probe_told, settle
from policies.journal import note

AT_ONCE: Final = 8
BUDGET: Final = 8.0
"""Seconds after which a sweep begins nothing more; the next one comes after ten."""

AGAIN: Final = timedelta(seconds=5)
"""Between two tests of one endpoint by hand, whoever asks."""

_sweeping = threading.Lock()


class TooSoon(Exception):
    """It was tested a moment ago. `seconds`: when to ask again."""

    seconds = int(AGAIN.total_seconds())


def sweep() -> int:
    """Probe what is due and say what follows; returns the number of probes. One at a time in a process."""
    if not _sweeping.acquire(blocking=False):
        return 0
    try:
        settle()
        probed = _probe_due()
        settle()
        return probed
    finally:
        _sweeping.release()


def connection_test(*, endpoint: Endpoint, by: User) -> Heard:
    """Ask an endpoint now. Raises `TooSoon`. The act is noted; nothing of the answer is, but its status."""
    now = timezone.now()
    settle(now)
    rows = EndpointHealth.objects.filter(Q(tested_at=None) | Q(tested_at__lte=now - AGAIN), pk=endpoint.pk)
    if not rows.update(tested_at=now):
        raise TooSoon
    heard = ask(aim_at(endpoint))
    facts = {
        "endpoint": endpoint.slug,
        "error": heard.error,
        "status": heard.status,
        "ms": heard.milliseconds,
    }
    note(action="endpoint.tested", by=by, target=endpoint, facts=facts)
    return heard


def _probe_due() -> int:
    ends, probed = time.monotonic() + BUDGET, 0
    while time.monotonic() < ends and (taken := _take(timezone.now())):
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="postern-probes") as threads:
            heard = list(threads.map(ask, [aim for _, aim in taken]))
        now = timezone.now()
        for (row, _), each in zip(taken, heard, strict=True):
            probe_told(row=row, seen=Probed(each.error, each.milliseconds, each.status), now=now)
        probed += len(taken)
    return probed


def _take(now: datetime) -> list[tuple[EndpointHealth, Aim]]:
    due = EndpointHealth.objects.filter(next_probe_at__lte=now).order_by("next_probe_at")
    found = []
    for row in due.select_related("endpoint__credential", "endpoint__client_certificate")[:AT_ONCE]:
        until = now + timedelta(seconds=row.endpoint.probe_seconds)
        mine = EndpointHealth.objects.filter(pk=row.pk, next_probe_at=row.next_probe_at)
        if mine.update(next_probe_at=until):
            row.next_probe_at = until
            found.append((row, aim_at(row.endpoint, expected=row.endpoint.probe_status)))
    return found
