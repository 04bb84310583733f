"""A rotation's worker as a process of its own: `python -m tests.server.rotator COMMAND … [+ COMMAND …]`.

plan ORIGIN EVERY OVERLAP    the openai endpoint's secret, made at that provider; seconds
sweep SECONDS                sweeps as long as that, several times a second
now                          begins a rotation
die NAME NTH WHEN            sweeps, and kills itself at the nth call of that function
state                        one line of JSON: what is on record
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import timedelta
from typing import Any

import django


def main(*words: str) -> None:
    django.setup()
    for line in " ".join(words).split(" + "):
        command, *rest = line.split()
        globals()[f"do_{command}"](*rest)


def do_plan(origin: str, every: str, overlap: str) -> None:
    from gateway.credentials.secret import Secret
    from gateway.credentials.services import credential_set, endpoint_attach, endpoint_move
    from gateway.models import Credential, Endpoint, RotationPlan
    from gateway.rotating.services import plan_save
    from tests.rotating.provider import ADMIN, RECIPE

    endpoint = Endpoint.objects.get(kind="openai")
    endpoint_move(endpoint=endpoint, origin=origin, by=None)
    rows = [
        Credential.objects.create(area=endpoint.area, name=name, origin=origin) for name in ("model", "admin")
    ]
    for row, secret in zip(rows, (sys.stdin.read().strip(), ADMIN), strict=True):
        credential_set(credential=row, secret=Secret(secret), by=None)
    endpoint_attach(endpoint=endpoint, credential=rows[0], by=None)
    plan = RotationPlan(
        credential=rows[0],
        rotator="recipe",
        options={"own": RECIPE},
        admin_credential=rows[1],
        allow_private=True,
        every=timedelta(seconds=float(every)) if float(every) else None,
        overlap=timedelta(seconds=float(overlap)),
    )
    plan_save(plan=plan, by=None)


def do_sweep(seconds: str) -> None:
    from django.db import close_old_connections

    from gateway.rotating import sweeping

    ends = time.monotonic() + float(seconds)
    while time.monotonic() < ends:
        close_old_connections()
        sweeping.sweep()
        time.sleep(0.2)


def do_now() -> None:
    from gateway.models import Credential
    from gateway.rotating.services import rotate_now

    rotate_now(credential=Credential.objects.get(name="model"), by=None)


def do_die(name: str, nth: str, when: str) -> None:
    """`name` is module.function, or module.object.method, of gateway.rotating."""
    import importlib

    from gateway.rotating import sweeping

    module, *path, last = name.split(".")
    place: Any = importlib.import_module(f"gateway.rotating.{module.replace('/', '.')}")
    for part in path:
        place = getattr(place, part)
    real, left = getattr(place, last), int(nth)

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(place, last, dying)
    sweeping.sweep()


def do_free() -> None:
    """The leases of the dead are over."""
    from django.utils import timezone

    from gateway.models import CredentialVersion, Rotation

    now = timezone.now()
    Rotation.objects.filter(next_at__isnull=False).update(next_at=now)
    CredentialVersion.objects.filter(retire_next_at__isnull=False).update(retire_next_at=now, retire_at=now)


def do_state() -> None:
    from gateway.credentials.services import credential_current, credential_reveal_for_origin
    from gateway.models import Credential, CredentialState, Rotation

    row = Credential.objects.get(name="model")
    current = credential_current(credential=row)
    living = row.versions.exclude(state=CredentialState.RETIRED)
    print(
        json.dumps(
            {
                "secret": credential_reveal_for_origin(version=current, origin=row.origin).reveal(),
                "number": current.number,
                "living": list(living.values_list("provider_id", flat=True)),
                "leaving": row.versions.filter(
                    state=CredentialState.RETIRED, retire_next_at__isnull=False
                ).count(),
                "steps": list(Rotation.objects.order_by("id").values_list("step", flat=True)),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
