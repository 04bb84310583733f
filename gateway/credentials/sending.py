"""How a secret is put into a request: the one place that writes it out."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.credentials.secret import Secret
from gateway.models import Credential


def headers_of(credential: Credential, secret: Secret) -> Mapping[str, Secret]:
    """The headers that carry this secret of the credential."""
    return {credential.header: Secret(f"{credential.scheme} {secret.reveal()}".strip())}
