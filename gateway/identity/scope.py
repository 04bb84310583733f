"""What a key may do of what its holder may: some groups, endpoints, models and networks. Empty means all.

A scope only ever takes away. Groups are those of the holder at this moment that the key also names: whoever
leaves a group takes it from every key at once, and a key never gains one that it does not name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError

from gateway.models import ApiKey, Endpoint, ServiceAccount, User
from gateway.models.access_rule import validate_models, validate_networks

LARGEST: Final = 100
"""Names in one list of a scope."""


class KeyRefused(ValueError):
    """The key cannot be made or changed, in words for whoever asked."""


@dataclass(frozen=True, slots=True)
class KeyScope:
    """As the columns of a key have it."""

    group_ids: tuple[int, ...] = ()
    endpoints: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls(
            tuple(key.group_ids),
            tuple(key.allowed_endpoints),
            tuple(key.allowed_models),
            tuple(key.networks),
        )

    def columns(self) -> dict[str, list[int] | list[str]]:
        return {
            "group_ids": list(self.group_ids),
            "allowed_endpoints": list(self.endpoints),
            "allowed_models": list(self.models),
            "networks": list(self.networks),
        }


ALL: Final = KeyScope()


def scope_checked(
    *,
    holder: User | ServiceAccount,
    groups: Iterable[Group] = (),
    endpoints: Sequence[str] = (),
    models: Sequence[str] = (),
    networks: Sequence[str] = (),
) -> KeyScope:
    """A scope for a key of this holder; raises `KeyRefused` for what makes no sense."""
    named = list(groups)
    strange = {group.name for group in named} - set(holder.groups.values_list("name", flat=True))
    if strange:
        raise KeyRefused(f"{holder} is not in {', '.join(sorted(strange))}.")
    unknown = set(endpoints) - set(
        Endpoint.objects.filter(slug__in=list(endpoints)).values_list("slug", flat=True)
    )
    if unknown:
        raise KeyRefused(f"There is no endpoint {', '.join(sorted(unknown))}.")
    _checked(validate_models, models)
    _checked(validate_networks, networks)
    return KeyScope(
        tuple(sorted(group.pk for group in named)), _once(endpoints), _once(models), _once(networks)
    )


def _checked(validate: Callable[[object], None], names: Sequence[str]) -> None:
    if len(names) > LARGEST:
        raise KeyRefused(f"A key names at most {LARGEST} of each.")
    try:
        validate(list(names))
    except ValidationError as error:
        raise KeyRefused(" ".join(error.messages)) from None


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def groups_carried(key: ApiKey) -> list[Group]:
    """The groups that a call with this key has now."""
    holder = key.service_account or key.user
    groups: Iterable[Group] = holder.groups.all() if holder else ()
    return [group for group in groups if not key.group_ids or group.pk in key.group_ids]
