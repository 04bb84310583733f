"""Where replicas learn of a key one after the other, it is used once all of them know it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone

from gateway.credentials.secret import Secret
from gateway.credentials.services import (
    credential_current,
    credential_reveal_for_origin,
    credential_set,
    endpoint_attach,
)
from gateway.models import Credential, Rotation, RotationPlan, RotationStep
from gateway.rotating import sweeping
from gateway.rotating.rotators.recipe import ByRecipe
from gateway.rotating.services import plan_save, rotate_now
from tests.gateway.world import credential, endpoint

from .cluster import TOKEN, Cluster, cluster

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

FIRST = "sk-first-0123456789"
VARIABLES = {"namespace": "models", "secret_name": "keys", "deployment": "llm"}


@dataclass
class House:
    there: Cluster
    credential: Credential
    passed: float = 0.0

    @property
    def in_use(self) -> str:
        version = credential_current(credential=self.credential)
        return credential_reveal_for_origin(version=version, origin=self.there.origin).reveal()

    @property
    def last(self) -> Rotation:
        return Rotation.objects.filter(credential=self.credential).latest("id")

    def passes(self, seconds: float, *, step: float = 5.0) -> None:
        """Time, with a sweep and two calls every few seconds. Every replica takes whatever is in use."""
        now, until = timezone.now, self.passed + seconds
        while self.passed < until:
            self.passed += step
            with patch("django.utils.timezone.now", lambda: now() + timedelta(seconds=self.passed)):
                sweeping.sweep()
            answers = [self.there.answers(self.in_use) for _ in self.there.replicas]
            assert answers == [200, 200] and self.there.takes_everywhere(self.in_use), "calls are refused"


@pytest.fixture(params=["vllm-kubernetes", "tgi-kubernetes"])
def home(request: pytest.FixtureRequest) -> Iterator[House]:
    with cluster(FIRST) as there:
        row = credential("model key", origin=there.origin)
        credential_set(credential=row, secret=Secret(FIRST), by=None)
        endpoint_attach(
            endpoint=endpoint("chat", origin=there.origin, allow_private=True), credential=row, by=None
        )
        token = credential("cluster", origin=there.origin)
        credential_set(credential=token, secret=Secret(TOKEN), by=None)
        options = {"recipe": request.param, "variables": VARIABLES, "slot_in_use": "key-a"}
        plan = RotationPlan(credential=row, rotator="recipe", options=options, admin_credential=token)
        plan.allow_private, plan.overlap = True, timedelta(seconds=30)
        plan_save(plan=plan, by=None)
        yield House(there, row)


def test_a_key_is_used_once_every_replica_takes_it(home: House) -> None:
    for slot in ("key-b", "key-a", "key-b"):
        before = home.in_use
        rotate_now(credential=home.credential, by=None)
        home.passes(60)
        assert home.last.step == RotationStep.TEST, "it has hardly settled"
        home.passes(600)
        assert home.last.step == RotationStep.DONE
        assert home.in_use == home.there.keys[slot] != before
        by_hand = before == FIRST  # its slot is written anew by the next rotation
        assert by_hand or not any(before in replica for replica in home.there.replicas), "it stayed good"
    assert home.there.refused > 0, "no replica was behind the others"


def test_one_refusal_and_it_settles_anew(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can tell whether all have started."""
    monkeypatch.setattr(ByRecipe, "ready", lambda *_: True)
    home.there.every = 20
    rotate_now(credential=home.credential, by=None)
    seen: list[tuple[str, Any]] = []
    for _ in range(60):
        home.passes(5)
        seen.append((home.last.error, home.last.step_since))
    codes = [code for code, _ in seen]
    assert "settling" in codes and "rejected" in codes[codes.index("settling") :]
    assert len({since for code, since in seen if code == "settling"}) > 1
    home.passes(600)
    assert home.last.step == RotationStep.DONE


def test_replicas_that_never_start_anew_are_given_up(home: House) -> None:
    home.there.every = 0
    before = home.in_use
    rotate_now(credential=home.credential, by=None)
    home.passes(29 * 60, step=30)
    assert home.last.step == RotationStep.TEST and home.last.error == "rejected"
    home.passes(6 * 60, step=30)
    assert home.last.step == RotationStep.FAILED and home.in_use == before
    assert home.there.keys["key-a"] == before


def test_a_plan_may_say_how_long_it_settles(home: House) -> None:
    plan = RotationPlan.objects.get(credential=home.credential)
    plan.options = {**plan.options, "settle": 0}
    plan_save(plan=plan, by=None)
    home.there.every = 0
    home.there.replicas = [{*home.there.keys.values(), "anything"} for _ in range(2)]
    with patch.object(Cluster, "answers", return_value=200), pytest.raises(AssertionError, match="refused"):
        rotate_now(credential=home.credential, by=None)
        home.passes(10)


@pytest.mark.parametrize("behind", ["a replica", "the controller", "the API"])
def test_good_answers_are_not_enough_while_the_cluster_says_otherwise(home: House, behind: str) -> None:
    """Of many replicas one that is behind is met by chance alone."""
    with patch.object(Cluster, "answers", return_value=200), patch.object(Cluster, "takes_everywhere"):
        home.there.stuck, home.there.observed = int(behind == "a replica"), -(behind == "the controller")
        before = home.in_use
        rotate_now(credential=home.credential, by=None)
        broken = patch.object(Cluster, "state", return_value=[])
        with broken if behind == "the API" else nullcontext():
            home.passes(900, step=30)
            assert home.last.step == RotationStep.TEST and home.in_use == before
            assert home.last.error == "unreachable"
        home.there.stuck = home.there.observed = 0
        home.there.restarts = {}
        home.passes(300)
        assert home.last.step == RotationStep.DONE and home.in_use != before
