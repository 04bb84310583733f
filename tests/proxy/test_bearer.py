"""alice calls with a token of her company's issuer: who she is here, what she may, and how soon that ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from pytest_django.fixtures import Settings

from gateway.identity import introspection, overage
from gateway.identity.discovery import ProviderDown
from gateway.identity.keys import digest
from gateway.identity.mapping import groups_given
from gateway.identity.membership import membership_set
from gateway.identity.tokens import Vouched
from gateway.models import (
    GroupMapping,
    Identity,
    Issuer,
    Lock,
    MembershipChange,
    ServiceAccount,
    Source,
    User,
)
from gateway.proxy import bearer, vouching
from gateway.proxy.admission import RequestHead
from gateway.proxy.bearer import Bearer
from gateway.proxy.errors import BadRequest, Forbidden, ProxyError, TokenRefused, Unauthenticated, Unavailable
from gateway.proxy.routes import Caller
from gateway.proxy.snapshot import Snapshots
from tests.gateway.world import area, key_of, person
from tests.identity.minting import AUDIENCE, access_token
from tests.identity.provider import Provider, always, running_provider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


class World:
    """One issuer with keys on real sockets; its claim `groups` says who is in staff and in night."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.issuer = Issuer.objects.create(
            name="House",
            issuer=provider.issuer,
            allow_private=True,
            audiences=[AUDIENCE],
            algorithms=["RS256", "ES256"],
        )
        self.staff, self.night = (Group.objects.create(name=name) for name in ("staff", "night"))
        for group in (self.staff, self.night):
            GroupMapping.objects.create(issuer=self.issuer, value=group.name, group=group)
        self.snapshots = Snapshots()
        self.snapshots.refresh()
        self.bearer = Bearer(self.snapshots)

    def token(self, key: str = "rsa1", **changes: Any) -> str:
        return access_token(key, **{"iss": self.provider.issuer, **changes})

    def call(self, token: str, *, header: bytes = b"authorization", fresh: bool = True) -> Caller:
        """The caller of one call; `fresh`: the snapshot has been read anew before it."""
        if fresh:
            self.snapshots.refresh()
        value = f"Bearer {token}" if header == b"authorization" else token
        head = RequestHead("POST", "/proxy/chat", {header: value.encode()}, "192.0.2.1")
        return asyncio.run(self.bearer.caller(head))

    def refused(self, token: str, kind: type[ProxyError] = TokenRefused) -> str:
        with pytest.raises(kind) as refusal:
            self.call(token)
        return refusal.value.reason or refusal.value.code

    def change(self, **fields: Any) -> None:
        for name, value in fields.items():
            setattr(self.issuer, name, value)
        self.issuer.save()


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    settings.PLAIN_HTTP = True
    with running_provider() as provider:
        running = World(provider)
        yield running
        running.bearer.stop()


def test_a_token_names_a_person_and_their_groups_at_once(world: World) -> None:
    caller = world.call(world.token())
    alice = Identity.objects.get(issuer=world.issuer.issuer, subject="00u1alice").user
    assert alice is not None and (caller.person_id, caller.kind) == (alice.pk, "person")
    assert (caller.groups, caller.name) == (("staff",), "Alice Example")
    assert caller.key_id is None and caller.refusal == ""
    assert MembershipChange.objects.get(member_id=alice.pk).source == Source.TOKEN


def test_the_record_says_who_vouched_and_who_acted(world: World) -> None:
    act = {"sub": "agent", "act": {"sub": "scheduler", "iss": "https://other.example"}}
    who = world.call(world.token(act=act)).who("192.0.2.1")
    assert (who.issuer, who.issued_subject) == (world.provider.issuer, "00u1alice")
    assert who.actor == ("agent", "scheduler at https://other.example")
    assert who.subject == f"local:{User.objects.get().username}"
    plain = world.call(world.token()).who("192.0.2.1")
    assert plain.actor == () and plain.subject == who.subject


def test_a_cached_token_asks_nobody(world: World, django_assert_num_queries: Any) -> None:
    token = world.token()
    world.call(token)
    world.snapshots.refresh()
    asked = dict(world.provider.asked)
    with django_assert_num_queries(0):
        first, second = world.call(token, fresh=False), world.call(token, fresh=False)
    assert first is second and world.provider.asked == asked


