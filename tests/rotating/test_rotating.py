"""A rotation from its beginning to the key that is taken back, also when things go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone

from audit.models import Entry
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_move, credential_reveal_for_origin, credential_set
from gateway.models import (
    CredentialState,
    CredentialVersion,
    Rotation,
    RotationCause,
    RotationPlan,
    RotationStep,
)
from gateway.rotating import steps, sweeping
from gateway.rotating.services import (
    RotationError,
    plan_drop,
    plan_save,
    roll_back,
    rotate_now,
    rotation_cancel,
    secret_revoke_now,
    spares_add,
)

from .provider import SLOTS, Provider, provider
from .world import House, house

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def there() -> Iterator[Provider]:
    with provider() as found:
        yield found


def later(seconds: float) -> Any:
    """From here on it is later."""
    now = timezone.now
    return patch("django.utils.timezone.now", lambda: now() + timedelta(seconds=seconds))


def told(name: str) -> int:
    metas = map(bytes, Entry.objects.filter(kind="event").values_list("meta", flat=True))
    return sum(f'"{name}"'.encode() in meta for meta in metas)


def secret_in_use(home: House) -> str:
    return credential_reveal_for_origin(version=home.current(), origin=home.provider.origin).reveal()


def last(home: House) -> Rotation:
    return Rotation.objects.filter(credential=home.credential).latest("id")


def works(home: House) -> bool:
    return secret_in_use(home) in {key.secret for key in home.provider.state.good()}


def test_what_is_due_is_made_tried_used_and_taken_back(there: Provider) -> None:
    home = house(there)
    before = secret_in_use(home)
    assert sweeping.sweep() == 0
    with later(31 * 86_400):
        sweeping.sweep()
        assert last(home).step == RotationStep.DONE
        assert last(home).cause == RotationCause.SCHEDULE
    assert secret_in_use(home) != before and works(home)
    assert len(there.state.good()) == 2, "the one before is good until its time has come"
    assert there.state.calls[-1] == ("/v1/models", 200)
    with later(31 * 86_400 + 20):
        sweeping.sweep()
    assert home.versions(CredentialState.PREVIOUS) == []
    with later(62 * 86_400):
        sweeping.sweep()
    with later(62 * 86_400 + 20):
        sweeping.sweep()
    assert works(home) and home.orphans() == []
    assert [key.id for key in there.state.good()] == ["key_1", home.current().provider_id]
    for name in ("begun", "created", "tested", "switched"):
        assert told(f"rotation.{name}") == 2
    assert told("credential.taken_back") == 1


def test_the_next_is_due_after_the_last(there: Provider) -> None:
    home = house(there)
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    plan = RotationPlan.objects.get(pk=home.plan.pk)
    assert plan.next_at is not None
    assert timedelta(days=29) < plan.next_at - timezone.now() < timedelta(days=31)
    assert sweeping.sweep() == 0


@pytest.mark.parametrize("trouble", ["made_and_lost", "made_and_500", "post_500", "get_500"])
def test_a_provider_that_fails_leaves_no_key_behind(there: Provider, trouble: str) -> None:
    home = house(there)
    there.state.troubles = [trouble]
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    assert works(home) and last(home).step == RotationStep.CREATE
    with later(40):
        sweeping.sweep()
    assert last(home).step == RotationStep.DONE and works(home)
    with later(60):
        sweeping.sweep()
    assert home.orphans() == []
    assert len(there.state.good()) == 2, "the first, that was made by hand, and the one in use"


def lost_at_last(home: House) -> None:
    """A rotation of which the provider makes a key whenever it is asked, and never says so; paused then."""
    rotate_now(credential=home.credential, by=None)
    for seconds in range(0, 400, 40):
        home.provider.state.troubles = ["made_and_lost"]
        with later(seconds):
            sweeping.sweep()
            if last(home).step == RotationStep.FAILED:
                break
    RotationPlan.objects.update(paused=True)


def test_one_that_is_given_up_leaves_no_key_behind(there: Provider) -> None:
    home = house(there)
    lost_at_last(home)
    assert last(home).error == "transport" and len(there.state.keys) > 3
    assert home.orphans() == [] and works(home)
    assert told("rotation.leftover_revoked") == len(there.state.keys) - 1


def test_what_a_provider_makes_late_is_taken_back_as_well(there: Provider) -> None:
    home = house(there)
    lost_at_last(home)
    there.state.make(there.state.keys["key_2"].name)
    with later(500):
        sweeping.sweep()
        assert home.orphans() == [] and last(home).next_at is None
        assert sweeping.sweep() == 0


def test_a_provider_that_cannot_be_asked_after_a_failure_is_asked_again(there: Provider) -> None:
    home = house(there)
    with patch.object(steps, "CREATE_TRIES", 1):
        there.state.troubles = ["made_and_lost"]
        rotate_now(credential=home.credential, by=None)
        with patch.object(steps, "clear_up", side_effect=steps.Lost):
            sweeping.sweep()
    assert last(home).step == RotationStep.FAILED and len(home.orphans()) == 1
    there.state.troubles = ["get_500"]
    with later(70):
        sweeping.sweep()
        assert len(home.orphans()) == 1 and last(home).next_at is not None
    with later(80):
        sweeping.sweep()
    assert home.orphans() == []


def test_one_that_is_called_off_leaves_no_key_behind(there: Provider) -> None:
    """Called off while its worker is dead, between the provider's making a key and our hearing of it."""
    home = house(there)
    there.state.troubles = ["made_and_lost"]
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    assert len(home.orphans()) == 1
    rotation_cancel(credential=home.credential, by=None)
    RotationPlan.objects.update(paused=True)
    sweeping.sweep()
    assert home.orphans() == [] and works(home)


