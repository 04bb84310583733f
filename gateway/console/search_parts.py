"""How a page goes on with a search: by a note that it is on record, and where its next part begins.

A note is signed, bound to the person and to what was asked, and holds nothing of that. So each part is shown
without an event of its own, and none is shown without the search's.
"""

from __future__ import annotations

import json
from typing import Any, Final

from django.core import signing
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from audit.search.selection import Selection

GOES_ON: Final = 600
"""Seconds after one part in which the next one may be asked for."""


def note(request: HttpRequest, selection: Selection, part: str, place: Any) -> str:
    """For the part of this name; `place` is JSON, and comes back by `place_of`."""
    said = [str(request.user.pk), _digest(selection), place]
    return signing.dumps(said, salt=f"{__name__}.{part}", compress=True)


def place_of(request: HttpRequest, selection: Selection, part: str) -> Any | None:
    """Where that part begins; None: it is no part of a search of this person that is on record."""
    noted = request.POST.get("noted", "")
    try:
        person, digest, place = signing.loads(noted, salt=f"{__name__}.{part}", max_age=GOES_ON)
    except signing.BadSignature:
        return None
    return place if (person, digest) == (str(request.user.pk), _digest(selection)) else None


def _digest(selection: Selection) -> str:
    """Keyed, as a search for one word could be guessed."""
    said = json.dumps(selection.said(), sort_keys=True)
    return salted_hmac(__name__, said, algorithm="sha256").hexdigest()
