"""Which closed calls a rule flagged: a derivation of the record, each call once.

A call is flagged where the verdict of its request or of its response was `flag`: something stricter was acted
upon already. Flags are told by the close (`gateway.proxy.ledger`); of a call whose process vanished only the
admission is known, which has the rules' ids and not their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from audit import ids
from audit.judgement import LEVELS
from audit.listing import found_of
from audit.models import Call, Flag, FlagLabel
from audit.retention.standing import standing

if TYPE_CHECKING:
    from audit.deriving import New

REQUEST, RESPONSE = "request", "response"
MOST: Final = 32
"""Rules and classes of one call that it is found by."""


def flags_derive(new: New) -> Callable[[], None]:
    """Puts the flagged ones into the inbox. A call that is there already is left as it is."""
    flags = [flag for call in new.closed if (flag := flag_of(call)) is not None]
    labels = [label for flag in flags for label in _labels(flag)]

    def write() -> None:
        there = standing(flag.pk for flag in flags)  # not where the text is gone: flags go with it
        Flag.objects.bulk_create([flag for flag in flags if there.get(flag.pk)], ignore_conflicts=True)
        mine = [label for label in labels if there.get(label.flag_id)]
        FlagLabel.objects.bulk_create(mine, ignore_conflicts=True)

    return write


def flag_of(call: Call) -> Flag | None:
    """The row of a flagged call; None: no rule flagged it."""
    rules, directions = _rules(call), _directions(call)
    if not directions:
        return None
    return Flag(
        id=call.id,
        started_at=call.started_at,
        area=call.area,
        endpoint=call.endpoint,
        model=call.model,
        person_id=call.person_id,
        owner_id=call.owner_id,
        name=call.name,
        kind=call.kind,
        action=call.action,
        directions=directions,
        rules=rules,
        classes=[found.data_class for found in found_of(call.counts, call.response_counts)][:MOST],
        highest=_highest(call),
        changed_at=ids.now(),
    )


def _directions(call: Call) -> list[str]:
    said = _extra(call)
    found = []
    if call.gate == "flag" or "request_flags" in said:
        found.append(REQUEST)
    if "response_flags" in said or (call.action == "flagged" and not found):
        found.append(RESPONSE)
    return found


def _rules(call: Call) -> list[str]:
    """By name, each once; by id where nobody told the names."""
    said = _extra(call)
    told = [said[name] for name in ("request_flags", "response_flags") if name in said]
    named = [name for flags in told for name in _names(flags)]
    if not told and call.gate == "flag":
        named = [str(rule) for rule in call.rules or []]
    return [name[:255] for name in dict.fromkeys(named) if name][:MOST]


def _names(flags: Any) -> Iterator[str]:
    if isinstance(flags, dict):
        yield from (str(name) for name in flags.values())


def _highest(call: Call) -> str:
    """The most sensitive level found in either direction."""
    known = [level for level in (call.highest, _extra(call).get("response_highest")) if level in LEVELS]
    return max(known, key=LEVELS.index, default="")


def _extra(call: Call) -> Mapping[str, Any]:
    return call.extra if isinstance(call.extra, dict) else {}


def _labels(flag: Flag) -> Iterator[FlagLabel]:
    for kind, names in (("rule", flag.rules), ("class", flag.classes)):
        for name in dict.fromkeys(names):
            yield FlagLabel(flag_id=flag.pk, kind=kind, name=name)