def test_without_its_plan_nothing_is_looked_for(there: Provider) -> None:
    home = house(there)
    there.state.troubles = ["made_and_lost"]
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    rotation_cancel(credential=home.credential, by=None)
    RotationPlan.objects.all().delete()
    sweeping.sweep()
    assert last(home).next_at is None and sweeping.sweep() == 0


def test_a_provider_that_does_not_want_to_is_asked_again_much_later(there: Provider) -> None:
    home = house(there)
    there.state.troubles = ["refuse"]
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    assert (last(home).step, last(home).error) == (RotationStep.FAILED, "status")
    plan = RotationPlan.objects.get(pk=home.plan.pk)
    assert plan.failures == 1 and plan.next_at is not None
    assert timedelta(minutes=4) < plan.next_at - timezone.now() < timedelta(minutes=6)
    assert works(home) and told("rotation.failed") == 1
    with later(400):
        sweeping.sweep()
    assert last(home).step == RotationStep.DONE
    assert RotationPlan.objects.get(pk=home.plan.pk).failures == 0


def test_a_key_that_its_provider_rejects_is_never_used(there: Provider) -> None:
    home = house(there)
    before = secret_in_use(home)
    there.state.troubles = ["reject"]
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    assert (last(home).step, last(home).error) == (RotationStep.TEST, "rejected")
    with later(200):
        sweeping.sweep()
        sweeping.sweep()
    assert (last(home).step, last(home).error) == (RotationStep.FAILED, "rejected")
    assert secret_in_use(home) == before and works(home)
    assert home.orphans() == [] and [key.id for key in there.state.good()] == ["key_1"]


def test_a_key_that_is_known_late_is_waited_for(there: Provider) -> None:
    home = house(there)
    there.state.troubles = ["model_500", "model_500"]
    rotate_now(credential=home.credential, by=None)
    for seconds in (0, 40, 80):
        with later(seconds):
            sweeping.sweep()
    assert last(home).step == RotationStep.DONE and works(home)


def test_taking_back_is_tried_until_it_works(there: Provider) -> None:
    home = house(there)
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    there.state.troubles = ["delete_500", "revoked_and_lost"]
    for seconds in (20, 120, 400, 1000):
        with later(seconds):
            sweeping.sweep()
    assert [key.id for key in there.state.good()] == ["key_1", home.current().provider_id]
    assert not CredentialVersion.objects.filter(retire_next_at__isnull=False).exists()


@pytest.mark.parametrize(
    "name", ["tidy", "save", "errand_for", "advance", "master_keys", "_tell", "probe", "finish"]
)
@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_worker_that_dies_at_any_step_is_followed_by_another(there: Provider, name: str, when: int) -> None:
    """Each place, before and after what it does: an exception stands for a death, the lease for the time."""
    home = house(there)
    rotate_now(credential=home.credential, by=None)
    for after in (False, True):
        with patch.object(steps, name, dying(getattr(steps, name), when, after)):
            sweeping.sweep()
    with later(100):
        sweeping.sweep()
    with later(200):
        sweeping.sweep()
    assert last(home).step == RotationStep.DONE
    assert works(home) and home.orphans() == []
    assert len(there.state.good()) == 2