def test_a_new_token_that_says_nothing_new_is_not_written(
    world: World, django_assert_num_queries: Any
) -> None:
    world.call(world.token())
    world.snapshots.refresh()
    with django_assert_num_queries(0):
        assert world.call(world.token(jti="2"), fresh=False).groups == ("staff",)


def test_a_snapshot_holds_those_who_call_however_many_the_issuer_has(world: World) -> None:
    for number in range(5):
        Identity.objects.create(issuer=world.provider.issuer, subject=f"s{number}", user=person(f"p{number}"))
    world.call(world.token(act={"sub": "s1"}))
    world.snapshots.refresh()
    assert {subject for _, subject in world.snapshots.current().known} == {"00u1alice", "s1"}


def test_whoever_is_known_is_known_to_a_process_that_meets_them_anew(world: World) -> None:
    world.call(world.token())
    world.snapshots.refresh()
    people, words = User.objects.count(), MembershipChange.objects.count()
    world.bearer.stop()
    world.snapshots = Snapshots()
    world.snapshots.refresh()
    world.bearer = Bearer(world.snapshots)
    tokens = [world.token(jti=str(number)) for number in range(3)]
    assert {world.call(token, fresh=False).groups for token in tokens} == {("staff",)}
    assert (User.objects.count(), MembershipChange.objects.count()) == (people, words)
    alice = User.objects.get()
    Lock.objects.create(user=alice, reason="away")
    assert {world.refused(token, Forbidden) for token in tokens} == {"caller_locked"}


def test_those_who_are_met_at_once_are_one_or_two_questions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def read(names: Any) -> Any:
        asked.append(len(names))
        return {}, 0

    monkeypatch.setattr(world.bearer._meeting, "_read", read)

    async def come() -> None:
        meet = world.bearer._meeting.meet
        await asyncio.gather(*[meet([("i", str(number))]) for number in range(500)])

    asyncio.run(come())
    assert sum(asked) == 500 and len(asked) <= 2


def test_a_store_that_is_away_is_our_trouble_and_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(names: Any) -> Any:
        raise ProviderDown("OperationalError")

    token = world.token()
    with monkeypatch.context() as broken:
        broken.setattr(world.bearer._meeting, "_read", away)
        assert world.refused(token, Unavailable) == "identity_unavailable"
    assert world.call(token)


def test_a_group_that_was_removed_at_the_issuer_is_gone_with_the_next_token(world: World) -> None:
    now = int(time.time())
    old = world.token(groups=["staff", "night"], iat=now - 20)
    assert world.call(old).groups == ("night", "staff")
    assert world.call(world.token(groups=["staff"], iat=now - 10)).groups == ("staff",)
    assert world.call(old).groups == ("staff",)  # the old token lives, and gives nothing back
    other = Bearer(world.snapshots)  # nor does it in a process that has never seen it
    world.bearer.stop()
    world.bearer = other
    assert world.call(old).groups == ("staff",)
    assert world.call(world.token(groups=["staff", "night"], iat=now - 5)).groups == ("night", "staff")
    assert world.call(world.token(groups=None, iat=now - 4)).groups == ()


@pytest.mark.parametrize("told", [True, False], ids=["told to the store", "not told yet"])
def test_a_newer_word_that_changed_nothing_counts_as_well(world: World, told: bool) -> None:
    now = int(time.time())
    world.call(world.token(groups=["staff"], iat=now - 30))
    world.call(world.token(groups=["staff"], iat=now - 10))
    if told:
        world.bearer._vouching.tell()
    assert world.call(world.token(groups=["staff", "night"], iat=now - 20)).groups == ("staff",)


def test_a_membership_that_is_taken_away_here_cuts_a_token_that_lives(world: World) -> None:
    token = world.token()
    caller = world.call(token)
    alice = User.objects.get(pk=caller.person_id)
    membership_set(member=alice, groups=[], by=None, source=Source.SCIM)
    assert world.call(token).groups == ()


def test_memberships_given_by_hand_stay(world: World) -> None:
    token = world.token()
    alice = User.objects.get(pk=world.call(token).person_id)
    manual = Group.objects.create(name="manual")
    membership_set(member=alice, groups=[world.staff, manual], by=None)
    assert world.call(world.token(jti="2")).groups == ("manual", "staff")


