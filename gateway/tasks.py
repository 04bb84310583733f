"""Background work. A task is a doorbell: it carries nothing and calls one idempotent sweep."""

from __future__ import annotations

from django.core.management import call_command

from gateway.celery import app


@app.task
def forget_expired_logins() -> None:
    """Sessions of browsers that will not come back."""
    call_command("clearsessions")
