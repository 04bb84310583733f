"""What may be wrong with a model's service, as a code for the record and in words for people. Pure.

Words name no host, no address, no path and nothing of what was answered.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import Final

WORDS: Final[Mapping[str, str]] = {
    "": "It answers.",
    "dns": "Its name does not resolve.",
    "address": "Its name leads to an address that may not be connected to.",
    "connect": "No connection: nobody listens there, or a firewall is in between.",
    "timeout": "It took too long.",
    "tls_name": "TLS: its certificate is for another name.",
    "tls_authority": "TLS: its certificate is from an authority that is not believed here.",
    "tls_expired": "TLS: its certificate has expired.",
    "tls_early": "TLS: its certificate is not valid yet.",
    "tls": "TLS: no agreement. Perhaps it speaks no TLS 1.2, or none at all.",
    "credential": "The gateway's credential does not open; set its secret anew.",
    "token": "Its provider gives no access token.",
    "unasked": "Its credential goes into a body, and nothing that is asked for trial has one.",
    "credential_refused": "It refuses the gateway's credential.",
    "redirect": "It answers with a redirect; redirects are not followed.",
    "status": "It answers with another status than the expected one.",
    "server_error": "It answers with an error of its own (5xx).",
    "transport": "The connection broke, or what it answers is no HTTP.",
    "too_large": "Its answer is too large.",
    "cut": "It cut its answer.",
}

_VERIFY: Final[Mapping[int, str]] = {
    9: "tls_early",
    10: "tls_expired",
    62: "tls_name",
    64: "tls_name",
}
"""OpenSSL's reasons. All others: nobody who is believed here stands behind it."""


def words_for(code: str) -> str:
    return WORDS.get(code, WORDS["transport"])


def tls_code(error: BaseException) -> str | None:
    """Which of ours it is, if TLS is behind this error. A client library's own error may stand before it."""
    found = None
    for each in _behind(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            reason = getattr(each, "verify_code", None)
            if reason is not None:
                return _VERIFY.get(reason, "tls_authority")
        elif isinstance(each, ssl.SSLError):
            found = "tls"
    return found


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1
