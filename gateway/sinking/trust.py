"""Whom a sink's or an anchor's certificate has to be from."""

from __future__ import annotations

import ssl
from functools import cache

from django.conf import settings


def tls_context() -> ssl.SSLContext:
    """Certificates are checked, always: by the system's authorities, and by those of `AUDIT_CA_FILE`."""
    return _context(settings.AUDIT_CA_FILE)


@cache
def _context(ca_file: str) -> ssl.SSLContext:
    """Reading the authorities takes longer than most requests. Raises OSError, ValueError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(ca_file)
    return context
