"""Which access rule decides: a table, and that finding it costs the same among many."""

from __future__ import annotations

from ipaddress import ip_network
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.access import Access, Misfit, considered, ladder, misfit

HERE, PATH = "192.0.2.7", "/v1/chat/completions"
SUPPORT, CLINIC = 1, 2


def rule(number: int, **fields: object) -> Access:
    values = {"id": UUID(int=number), "group_id": SUPPORT, "policy": None, **fields}
    return Access(**values)  # type: ignore[arg-type]


def decides(*rules: Access, model: str = "m", path: str = PATH, address: str = HERE, now: float = 100) -> int:
    found = ladder(rules, frozenset({SUPPORT})).at(path, address).choose(model, now)
    return found.id.int if found else 0


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"group_id": CLINIC}, False),
        ({"enabled": False}, False),
        ({"models": frozenset({"m"})}, True),
        ({"models": frozenset({"other"})}, False),
        ({"paths": (PATH,)}, True),
        ({"paths": ("/v1/*",)}, True),
        ({"paths": ("/v1",)}, False),
        ({"paths": ("/v2/*", "/v1/chat")}, False),
        ({"networks": (ip_network("192.0.2.0/24"),)}, True),
        ({"networks": (ip_network("198.51.100.0/24"), ip_network("2001:db8::/32"))}, False),
        ({"expires_at": 100.1}, True),
        ({"expires_at": 100.0}, False),
    ],
)
def test_a_rule_fits_or_the_next_one_decides(fields: dict[str, object], fits: bool) -> None:
    assert decides(rule(1, **fields), rule(2)) == (1 if fits else 2)
    assert decides(rule(1, **fields)) == (1 if fits else 0)


@pytest.mark.parametrize(
    ("address", "network", "inside"),
    [
        ("::ffff:192.0.2.7", "192.0.2.0/24", True),
        ("2001:db8::1", "2001:db8::/32", True),
        ("192.0.2.7", "::/0", False),
        ("2001:db8::1", "0.0.0.0/0", False),
        ("unix", "0.0.0.0/0", False),
        ("", "::/0", False),
    ],
)
def test_what_is_no_address_of_a_network_is_not_in_it(address: str, network: str, inside: bool) -> None:
    limited = rule(1, networks=(ip_network(network),))
    assert (misfit(limited, frozenset({SUPPORT}), PATH, address) is None) is inside
    assert inside or misfit(limited, frozenset({SUPPORT}), PATH, address) is Misfit.NETWORK


def test_a_rule_that_runs_out_gives_way_without_a_new_snapshot() -> None:
    soon = rule(1, expires_at=200)
    assert [decides(soon, rule(2), now=now) for now in (199, 200)] == [1, 2]


def test_nothing_after_a_rule_that_always_decides_is_looked_at() -> None:
    rules = [rule(number) for number in range(1, 1000)]
    assert len(ladder(rules, frozenset({SUPPORT})).at(PATH, HERE).rules) == 1


def test_a_thousand_models_are_found_at_once() -> None:
    rules = [rule(number, models=frozenset({f"m{number}"})) for number in range(1, 1001)]
    candidates = ladder(rules, frozenset({SUPPORT})).at(PATH, HERE)
    assert not candidates.settled
    found = candidates.choose("m777", 0)
    assert found is not None and found.id.int == 777
    assert candidates.choose("unknown", 0) is None


NETWORKS = tuple(ip_network(each) for each in ("192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"))
SOME_RULES = st.lists(
    st.builds(
        dict,
        group_id=st.sampled_from((SUPPORT, SUPPORT, CLINIC)),
        enabled=st.sampled_from((True, True, False)),
        models=st.frozensets(st.sampled_from("abc"), max_size=2),
        paths=st.sampled_from(((), (), (PATH,), ("/v1/*",), ("/v2/*",))),
        networks=st.sampled_from(((), (), NETWORKS[:1], NETWORKS[1:])),
        expires_at=st.sampled_from((None, None, 99.0, 101.0)),
    ),
    max_size=6,
)


@given(
    SOME_RULES, st.sampled_from("abx"), st.sampled_from((PATH, "/v2/x")), st.sampled_from((HERE, "", "::1"))
)
def test_what_is_explained_is_what_decides(
    rules: list[dict[str, object]], model: str, path: str, address: str
) -> None:
    made = [rule(number, **fields) for number, fields in enumerate(rules, start=1)]
    told = considered(made, frozenset({SUPPORT}), path, address, model, 100)
    deciding = [each.id.int for each, why in told if why is None] or [0]
    assert deciding == [decides(*made, model=model, path=path, address=address)]
    assert [each for each, _ in told] == made
