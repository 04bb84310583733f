"""Everything that is sealed under a master key: whether it opens, and how it comes under another one.

Rows are taken in batches. Each is written only if it still is as it was read, so that a secret that somebody
sets meanwhile stays, and several runs at once, or one after a run that was killed, do no harm.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import models, transaction

from audit.events import NOBODY, event
from gateway.credentials.sealing import MasterKeys, Place, Sealed, SealError
from gateway.credentials.services import master_keys, place_of
from gateway.credentials.versions import retire
from gateway.models import CredentialVersion, Webhook, WebhookSecret
from gateway.notifying.services import place_of as webhook_place
from policies.history import record
from policies.journal import note

BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind: which column holds the seal and which the key's id."""

    name: str
    model: type[models.Model]
    sealed: str
    key_id: str
    place: Callable[[Any], Place]
    related: tuple[str, ...] = ()
    kept: bool = False  # has a history

    def rows(self) -> models.QuerySet[Any]:
        """Those that hold something."""
        found = self.model._default_manager.exclude(**{self.sealed: b""}).order_by("pk")
        return found.select_related(*self.related) if self.related else found

    def of(self, row: Any) -> Sealed:
        return Sealed(getattr(row, self.key_id), bytes(getattr(row, self.sealed)))


TABLES: Final = (
    Table("credentials", CredentialVersion, "sealed", "key_id", place_of, ("credential",), kept=True),
    Table("webhook addresses", Webhook, "target", "target_key_id", lambda row: webhook_place(row, 0)),
    Table(
        "webhook secrets",
        WebhookSecret,
        "sealed",
        "key_id",
        lambda row: webhook_place(row.webhook, row.number),
        ("webhook",),
    ),
)


@dataclass(slots=True)
class Count:
    """What became of one table's rows."""

    due: int = 0  # not under the first key when the run began
    done: int = 0
    moved: int = 0  # written by somebody else meanwhile
    failed: list[str] = field(default_factory=list)  # row and reason


def due(table: Table, keys: MasterKeys) -> models.QuerySet[Any]:
    return table.rows().exclude(**{table.key_id: keys.first})


def rekey(
    *, batch: int = BATCH, dry_run: bool = False, tell: Callable[[str, Count], object] = lambda *_: None
) -> dict[str, Count]:
    """Bring every row under the first key. `tell` hears of each batch. Raises `SealError` without a key."""
    keys = master_keys()
    if not keys.first:
        raise SealError("no master key is set")
    counts = {table.name: Count(due=due(table, keys).count()) for table in TABLES}
    if not dry_run:
        _note("masterkey.rekey_began", keys, {name: count.due for name, count in counts.items()})
    for table in TABLES:
        for rows in _batches(table, keys, batch):
            count = counts[table.name]
            if dry_run:
                count.failed += [f"{row.pk}: {why}" for row in rows if (why := closed(table, row, keys))]
            else:
                _rewrap(table, rows, keys, count)
            tell(table.name, count)
    if not dry_run:
        _note("masterkey.rekey_ended", keys, {name: count.done for name, count in counts.items()})
    return counts


def _batches(table: Table, keys: MasterKeys, batch: int) -> Iterator[list[Any]]:
    """By primary key: what fails is passed over, not tried for ever."""
    after: Any = None
    while True:
        rows = due(table, keys)
        found = list((rows if after is None else rows.filter(pk__gt=after))[:batch])
        if not found:
            return
        after = found[-1].pk
        yield found


def _rewrap(table: Table, rows: list[Any], keys: MasterKeys, count: Count) -> None:
    """Opening and sealing, which may ask others, comes before the transaction."""
    anew: list[tuple[Any, Sealed, Sealed]] = []
    for row in rows:
        old, place = table.of(row), table.place(row)
        try:
            anew.append((row, old, keys.seal(keys.unseal(old, place), place)))
        except SealError as error:
            count.failed.append(f"{row.pk}: {error}")
    written = []
    with transaction.atomic():
        for row, old, new in anew:
            same = table.model._default_manager.filter(
                pk=row.pk, **{table.key_id: old.key_id, table.sealed: old.data}
            )
            hit = same.update(**{table.key_id: new.key_id, table.sealed: new.data})
            count.done += hit
            count.moved += 1 - hit
            written += [row.pk] if hit else []
        if table.kept:
            record(table.model._default_manager.filter(pk__in=written), reason="Under another master key")


def _note(action: str, keys: MasterKeys, counts: dict[str, int]) -> None:
    event(action, by=NOBODY, about=f"master key {keys.first}", detail={"key": keys.first, **counts})


def closed(table: Table, row: Any, keys: MasterKeys) -> str:
    """Why a row does not open; empty if it does."""
    try:
        keys.unseal(table.of(row), table.place(row))
    except SealError as error:
        return str(error)
    return ""


def used_keys() -> Counter[str]:
    """How many rows each key is needed for."""
    found: Counter[str] = Counter()
    for table in TABLES:
        rows = table.rows().order_by().values_list(table.key_id).annotate(rows=models.Count("pk"))
        found.update(dict(rows))
    return found


@dataclass(frozen=True, slots=True)
class Trouble:
    """`missing`: by key id, how many rows nothing opens. `wrong`: keys that open none of their rows.
    `odd`: single rows that their key does not open, as table and row."""

    missing: dict[str, int]
    wrong: dict[str, int]
    odd: list[str]


def trouble() -> Trouble:
    """Look at every row that a key of our own should open; a key that lies elsewhere is not asked."""
    keys = master_keys()
    used = used_keys()
    opened: Counter[str] = Counter()
    shut: defaultdict[str, list[str]] = defaultdict(list)
    for table in TABLES:
        for row in table.rows().filter(**{f"{table.key_id}__in": list(keys.keys)}).iterator(BATCH):
            if closed(table, row, keys):
                shut[table.of(row).key_id].append(f"{table.name}: {row.pk}")
            else:
                opened[table.of(row).key_id] += 1
    return Trouble(
        missing={key_id: rows for key_id, rows in sorted(used.items()) if not keys.knows(key_id)},
        wrong={key_id: len(rows) for key_id, rows in sorted(shut.items()) if not opened[key_id]},
        odd=[row for key_id, rows in sorted(shut.items()) if opened[key_id] for row in rows],
    )


def forget(key_id: str) -> dict[str, int]:
    """Give up what only a lost key could open: secrets are retired, webhooks deleted. Counts by table.

    Raises `SealError` where the key is not lost.
    """
    keys = master_keys()
    if keys.knows(key_id) and key_id not in trouble().wrong:
        raise SealError(f"master key {key_id} is here")
    with transaction.atomic():
        counts = {"credentials": retire(CredentialVersion.objects.filter(key_id=key_id))}
        hooks = Webhook.objects.filter(target_key_id=key_id)
        hooks |= Webhook.objects.filter(pk__in=WebhookSecret.objects.filter(key_id=key_id).values("webhook"))
        found = list(hooks.distinct())
        counts["webhooks"] = len(found)
        for hook in found:
            note(action="webhook.deleted", by=None, target=hook, facts={"name": hook.name})
            hook.delete()
        facts = {"key": key_id, **counts}
        event("masterkey.forgotten", by=NOBODY, about=f"master key {key_id}", detail=facts)
    return counts
