"""What a page gives back of a form that somebody has just sent it, and where it may.

A form that is not right yet comes back as it was filled in. That is taken out of the page before it is
searched: from the fields and on the pages that are named here, and only what was sent with this very request.
The same words in any other field, beside it, or on the page that comes after are found.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from audit.search.selection import FACTS

ECHOES: dict[str, tuple[str, ...]] = {
    # The criteria stay in the form to be changed, and go with the button that exports what was found.
    "/audit/search/": ("words", "since", "selection", *FACTS),
    # A payload is tried again after a change of policy; it is sent nowhere and kept nowhere.
    "/playground/": ("payload",),
    # Whoever mistypes one field writes the others once. Nothing was kept yet.
    "/audit/calls/…/original/ask/": ("reason",),
    "/audit/holds/new/": ("call_id", "subject", "endpoint", "reason"),
    "/audit/erasures/new/": ("subject", "since", "calls", "reason"),
    "/audit/retention/rules/new/": ("name", "payload_days", "reason"),
    "/audit/exports/new/": ("reason",),
    "/preview/policy/…/": ("number",),
    "/preview/policy/…/originals/": ("since", "until", "reason"),
    "/keys/create/": ("name",),
    "/admin/gateway/endpoint/add/": ("slug", "name", "origin", "base_path"),
    "/admin/gateway/credential/add/": ("name", "origin"),
    "/admin/gateway/webhook/add/": ("name",),
    "/admin/gateway/lock/add/": ("reason", "expires_at_0", "expires_at_1"),
    "/admin/gateway/serviceaccount/add/": ("name", "description"),
    "/admin/gateway/issuer/add/": ("name", "issuer", "audience"),
    "/admin/policies/schema/add/": ("slug", "name"),
    # A name that is mistyped is put right; where the person was going goes along.
    "/login/": ("username", "next"),
}
"""By the page: the fields that come back, and why they may."""

_PASTED = re.compile(r'(?<=aria-labelledby="pasted-head">).*?</section>', re.S)
"""The playground shows a payload once as it was pasted, its findings marked: that is its purpose."""

UUID = r"[0-9a-f]{8}-[0-9a-f-]{27}"
_TAG = re.compile(r"<input\b[^>]*>|<textarea\b[^>]*>.*?</textarea>", re.S)


def echoes_of(path: str) -> tuple[str, ...]:
    """The fields that this page may fill in again."""
    return ECHOES.get(re.sub(UUID, "…", path), ())


def without_echo(page: str, names: Iterable[str], sent: Mapping[str, Any]) -> str:
    """The page, its named fields emptied of what was sent in them."""
    said = {name: _line(str(sent[name])) for name in names if sent.get(name)}

    def emptied(found: re.Match[str]) -> str:
        tag = found[0]
        name = re.search(r'\bname="([^"]*)"', tag)
        value = re.search(r'\bvalue="([^"]*)"', tag) or re.search(r">(.*)</textarea>", tag, re.S)
        if not name or not value or not _is_echo(name[1], html.unescape(value[1]), said):
            return tag
        return tag[: value.start(1)] + tag[value.end(1) :]

    page = _TAG.sub(emptied, page)
    if "payload" not in said:
        return page
    return _PASTED.sub(lambda found: _unmarked(found[0], said["payload"]), page, count=1)


def _unmarked(section: str, payload: str) -> str:
    """Without the texts between its tags that were part of the payload."""
    parts = re.split(r"(<[^>]*>)", section)
    return "".join(part for part in parts if part[:1] == "<" or _line(html.unescape(part)) not in payload)


def _is_echo(name: str, value: str, said: Mapping[str, str]) -> bool:
    """A field as it was sent, or what there was room for; or what a search asked for, as a document."""
    if name == "selection":
        return set(_values(value)) <= {each for text in said.values() for each in (text, *_values(text))}
    return name in said and bool(value.strip()) and said[name].startswith(_line(value))


def _values(text: str) -> list[str]:
    try:
        return [_line(str(value)) for value in json.loads(text).values()]
    except (ValueError, AttributeError):
        return []


def _line(text: str) -> str:
    """Forms strip, and browsers and Django write ends of lines differently."""
    return " ".join(text.split())