def dying(real: Any, when: int, after: bool) -> Any:
    count = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == when and not after:
            raise MemoryError
        result = real(*args, **kwargs)
        if count == when:
            raise MemoryError
        return result

    return wrapped


def test_who_took_too_long_takes_back_what_it_made(there: Provider) -> None:
    home = house(there)
    rotate_now(credential=home.credential, by=None)
    rotation = last(home)
    sweeping.take(rotation)
    slow = Rotation.objects.get(pk=rotation.pk)
    real = steps._keep

    def overtaken(*args: Any) -> None:
        with patch.object(steps, "_keep", real), later(100):
            sweeping._sweep(float("inf"))
        real(*args)

    with patch.object(steps, "_keep", overtaken):
        steps.work(slow)
    assert last(home).step == RotationStep.DONE and works(home)
    assert home.orphans() == [] and len(there.state.good()) == 2


def test_one_that_is_compromised_is_taken_back_at_once(there: Provider) -> None:
    home = house(there, overlap=timedelta(days=3))
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    bad = home.current().provider_id
    rotate_now(credential=home.credential, by=None, compromised=True)
    sweeping.sweep()
    assert home.versions(CredentialState.PREVIOUS) == []
    assert there.state.keys[bad].revoked and works(home)


def test_one_that_is_under_way_is_hurried(there: Provider) -> None:
    home = house(there, overlap=timedelta(days=3))
    rotate_now(credential=home.credential, by=None)
    with pytest.raises(RotationError, match="under way"):
        rotate_now(credential=home.credential, by=None)
    rotate_now(credential=home.credential, by=None, compromised=True)
    sweeping.sweep()
    assert last(home).cause == RotationCause.COMPROMISED
    assert home.versions(CredentialState.PREVIOUS) == []


def test_everything_can_be_revoked_without_another(there: Provider) -> None:
    home = house(there)
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    secret_revoke_now(credential=home.credential, by=None)
    sweeping.sweep()
    assert not home.credential.versions.exclude(state=CredentialState.RETIRED).exists()
    assert [key.id for key in there.state.good()] == ["key_1"]


def test_one_goes_back_to_the_version_before(there: Provider) -> None:
    home = house(there)
    before = home.current()
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    roll_back(version=before, by=None)
    assert home.current().pk == before.pk and works(home)
    with later(30):
        sweeping.sweep()
    assert home.current().pk == before.pk and [key.id for key in there.state.good()] == ["key_1"]
    with pytest.raises(RotationError):
        roll_back(version=last(home).version, by=None)  # type: ignore[arg-type]


def test_calling_off_takes_back_what_was_made(there: Provider) -> None:
    home = house(there)
    there.state.troubles = ["model_500"]
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    rotation_cancel(credential=home.credential, by=None)
    assert (last(home).step, last(home).error) == (RotationStep.FAILED, "cancelled")
    sweeping.sweep()
    assert works(home) and [key.id for key in there.state.good()] == ["key_1"]
    with pytest.raises(RotationError):
        rotation_cancel(credential=home.credential, by=None)


def test_who_enters_a_secret_or_moves_the_credential_ends_what_is_under_way(there: Provider) -> None:
    home = house(there)
    there.state.troubles = ["model_500"]
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    credential_set(credential=home.credential, secret=Secret("by-hand-again"), by=None)
    assert last(home).error == "entered" and secret_in_use(home) == "by-hand-again"
    rotate_now(credential=home.credential, by=None)
    credential_move(credential=home.credential, origin="https://elsewhere.example.com", by=None)
    assert last(home).error == "moved"
    sweeping.sweep()
    assert [key.id for key in there.state.good()] == ["key_1"]
    assert not home.credential.versions.exclude(state=CredentialState.RETIRED).exists()


def test_keys_of_a_store_that_is_not_this_one_stay(there: Provider) -> None:
    home = house(there)
    family = f"postern-{home.credential.pk.hex[-12:]}-"
    other = there.state.make(f"{family}0123456789ab-1")
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    assert not other.revoked


