"""Does a value look like a credential? Tells keys from words, placeholders and code."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .candidate import Candidate, Parts, Validator, whole

_PLACEHOLDER = re.compile(
    r"[*xX.•_-]+|\$.*|\{+.*|%.*|<.*|\[.*|\(.*|(?:your|my|the|enter|insert|replace)[-_ ].*|"
    r"(?:none|null|nil|true|false|undefined|required|optional|string|text|hidden|empty|redacted|todo|tbd|n/?a)",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|->|::)[A-Za-z_][A-Za-z0-9_]*)*[(\[].*|"  # a call or a look-up
    r"(?:[A-Za-z_]+[.:/]+)+[A-Za-z_]*"  # a dotted name or a path"
)
_CONSTANT = re.compile(
    r"[A-Z]+[0-9]?[A-Z]*(?:[_-][A-Z]+[0-9]{0,2}[A-Z]*)+|PASSWORD|TOKEN|SECRET"
)  # NAME_OF_ONE
_CLOSING = ".,;:)]}"
_SHORTEST = 6
_SHORTEST_QUOTED = 4
_SHORTEST_BEARER = 12
_KEY_RUN = 10  # letters and digits in one unbroken run, digits among them: not a hyphenated phrase


def token(candidate: Candidate) -> Parts:
    """A vendor's token: somewhere a run that mixes letters and digits, or a long one of either."""
    return whole(candidate) if any(map(_keylike, re.findall(r"[A-Za-z0-9]+", candidate.text))) else ()


def openai(candidate: Candidate) -> Parts:
    """`sk-` is a short prefix, and the start of another vendor's."""
    return () if candidate.text.startswith("sk-ant-") else token(candidate)


def varied(candidate: Candidate) -> Parts:
    """A token with an unmistakable prefix: anything but a run of x, and not a piece of a file name."""
    enough = len(set(candidate.text[-_TAIL:])) >= _DIFFERENT
    return whole(candidate) if enough and not candidate.left.endswith(".") else ()


_TAIL, _DIFFERENT = 16, 5


def _keylike(run: str) -> bool:
    mixed = any(c.isdigit() for c in run) and any(c.isalpha() for c in run)
    return (mixed and len(run) >= _KEY_RUN) or (len(run) >= 2 * _KEY_RUN and run.lower() != run)


def secret(candidate: Candidate) -> Parts:
    """An unquoted value after a label: not a word of prose, not code."""
    value = candidate.text.rstrip(_CLOSING)
    if len(value) < _SHORTEST or _PLACEHOLDER.fullmatch(value) or _CODE.fullmatch(value):
        return ()
    if value.isdecimal() and len(value) < _KEY_RUN:
        return ()
    named = "://" in value or _CONSTANT.fullmatch(value)
    return ((0, len(value)),) if _mixed(value) and not named else ()


def _mixed(value: str) -> bool:
    kinds = (str.isdigit, str.islower, str.isupper, lambda char: not char.isalnum() and char not in "-_./:")
    seen = [any(map(kind, value)) for kind in kinds]
    return seen[0] or seen[3] or (sum(seen) > 1 and len(value) >= 2 * _KEY_RUN)


def quoted_secret(candidate: Candidate) -> Parts:
    """A quoted value after a label: anything but a placeholder."""
    value = candidate.text
    if len(value) < _SHORTEST_QUOTED or _PLACEHOLDER.fullmatch(value) or candidate.right in ("", "\n"):
        return ()
    return () if "://" in value or _CONSTANT.fullmatch(value) else whole(candidate)


def bearer(candidate: Candidate) -> Parts:
    """What follows `Bearer` or `Basic`."""
    value = candidate.text
    return whole(candidate) if len(value) >= _SHORTEST_BEARER and _mixed(value) else ()


def url_password(candidate: Candidate) -> Parts:
    """The password of `scheme://user:password@host`."""
    value = candidate.text
    ok = candidate.right == "@" and value and not _PLACEHOLDER.fullmatch(value)
    return whole(candidate) if ok else ()


def aws_secret(candidate: Candidate) -> Parts:
    """An AWS secret access key has 40 characters."""
    return whole(candidate) if len(candidate.text) == 40 else ()


def long_base64(candidate: Candidate) -> Parts:
    """A storage key has 64 or 88 characters; shorter ones are placeholders."""
    return whole(candidate) if len(candidate.text) >= 40 else ()


SECRET_VALIDATORS: Mapping[str, Validator] = {
    "token": token,
    "openai": openai,
    "varied": varied,
    "secret": secret,
    "quoted_secret": quoted_secret,
    "bearer": bearer,
    "url_password": url_password,
    "aws_secret": aws_secret,
    "long_base64": long_base64,
}