def test_whoever_is_locked_or_left_is_refused_though_the_token_lives(world: World) -> None:
    token = world.token()
    alice = User.objects.get(pk=world.call(token).person_id)
    lock = Lock.objects.create(user=alice, reason="lost laptop")
    assert world.refused(token, Forbidden) == "caller_locked"
    lock.delete()
    assert world.call(token)
    lock = Lock.objects.create(group=world.staff, reason="all of them")
    assert world.refused(token, Forbidden) == "caller_locked"
    lock.delete()
    alice.is_active = False
    alice.save()
    assert world.refused(token, Forbidden) == "caller_locked"
    assert world.refused(world.token(jti="2"), Forbidden) == "caller_locked"


def test_a_call_under_way_is_asked_again_by_what_is_known_now(world: World) -> None:
    caller = world.call(world.token())
    assert world.snapshots.current().again(caller, time.time()) is caller  # it has not seen them yet
    world.snapshots.refresh()
    again = world.snapshots.current().again(caller, time.time())
    assert again == caller and again.issuer == world.provider.issuer
    alice = User.objects.get(pk=caller.person_id)
    membership_set(member=alice, groups=[], by=None)
    world.snapshots.refresh()
    assert world.snapshots.current().again(caller, time.time()).groups == ()
    lock = Lock.objects.create(user=alice, reason="now")
    world.snapshots.refresh()
    with pytest.raises(Forbidden):
        world.snapshots.current().again(caller, time.time())
    lock.delete()
    world.change(enabled=False)
    world.snapshots.refresh()
    with pytest.raises(TokenRefused):
        world.snapshots.current().again(caller, time.time())


def test_an_actor_who_is_locked_may_not_act(world: World) -> None:
    agent = person("agent")
    Identity.objects.create(user=agent, issuer=world.provider.issuer, subject="agent")
    token = world.token(act={"sub": "agent"})
    assert world.call(token)
    Lock.objects.create(user=agent, reason="runaway")
    assert world.refused(token, Forbidden) == "caller_locked"


@pytest.mark.parametrize(
    "change", [{"enabled": False}, {"accepts_tokens": False}, {"audiences": ["x"]}, {"algorithms": ["ES256"]}]
)
def test_an_issuer_s_settings_act_on_tokens_that_are_cached(world: World, change: dict[str, Any]) -> None:
    token = world.token()
    assert world.call(token)
    Issuer.objects.create(name="Other", issuer="https://other.example", audiences=["x"])
    world.change(**change)
    assert world.refused(token)


def test_a_required_claim_that_only_looks_the_same_is_another(world: World) -> None:
    world.change(required_claims={"member": 1})
    token = world.token(member=1)
    assert world.call(token)
    world.change(required_claims={"member": True})
    assert world.refused(token) == "required_claim"


def test_a_mapping_that_changes_acts_on_tokens_that_are_cached(world: World) -> None:
    token = world.token()
    assert world.call(token).groups == ("staff",)
    GroupMapping.objects.filter(value="staff").update(group=world.night)
    assert world.call(world.token(iat=int(time.time()))).groups == ("night",)
    assert world.call(token).groups == ("night",)


def test_a_key_that_its_issuer_withdrew_ends_its_tokens(world: World) -> None:
    token = world.token()
    assert world.call(token)
    world.provider.keys = ["rsa2"]
    source = world.bearer._sources[world.provider.issuer]
    source._asked_at = float("-inf")
    source.refresh()
    source._asked_at = float("-inf")
    assert world.refused(token) == "unknown_key"
    assert world.call(world.token("rsa2"))


def test_a_token_expires_in_the_cache_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = world.token()
    assert world.call(token)
    later = time.time() + 631
    monkeypatch.setattr("gateway.proxy.bearer.time.time", lambda: later)
    assert world.refused(token) == "expired"


def test_an_issuer_that_is_away_too_long_is_our_trouble_not_the_caller_s(world: World) -> None:
    token = world.token()
    assert world.call(token)
    world.provider.trouble = always(503, "text/plain", b"")
    assert world.call(token) and world.call(world.token(jti="2"))
    source = world.bearer._sources[world.provider.issuer]
    source._fetched_at -= 3601
    source._asked_at = float("-inf")
    for each in (token, world.token(jti="3")):
        with pytest.raises(Unavailable) as refusal:
            world.call(each)
        assert refusal.value.code == "identity_unavailable"
    assert world.provider.asked["/.well-known/openid-configuration"] <= 4