def test_of_two_keys_the_one_that_is_not_in_use_is_made_anew(there: Provider) -> None:
    """And the one before once more, when its time has come: nobody knows it then."""
    home = house(there, options={"own": SLOTS, "slot_in_use": "Key1"})
    there.state.keys["key_1"].name = "Key1"
    there.state.make("Key2")
    used = [there.state.keys["key_1"].secret]
    for slot in ("Key2", "Key1", "Key2"):
        there.state.troubles = ["made_and_lost"]
        rotate_now(credential=home.credential, by=None)
        sweeping.sweep()
        with later(40):
            sweeping.sweep()
        assert last(home).step == RotationStep.DONE
        assert home.current().provider_id == slot and works(home)
        used.append(secret_in_use(home))
        with later(60):
            sweeping.sweep()
        assert works(home)
    assert {key.secret for key in there.state.good()} & set(used[1:-1]) == set()


def test_while_both_are_in_use_it_waits(there: Provider) -> None:
    home = house(there, options={"own": SLOTS, "slot_in_use": "Key1"}, overlap=timedelta(days=2))
    there.state.keys["key_1"].name = "Key1"
    for _ in range(2):
        rotate_now(credential=home.credential, by=None)
        sweeping.sweep()
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    assert (last(home).step, last(home).error) == (RotationStep.CREATE, "no_slot")
    assert works(home)


def test_from_a_list_one_after_the_other(there: Provider) -> None:
    home = house(there, rotator="list", options={}, admin_credential=None)
    keys = [there.state.make(f"spare {number}") for number in range(2)]
    spares_add(credential=home.credential, secrets=[Secret(key.secret) for key in keys], by=None)
    for key in keys:
        rotate_now(credential=home.credential, by=None)
        sweeping.sweep()
        assert secret_in_use(home) == key.secret
    rotate_now(credential=home.credential, by=None)
    sweeping.sweep()
    assert (last(home).step, last(home).error) == (RotationStep.FAILED, "no_spare")
    assert secret_in_use(home) == keys[1].secret


def test_by_hand_somebody_is_reminded_and_at_last_it_is_no_longer_sent(there: Provider) -> None:
    home = house(
        there,
        rotator="manual",
        options={},
        admin_credential=None,
        escalate_after=timedelta(days=2),
        disable_after=timedelta(days=5),
    )
    days = 86_400
    for day in (30.1, 30.6, 31.7, 32.8, 33.9):
        with later(day * days):
            sweeping.sweep()
    assert (told("rotation.reminded"), told("rotation.escalated"), told("credential.disabled")) == (4, 1, 0)
    with later(35.5 * days):
        sweeping.sweep()
    home.credential.refresh_from_db()
    assert home.credential.disabled_at is not None
    with later(36 * days):
        credential_set(credential=home.credential, secret=Secret("by-hand-again"), by=None)
        sweeping.sweep()
    home.credential.refresh_from_db()
    assert home.credential.disabled_at is None and last(home).step == RotationStep.DONE
    assert last(home).version == home.current()


def test_nothing_is_begun_outside_of_a_window(there: Provider) -> None:
    home = house(there)
    now = timezone.now()
    opens = now + timedelta(hours=5)
    plan = RotationPlan.objects.get(pk=home.plan.pk)
    plan.windows = [{"from": f"{opens:%H:%M}", "until": f"{opens + timedelta(hours=1):%H:%M}"}]
    plan_save(plan=plan, by=None)
    RotationPlan.objects.update(next_at=now)
    assert sweeping.begin_due() == 0
    due: datetime | None = RotationPlan.objects.get(pk=home.plan.pk).next_at
    assert due is not None and due > now + timedelta(hours=4)
    with later(5.5 * 3600):
        assert sweeping.begin_due() == 1


def test_a_plan_that_is_paused_or_dropped_begins_nothing(there: Provider) -> None:
    home = house(there)
    plan = RotationPlan.objects.get(pk=home.plan.pk)
    plan.paused = True
    plan_save(plan=plan, by=None)
    with later(40 * 86_400):
        assert sweeping.begin_due() == 0
    plan_drop(plan=plan, by=None)
    with pytest.raises(RotationError, match="plan"):
        rotate_now(credential=home.credential, by=None)
    assert works(home)
