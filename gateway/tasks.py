"""Background work. A task is a doorbell: it carries nothing and calls one idempotent sweep."""

from __future__ import annotations

from django.core.management import call_command

from gateway.celery import app
from gateway.console import previewing


@app.task
def forget_expired_logins() -> None:
    """Sessions of browsers that will not come back."""
    call_command("clearsessions")


@app.task
def preview_traffic() -> None:
    """Previews of drafts on recorded traffic."""
    previewing.sweep()