def test_keys_that_count_for_a_minute_are_fresh_while_their_issuer_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.change(max_stale=60)
    token, start = world.token(), time.monotonic()
    assert world.call(token)
    source = world.bearer._sources[world.provider.issuer]
    for later in (35, 70, 105):
        source._clock = lambda passed=later: start + passed
        world.bearer._step()
        assert source._beside is not None
        source._beside.join()
        assert source.age < 60 and world.call(token)


def test_programs_are_those_that_somebody_set_up(world: World) -> None:
    token = world.token(sub="desk", groups=["staff"])
    assert world.refused(token, Forbidden) == "unknown_caller"
    assert not Identity.objects.exists()
    account = ServiceAccount.objects.create(area=area(), name="nightly", owner=person("olga"))
    account.groups.add(world.night)
    Identity.objects.create(service_account=account, issuer=world.provider.issuer, subject="desk")
    caller = world.call(token)
    assert (caller.subject, caller.kind, caller.groups) == ("service:nightly", "service", ("night",))
    for target in ({"area": account.area}, {"user": account.owner}, {"group": world.night}):
        lock = Lock.objects.create(reason="stop", **target)
        assert world.refused(token, Forbidden) == "caller_locked"
        lock.delete()
    assert world.call(token)
    account.owner.is_active = False
    account.owner.save()
    assert world.refused(token, Forbidden) == "caller_locked"


def test_a_program_is_no_person_even_under_a_person_s_name(world: World) -> None:
    Identity.objects.create(user=person("olga"), issuer=world.provider.issuer, subject="desk")
    assert world.refused(world.token(sub="desk"), Forbidden) == "unknown_caller"


def test_people_who_are_not_known_stay_out_where_the_issuer_makes_none(world: World) -> None:
    world.change(creates_people=False)
    assert world.refused(world.token(), Forbidden) == "unknown_caller"
    Identity.objects.create(user=person("alice"), issuer=world.provider.issuer, subject="00u1alice")
    assert world.call(world.token()).subject == "local:alice"


def test_the_same_new_token_in_a_hundred_calls_at_once_makes_one_person(world: World) -> None:
    async def burst() -> list[Caller]:
        return await asyncio.gather(*(world.bearer.caller(head) for _ in range(100)))

    head = RequestHead("POST", "/", {b"authorization": f"Bearer {world.token()}".encode()}, "192.0.2.1")
    world.snapshots.refresh()
    callers = asyncio.run(burst())
    assert len({caller.person_id for caller in callers}) == 1
    assert User.objects.count() == 1 and world.provider.asked["/keys"] == 1


def test_an_issuer_whose_settings_make_no_sense_is_left_out_alone(world: World) -> None:
    for number, wrong in enumerate([{"audiences": "text"}, {"required_claims": []}, {"algorithms": 5}]):
        Issuer.objects.create(name=f"Odd {number}", issuer=f"https://odd{number}.example", **wrong)
    assert world.call(world.token())
    assert set(world.snapshots.current().issuers) == {world.provider.issuer}


def test_what_is_kept_of_a_token_is_not_its_claims(world: World) -> None:
    world.call(world.token(secret="pssst"))
    (entry,) = world.bearer._cache.values()
    assert entry.vouched.claims == {}


def test_many_groups_and_rules_are_matched_off_the_loop(world: World) -> None:
    GroupMapping.objects.create(issuer=world.issuer, match="regex", value="team-(.*)")
    many = [f"team-{number}" for number in range(100)]
    assert world.call(world.token(groups=[*many, "staff"])).groups == ("staff",)


def test_what_takes_long_to_match_is_not_matched_on_the_loop_and_too_much_of_it_nowhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    GroupMapping.objects.create(issuer=world.issuer, match="regex", value="(.*)-(.*)x")
    where: list[bool] = []

    def given(*args: Any) -> frozenset[int]:
        where.append(threading.current_thread() is threading.main_thread())
        return groups_given(*args)

    monkeypatch.setattr(vouching, "groups_given", given)
    long = [f"{number:025d}" for number in range(20)]
    before = int(time.time()) - 20
    assert world.call(world.token(groups=["staff"], iat=before)).groups == ("staff",)
    where.clear()
    assert world.call(world.token(groups=[*long, "staff", "night"])).groups == ("night", "staff")
    assert where == [False]
    where.clear()
    hostile = [f"{number:0400d}" for number in range(15)]
    monkeypatch.setattr(vouching, "MOST_EFFORT", 1_000_000)
    assert world.refused(world.token(groups=hostile)) == "too_many_groups" and where == []


