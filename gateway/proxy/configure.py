"""Puts the proxy together from Django's settings: which recorder, which keys."""

from __future__ import annotations

from django.conf import settings

from audit.keys import KeyDirectory
from audit.recorder import Recorder
from gateway.proxy.app import Proxy
from gateway.proxy.exchange import DigestKeys
from gateway.proxy.snapshot import Snapshots
from gateway.proxy.tally import Tally


def build() -> Proxy:
    """One proxy for this process; nothing is opened before its `startup`."""
    keys = KeyDirectory.make(settings.AUDIT_KEY_DIR)
    digests = DigestKeys(
        request=keys.lasting("requests"),
        fingerprint=keys.lasting("fingerprints"),
        session=keys.lasting("sessions"),
        originals=settings.AUDIT_ORIGINALS_KEY,
    )
    proxy = Proxy(recorder=Recorder(keys=keys), snapshots=Snapshots(), tally=Tally(), keys=digests)
    proxy.proxies = settings.TRUSTED_PROXIES
    proxy.public_url = settings.PUBLIC_URL
    proxy.open_approvals = settings.OPEN_APPROVALS_PER_CALLER
    return proxy
