"""Who hears that a secret was not replaced: whoever can enter another one, once, and without the secret."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import Group

from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_set
from gateway.identity.authz import role_grant
from gateway.models import Delivery, MailsOff, RotationPlan, User, Webhook
from gateway.notifying import sending
from gateway.notifying.alerts import credential_alert
from gateway.notifying.services import webhook_add
from gateway.rotating import reminding, sweeping
from gateway.rotating.services import rotate_now
from gateway.services import lock_set
from tests.gateway.receiver import Mailbox, Receiver, mailbox, receiver, settings_for, verified
from tests.gateway.world import admin, area, person

from .provider import Provider, provider
from .test_rotating import later
from .world import House, house

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def there() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(settings, "PLAIN_HTTP", True)
    with receiver() as found:
        yield found


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with mailbox() as found:
        for name, value in settings_for(found).items():
            monkeypatch.setattr(settings, name, value)
        yield found


def official(name: str, role: str, where: str) -> User:
    group = Group.objects.create(name=f"{name}s")
    role_grant(group=group, role=role, by=None, area=area(where))
    return person(name, group=group.name, email=f"{name}@ward.example")


def keepers(home: House) -> User:
    """An administrator of the area; and those who are told nothing."""
    here = home.credential.area.slug
    official("ravi", "reviewer", here)
    official("lars", "admin", "elsewhere")
    MailsOff.objects.create(user=official("mute", "admin", here))
    stopped = official("sam", "admin", here)
    lock_set(by=admin("root"), reason="left", user=stopped)
    official("gone", "admin", here)
    User.objects.filter(username="gone").update(is_active=False)
    return official("ann", "admin", here)


def fails(home: House, *, after: float = 0) -> None:
    home.provider.state.troubles = ["refuse"]
    with later(after):
        rotate_now(credential=home.credential, by=None)
        sweeping.sweep()


def sent(post: Mailbox) -> list[str]:
    for _ in range(2):
        sending.sweep()
    return sorted(to.partition("@")[0] for to, _ in post.got)


def test_whoever_can_enter_another_is_told_once_and_nobody_else(there: Provider, post: Mailbox) -> None:
    home = house(there)
    keepers(home)
    fails(home)
    assert sent(post) == ["ann"]
    (_, text) = post.got[0]
    assert "Subject: The secret of model key could not be replaced; the one in use stays" in text
    assert f"https://postern.example/admin/gateway/credential/{home.credential.pk}/change/" in text
    assert not any(key.secret in text for key in there.state.keys.values())


def test_while_it_goes_on_once_a_day_and_when_it_works_again(there: Provider, post: Mailbox) -> None:
    home = house(there)
    keepers(home)
    for hours in (0, 1, 5, 23):
        fails(home, after=hours * 3600)
    assert len(sent(post)) == 1
    fails(home, after=25 * 3600)
    assert len(sent(post)) == 1, "it is due in a day"
    Delivery.objects.update(next_at=None, state="done")
    with later(26 * 3600):
        rotate_now(credential=home.credential, by=None)
        sweeping.sweep()
    events = list(Delivery.objects.order_by("event_at").values_list("event", flat=True))
    assert events == ["rotation.failed", "rotation.failed", "rotation.recovered"]
    fails(home, after=27 * 3600)
    assert Delivery.objects.filter(event="rotation.failed").count() == 3, "a new failure is told at once"


def test_webhooks_of_the_area_and_of_all_are_told_what_they_chose(there: Provider, hooks: Receiver) -> None:
    home = house(there)
    here, ann = home.credential.area, admin("root")
    chosen = {"here": (here, []), "all": (None, ["rotation.failed"]), "other": (area("elsewhere"), [])}
    chosen |= {"approvals": (here, ["approval.opened"])}
    secrets = {}
    for name, (where, events) in chosen.items():
        made = Webhook(area=where, name=name, events=events, allow_private=True)
        secrets[name] = webhook_add(webhook=made, url=f"{hooks.url}&{name}", by=ann)
    slack = Webhook(area=here, name="slack", kind="slack", allow_private=True)
    webhook_add(webhook=slack, url=hooks.url, by=ann)
    fails(home)
    sending.sweep()
    said = [message for message in hooks.messages if "type" in message]
    assert [message["type"] for message in said] == ["rotation.failed"] * 2 and len(hooks.got) == 3
    assert said[0]["data"]["name"] == "model key" and said[0]["data"]["area"] == here.slug
    known = [secret.reveal() for secret in secrets.values() if secret]
    signed = [got for got in hooks.got if "webhook-signature" in got[0]]
    assert len(signed) == 2 and all(any(verified(each, *got) for each in known) for got in signed)
    (told,) = [message["text"] for message in hooks.messages if "text" in message]
    assert told == "The secret of model key could not be replaced; the one in use stays."
    assert not any(key.secret.encode() in body for key in there.state.keys.values() for _, body in hooks.got)


def test_what_waits_for_a_person_is_told_and_escalated_and_at_last_held_back(
    there: Provider, post: Mailbox
) -> None:
    home = house(there, rotator="manual", options={}, admin_credential=None)
    RotationPlan.objects.update(escalate_after=timedelta(days=2), disable_after=timedelta(days=4))
    keepers(home)
    with later(31 * 86_400):
        sweeping.sweep()
    for days in (31, 32, 33.5, 36):
        with later(days * 86_400):
            sweeping.sweep()
    events = list(Delivery.objects.order_by("event_at", "pk").values_list("event", flat=True))
    assert events.count("rotation.reminded") == 4
    assert events.count("rotation.escalated") == events.count("credential.disabled") == 1
    Delivery.objects.update(next_at=home.credential.created_at)
    assert sent(post) == ["ann"], "many at once come as one"
    assert "Subject: 6 messages" in post.got[0][1]
    credential_set(credential=home.credential, secret=Secret("sk-by-hand-0123456789"), by=None)
    with later(37 * 86_400):
        sweeping.sweep()
    assert Delivery.objects.count() == 6


def test_a_secret_that_is_too_old_is_told_once_a_day(
    there: Provider, post: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "CREDENTIAL_MAX_DAYS", {"restricted": 90})
    home = house(there)
    keepers(home)
    with later(100 * 86_400):
        assert reminding.tell_too_old() == 0, "its plan replaces it"
        RotationPlan.objects.update(paused=True)
        assert (reminding.tell_too_old(), reminding.tell_too_old()) == (1, 0)
    with later(101.5 * 86_400):
        assert reminding.tell_too_old() == 1
        RotationPlan.objects.all().delete()
        assert reminding.tell_too_old() == 0
    assert set(Delivery.objects.values_list("event", "person__username")) == {("credential.too_old", "ann")}
    Delivery.objects.update(next_at=home.credential.created_at)
    assert "is older than it may be" in (sent(post) and post.got[0][1])


def test_without_anybody_to_tell_nothing_is_written(there: Provider) -> None:
    home = house(there)
    fails(home)
    assert not Delivery.objects.exists()
    assert credential_alert(credential=home.credential, event="rotation.failed") == 0