# --- which header, which kind ---------------------------------------------------------------------------


def test_tokens_come_in_authorization_alone(world: World) -> None:
    token = world.token()
    for header in (b"x-api-key", b"api-key"):
        with pytest.raises(Unauthenticated) as refusal:
            world.call(token, header=header)
        assert refusal.value.code == "invalid_api_key"
    empty = RequestHead("POST", "/", {b"authorization": b" ", b"x-api-key": token.encode()}, "")
    with pytest.raises(Unauthenticated):
        asyncio.run(world.bearer.caller(empty))
    both = {
        b"authorization": f"Bearer {token}".encode(),
        b"x-api-key": key_of(person("bob"))[1].reveal().encode(),
    }
    with pytest.raises(BadRequest, match="conflicting_credentials"):
        asyncio.run(world.bearer.caller(RequestHead("POST", "/", both, "")))


def test_keys_are_keys_beside_tokens(world: World) -> None:
    _, secret = key_of(person("bob"))
    for header in (b"authorization", b"x-api-key", b"api-key"):
        assert world.call(secret.reveal(), header=header).subject == "local:bob"


@pytest.mark.parametrize("text", ["pst_a.b.c", "opaque", "pst_"])
def test_what_cannot_be_a_token_is_refused_as_a_key(world: World, text: str) -> None:
    assert world.refused(text, Unauthenticated) == "invalid_api_key"


def test_a_client_is_told_one_thing_and_the_record_another(world: World) -> None:
    seen = set()
    for token in (
        world.token(aud="x"),
        world.token(exp=1),
        world.token(sub=None),
        "a.b.c",
        world.token("rsa9"),
    ):
        with pytest.raises(TokenRefused) as refusal:
            world.call(token)
        error = refusal.value
        seen.add((error.code, error.message, error.status, tuple(error.headers.items())))
    assert seen == {
        (
            "invalid_token",
            "The bearer token is not accepted.",
            401,
            (("www-authenticate", 'Bearer error="invalid_token"'),),
        )
    }


