"""Decides about held calls on a house's store, by words on its input: `python -m tests.server.reviewer`.

Each line is a JSON list: a command and what it needs; each answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

import django

if __name__ == "__main__":
    django.setup()

from django.contrib.auth.models import Group
from django.utils import timezone

from approvals import services, sweeps
from approvals.digests import seen_digest
from approvals.models import Approval, Choice
from audit.models import Call, Store
from audit.reader import call_read
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create
from gateway.identity.membership import membership_set
from gateway.models import Lock, User, Webhook
from gateway.notifying.services import webhook_add
from gateway.services import lock_lift, lock_set
from policies.models import Policy
from policies.versions import policy_version_in_force


def make(name: str, role: str = "") -> str:
    """A person who reviews, or has another role."""
    person = User.objects.create_user(name)
    group, made = Group.objects.get_or_create(name=f"of {role}" if role else "reviewers")
    if made:
        role_grant(group=group, role=role, by=None)
    membership_set(member=person, groups=[group], by=None)
    return str(person.pk)


def callers(count: int) -> list[str]:
    """People who call as bob does; their keys."""
    expires = timezone.now() + timedelta(days=1)
    keys = []
    for number in range(count):
        person = User.objects.create_user(f"caller-{number}")
        membership_set(member=person, groups=[Group.objects.get(name="clinicians")], by=None)
        _, secret = api_key_create(name="bench", expires_at=expires, by=None, user=person)
        keys.append(secret.reveal())
    return keys


def open_ones() -> list[dict[str, Any]]:
    rows = Approval.objects.filter(status__in=("pending", "approved"))
    return [_shown(row) for row in rows.order_by("created_at")]


def vote(
    approval_id: str, name: str, choice: str, reason: str = "looked at it", emergency: bool = False
) -> str:
    """Empty where it counts, else why not."""
    approval = Approval.objects.get(pk=approval_id)
    try:
        services.approval_decide(
            approval_id=UUID(approval_id),
            by=User.objects.get(username=name),
            choice=Choice(choice),
            reason=reason,
            seen=seen_digest(approval),
            emergency=emergency,
        )
    except services.ApprovalRefused as refused:
        return str(refused)
    return ""


def show(approval_id: str) -> dict[str, Any]:
    return _shown(Approval.objects.get(pk=approval_id))


def publish(**settings: Any) -> int:
    """The clinicians' policy anew, with other settings."""
    from policies import services as policies

    last = policy_version_in_force(Policy.objects.get(slug="clinicians").pk)
    assert last is not None
    draft = policies.policy_version_clone_to_draft(version=last, by=None)
    gate = 2 if settings.pop("holding", False) else settings.pop("gate", None)
    if gate is not None:
        draft.rules.filter(value="US_SSN").update(gate=gate)
    for key, value in settings.items():
        setattr(draft, key, value)
    draft.save()
    policies.policy_version_publish(version=draft, by=None)
    return int(draft.number)


def lock(name: str) -> None:
    lock_set(user=User.objects.get(username=name), reason="a test", by=None)


def unlock() -> None:
    for row in Lock.objects.filter(lifted_at=None):
        lock_lift(lock=row, by=None)


def record(call_id: str) -> list[str]:
    """Every payload of a call, as it is kept."""
    call = Call.objects.get(pk=call_id)
    return [part.payload.data.decode() for part in call_read(call).parts if part.payload is not None]


def raise_epoch() -> None:
    """As a restore does."""
    store = Store.objects.get()
    Store.objects.filter(pk=1).update(epoch=store.epoch + 1)


def run_out(approval_id: str) -> None:
    row = Approval.objects.get(pk=approval_id)
    Approval.objects.filter(pk=approval_id).update(expires_at=row.created_at + timedelta(milliseconds=1))


def hook(url: str) -> str:
    """A webhook of everything; its secret."""
    made = Webhook(name="test", allow_private=True)
    secret = webhook_add(webhook=made, url=url, by=None)
    return secret.reveal() if secret else ""


def comment(approval_id: str, name: str, text: str) -> None:
    services.approval_comment(approval_id=UUID(approval_id), by=User.objects.get(username=name), text=text)


def _shown(row: Approval) -> dict[str, Any]:
    names = ("status", "requester_name", "purpose", "endpoint", "model", "reasons", "counts", "needed")
    return {"id": str(row.pk), "call": str(row.call_id), **{name: getattr(row, name) for name in names}}


COMMANDS: dict[str, Any] = {
    "make": make,
    "callers": callers,
    "open": open_ones,
    "vote": vote,
    "show": show,
    "publish": lambda settings: publish(**settings),
    "lock": lock,
    "unlock": unlock,
    "record": record,
    "epoch": raise_epoch,
    "run_out": run_out,
    "hook": hook,
    "comment": comment,
    "lost": lambda call_id: Call.objects.get(pk=call_id).code == "instance_lost",
    "sweep": lambda: [sweeps.approvals_expire(), sweeps.approvals_escalate()],
}


def main() -> None:
    for line in sys.stdin:
        command, *given = json.loads(line)
        try:
            answer = COMMANDS[command](*given)
        except Exception as error:  # the test shall see it, whatever it is
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
