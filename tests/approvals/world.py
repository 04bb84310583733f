"""alice asks, bob and others review: approvals without a gateway in front of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.models import Group

from approvals import guards, services
from approvals.digests import seen_digest
from approvals.models import Approval, Choice
from approvals.standing import Binding, Opening, Request
from audit import ids
from audit.batch import _value
from audit.models import Store
from audit.recorder import store_of
from audit.records import Guard
from audit.store import Batch, GuardRefused, StoreError
from gateway.identity.authz import role_grant
from gateway.models import User
from policies.engine.types import Holding


def reviewers(*names: str, area: str = "clinic") -> list[User]:
    """People who review in this area, in the group `reviewers`."""
    group, _ = Group.objects.get_or_create(name="reviewers")
    role_grant(group=group, role="reviewer", by=None)
    made = []
    for name in names:
        person = User.objects.create_user(name)
        person.groups.add(group)
        made.append(person)
    return made


def asked(requester: UUID | None = None, **changes: Any) -> Opening:
    """What a held call says when it asks."""
    given: dict[str, Any] = {
        "call_id": ids.new(),
        "request": Request(requester or uuid4(), uuid4().bytes * 2),
        "binding": Binding(b"s" * 32, UUID(int=1), "m", UUID(int=2), UUID(int=3), UUID(int=4)),
        "requester_kind": "person",
        "requester_name": "alice",
        "owner_id": None,
        "key_id": None,
        "barred": (),
        "area": "clinic",
        "endpoint": "chat",
        "policy": "Clinicians@1",
        "schema": "Acme@1",
        "reasons": ("SSN found.",),
        "counts": {"US_SSN": 1},
        "highest": "restricted",
        "risk": 5,
        "score": ((5, "US_SSN"),),
        "purpose": "a claim",
        "holding": Holding(reviewers=("reviewers",)),
    }
    return Opening(**{**given, **changes})


@contextmanager
def recorder_store() -> Iterator[Any]:
    """A connection as the recorder's."""
    Store.objects.get_or_create(pk=1, defaults={"key_check": b"", "created_at": ids.now()})
    store = store_of("default")
    store.connect()
    try:
        yield store
    finally:
        store.close()


@contextmanager
def stores(count: int) -> Iterator[list[Any]]:
    with ExitStack() as stack:
        yield [stack.enter_context(recorder_store()) for _ in range(count)]


def took(store: Any, guard: Guard) -> bool:
    """Whether an entry that rests on this guard would have been written."""
    values = [_value(store.dialect, each) for each in guard.parameters]
    told: list[bool] = []

    def build(held: Sequence[bool]) -> Batch | None:
        told[:] = held
        return Batch() if held[0] else None

    for _ in range(20):
        try:
            store.commit_guarded([(guard.sql, values)], build)
        except GuardRefused:
            return False
        except StoreError:  # so many at once that it had no turn: nothing was begun
            continue
        return told[0]
    raise AssertionError("the store takes nothing")


def opened(store: Any, opening: Opening | None = None) -> Approval:
    approval_id = ids.new()
    assert took(store, guards.opening(approval_id, opening or asked(), ids.now(), at_most=10_000))
    return Approval.objects.get(pk=approval_id)


def request_of(approval: Approval) -> Request:
    return Request(approval.requester_id, bytes(approval.request_hmac))


def binding_of(approval: Approval) -> Binding:
    return Binding(
        bytes(approval.sent_digest),
        approval.endpoint_id,
        approval.model,
        approval.access_rule_id,
        approval.policy_version_id,
        approval.schema_version_id,
    )


def consumed(
    store: Any,
    approval: Approval,
    *,
    request: Request | None = None,
    binding: Binding | None = None,
    in_clear: bool = False,
) -> bool:
    guard = guards.consuming(
        approval.pk,
        request or request_of(approval),
        binding or binding_of(approval),
        ids.new(),
        in_clear=in_clear,
    )
    return took(store, guard)


def vote(approval: Approval, by: User, choice: Choice = Choice.APPROVE, **more: Any) -> Approval:
    given = {"reason": "looked at it", "seen": seen_digest(approval), **more}
    return services.approval_decide(approval_id=approval.pk, by=by, choice=choice, **given)


def run_out(approval: Approval) -> None:
    early = approval.created_at + timedelta(milliseconds=1)
    Approval.objects.filter(pk=approval.pk).update(expires_at=early)