def test_a_wrong_prefix_and_a_wrong_secret_take_the_same_path(world: World) -> None:
    """Keys are looked up by the digest of the whole: which part of one is wrong changes nothing but the
    digest, so there is no comparison whose time could tell."""
    _, secret = key_of(person("bob"))
    good = secret.reveal()
    prefix, body = good[:12], good[12:]
    wrong_secret, wrong_prefix = prefix + "_" + "A" * 43, "pst_AAAAAAAA" + body
    world.snapshots.refresh()
    asked: list[bytes] = []

    class Watched(dict[bytes, Caller]):
        def get(self, key: bytes, default: Any = None) -> Any:
            asked.append(key)
            return super().get(key, default)

    object.__setattr__(world.snapshots.current(), "callers", Watched(world.snapshots.current().callers))
    for wrong in (wrong_secret, wrong_prefix):
        with pytest.raises(Unauthenticated):
            world.call(wrong, fresh=False)
    first, second = asked[: len(asked) // 2], asked[len(asked) // 2 :]
    assert first == [digest(wrong_secret)] * 3 and second == [digest(wrong_prefix)] * 3


# --- groups that did not fit -----------------------------------------------------------------------------


def test_groups_that_did_not_fit_are_refused_unless_somebody_knows_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = world.token(groups=None, _claim_names={"groups": "src1"})
    assert world.refused(token) == "overage"
    asked: list[str] = []

    def lookup(vouched: Vouched) -> list[str]:
        asked.append(vouched.subject)
        return ["night"]

    monkeypatch.setattr(overage, "_LOOKUPS", {})
    overage.register("house", lookup)
    world.change(overage="lookup", overage_lookup="house")
    assert world.call(token).groups == ("night",)
    assert world.call(token).groups == ("night",) and asked == ["00u1alice"]


def test_a_lookup_that_fails_is_our_trouble(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(vouched: Vouched) -> list[str]:
        raise overage.LookupFailed

    monkeypatch.setattr(overage, "_LOOKUPS", {"house": lookup})
    world.change(overage="lookup", overage_lookup="house")
    assert world.refused(world.token(hasgroups=True), Unavailable) == "identity_unavailable"


# --- opaque tokens ---------------------------------------------------------------------------------------


def opaque(world: World, token: str = "opaque-1", **changes: Any) -> str:
    now = int(time.time())
    said = {
        "active": True,
        "sub": "00u1alice",
        "aud": AUDIENCE,
        "client_id": "desk",
        "iat": now - 5,
        "exp": now + 600,
        "groups": ["staff"],
    } | changes
    world.provider.opaque[token] = {name: value for name, value in said.items() if value is not None}
    world.change(introspection_url=f"{world.provider.issuer}/introspect")
    return token


def test_an_opaque_token_is_asked_about_once_in_a_while(world: World) -> None:
    token = opaque(world)
    assert world.call(token).groups == ("staff",)
    assert world.call(token).groups == ("staff",)
    assert world.provider.asked["/introspect"] == 1


def test_an_opaque_token_that_is_revoked_is_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert introspection.FRESH < 5
    token = opaque(world)
    assert world.call(token)
    world.provider.opaque.clear()
    later = time.time() + introspection.FRESH
    monkeypatch.setattr("gateway.proxy.bearer.time.time", lambda: later)
    assert world.refused(token) == "inactive"


def test_a_wrong_opaque_token_is_asked_about_once_in_a_short_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = opaque(world, active=False)
    began = time.time()
    monkeypatch.setattr("gateway.proxy.bearer.time.time", lambda: began)
    assert world.refused(token) == world.refused(token) == "inactive"
    assert world.refused("opaque-2") == "inactive"
    assert world.provider.asked["/introspect"] == 2
    assert world.call(opaque(world, "opaque-3")), "what is said of one token is not said of another"
    monkeypatch.setattr("gateway.proxy.bearer.time.time", lambda: began + bearer.REFUSED_FOR)
    opaque(world)
    assert world.call(token)


def test_a_refusal_of_an_opaque_token_is_forgotten_with_the_settings_it_came_from(world: World) -> None:
    token = opaque(world, aud="other")
    assert world.refused(token) == "audience"
    world.change(audiences=[AUDIENCE, "other"])
    assert world.call(token)


def test_only_so_many_refusals_of_opaque_tokens_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearer, "REFUSED", 2)
    opaque(world)
    for number in range(4):
        world.refused(f"wrong-{number}")
    assert len(world.bearer._refused) == 2


def test_no_answer_is_not_kept_as_a_refusal(world: World) -> None:
    token = opaque(world)
    before = world.provider.trouble
    world.provider.trouble = always(500, "", b"")
    assert world.refused(token, Unavailable) == "identity_unavailable"
    world.provider.trouble = before
    assert world.call(token)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"active": "true"}, "inactive"),
        ({"active": 1}, "inactive"),
        ({"active": None}, "inactive"),
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "audience"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"sub": None}, "subject"),
        ({"exp": 5}, "expired"),
        ({"exp": "soon"}, "time"),
        ({"token_type": "refresh_token"}, "kind"),
        ({"token_type": "DPoP"}, "kind"),
        ({"cnf": {"jkt": "x"}}, "kind"),
    ],
)
def test_what_is_not_a_clear_yes_is_a_no(world: World, changes: dict[str, Any], reason: str) -> None:
    assert world.refused(opaque(world, **changes)) == reason


def test_an_answer_without_audience_counts_for_clients_that_are_named(world: World) -> None:
    world.change(authorized_parties=["desk"])
    assert world.call(opaque(world, aud=None))
    world.change(authorized_parties=["other"])
    assert world.refused("opaque-1") == "client"


def test_an_issuer_that_does_not_answer_is_no_yes(world: World) -> None:
    token = opaque(world)
    for trouble in (
        always(500, "", b""),
        always(200, "text/html", b"{}"),
        always(200, "application/json", b"["),
    ):
        world.provider.trouble = trouble
        assert world.refused(token, Unavailable) == "identity_unavailable"


def test_with_two_issuers_to_ask_none_is_shown_a_token(world: World) -> None:
    token = opaque(world)
    Issuer.objects.create(name="Two", issuer="https://two.example", introspection_url="https://two.example/i")
    assert world.refused(token, Unauthenticated) == "invalid_api_key"
    assert "/introspect" not in world.provider.asked
