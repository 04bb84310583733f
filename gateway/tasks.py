"""Background work. A task is a doorbell: it carries nothing and calls one idempotent sweep."""

from __future__ import annotations

from django.core.management import call_command
from django.utils import timezone

from gateway.anchoring import telling
from gateway.celery import app
from gateway.console import previewing
from gateway.identity.seen import seen_sweep
from gateway.identity.sessions import sign_ins_sweep
from gateway.notifying import keeping, sending
from gateway.rotating import planning, reminding, sweeping
from gateway.sinking import delivering
from gateway.upstreams import probing


@app.task
def forget_expired_logins() -> None:
    """Sessions of browsers that will not come back, sign-ins that ran out, messages that were used."""
    now = timezone.now()
    sign_ins_sweep(now=now)
    seen_sweep(now=now)
    call_command("clearsessions")


@app.task
def preview_traffic() -> None:
    """Previews of drafts on recorded traffic."""
    previewing.sweep()


@app.task
def checkpoint() -> None:
    """A signed statement of what is on record, told outside."""
    telling.sweep()


@app.task
def tell_sinks() -> None:
    """What is new in the record, told to every SIEM."""
    delivering.sweep()


@app.task
def notify() -> None:
    """Webhooks and mails about approvals."""
    sending.sweep()


@app.task
def watch_endpoints() -> None:
    """Probes of endpoints, and what follows from what calls and probes saw."""
    probing.sweep()


@app.task
def forget_deliveries() -> None:
    """What became of messages about approvals, a month ago."""
    keeping.deliveries_prune()


@app.task
def rotate() -> None:
    """Secrets of the models' services that are due, and what became of those that were begun."""
    sweeping.sweep()


@app.task
def rotate_old() -> None:
    """Secrets that are older than their endpoints' level allows."""
    planning.hurry_old()
    reminding.tell_too_old()
