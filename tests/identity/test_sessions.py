"""Whoever asks has an open sign-in, at each request: alice signs in, and each way to be out again."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from gateway.identity import sessions
from gateway.identity.signed_in import ENDED
from gateway.models import SignIn, SignInMethod, User
from gateway.services import lock_lift, lock_set
from tests.gateway import world

pytestmark = pytest.mark.django_db
PASSWORD = "a long password of alice"


@pytest.fixture
def alice() -> User:
    return world.person("alice", password=PASSWORD)


def signed_in(client: Client | None = None) -> Client:
    client = client or Client()
    answer = client.post("/login/", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 302, answer.content
    return client


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def the_row() -> SignIn:
    return SignIn.objects.get(ended_at=None)


def events(name: str) -> list[dict[str, object]]:
    rows = [orjson.loads(bytes(row.meta)) for row in Entry.objects.filter(kind="event").order_by("id")]
    return [row for row in rows if row["event"] == name]


def test_a_sign_in_is_on_record_and_its_session_has_a_new_id(alice: User) -> None:
    client = Client()
    session = client.session
    session["kept"] = "before"
    session.save()
    before = client.cookies.get("__Host-sessionid") or client.cookies["sessionid"]
    old = before.value
    signed_in(client)
    row = the_row()
    assert (row.user, row.method, row.network) == (alice, SignInMethod.LOCAL, "127.0.0.1")
    assert row.session_key not in ("", old) and not Session.objects.filter(session_key=old).exists()
    (event,) = events("signin.began")
    assert event["detail"] == {"name": "alice", "method": "local", "issuer": ""}
    assert row.session_key not in str(event)
    assert is_in(client)


def test_signing_in_again_in_the_same_browser_replaces_the_sign_in(alice: User) -> None:
    client = signed_in()
    first = the_row()
    request = HttpRequest()
    request.session = client.session
    request.user = alice
    sessions.hold(request, first)
    second = sessions.sign_in_begin(request=request, user=alice, method=SignInMethod.OIDC)
    assert second.session_key != first.session_key
    first.refresh_from_db()
    assert first.ended_because == "replaced" and the_row() == second


def test_signing_out_ends_the_sign_in_and_the_session(alice: User) -> None:
    client = signed_in()
    key = the_row().session_key
    assert client.get("/logout/").status_code == 405 and is_in(client)
    client.post("/logout/")
    assert not is_in(client)
    assert SignIn.objects.get().ended_because == "signed out"
    assert not Session.objects.filter(session_key=key).exists()
    assert len(events("signin.ended")) == 1


def test_a_sign_in_that_somebody_ended_is_out_at_the_next_request_even_with_its_session(alice: User) -> None:
    client = signed_in()
    SignIn.objects.update(ended_at=timezone.now(), ended_because="by an admin")
    assert not is_in(client)
    assert "This sign-in was ended." in client.get("/login/").content.decode()


def test_a_session_without_a_sign_in_is_nobodys(alice: User) -> None:
    client = signed_in()
    session = client.session
    del session[sessions.HELD]
    session.save()
    assert not is_in(client)


def test_a_session_cannot_point_at_the_sign_in_of_another(alice: User) -> None:
    client, other = signed_in(), Client()
    other.force_login(world.person("bob"))
    session = other.session
    session[sessions.HELD] = str(SignIn.objects.get(user=alice).pk)
    session.save()
    assert not is_in(other)
    assert is_in(client)


def test_a_person_made_inactive_is_out_at_the_next_request(alice: User) -> None:
    client = signed_in()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert not is_in(client)
    assert SignIn.objects.get().ended_because == "revoked"


def test_a_locked_person_is_out_and_stays_out_until_the_lock_is_lifted(alice: User) -> None:
    client = signed_in()
    lock = lock_set(by=None, reason="looked at", user=alice)
    assert not is_in(client)
    assert SignIn.objects.get().ended_because == "locked"
    answer = client.post("/login/", {"username": "alice", "password": PASSWORD})
    assert "This account is locked" in answer.content.decode() and not is_in(client)
    lock_lift(lock=lock, by=None)
    assert not is_in(client)
    assert is_in(signed_in(client))


def test_a_sign_in_ends_by_itself_however_busy_it_is(alice: User) -> None:
    client = signed_in()
    SignIn.objects.update(expires_at=timezone.now())
    assert not is_in(client)
    assert client.session[ENDED] == "expired"


def test_a_sign_in_that_is_left_alone_is_over(alice: User, settings: object) -> None:
    client = signed_in()
    session = client.session
    session[sessions.SEEN] -= 59 * 60
    session.save()
    assert is_in(client)
    assert timezone.now().timestamp() - client.session[sessions.SEEN] < 5, "it was used"
    session = client.session
    session[sessions.SEEN] -= 61 * 60
    session.save()
    assert not is_in(client)
    assert "nothing happened for a while" in client.get("/login/").content.decode()


def test_a_new_password_ends_the_other_sign_ins_and_keeps_this_one(alice: User) -> None:
    here, there = signed_in(), signed_in()
    new = "another long password of alice"
    answer = here.post(
        "/account/password/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    )
    assert answer.status_code == 302
    assert is_in(here) and not is_in(there)
    assert the_row().session_key == here.session.session_key


def test_the_admin_has_no_way_in_of_its_own(alice: User) -> None:
    answer = Client().get("/admin/login/?next=/admin/")
    assert (answer.status_code, answer["location"]) == (302, "/login/?next=/admin/")
    client = signed_in()
    client.post("/admin/logout/")
    assert not is_in(client) and SignIn.objects.get().ended_because == "signed out"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(alice: User, target: str) -> None:
    for client in (Client(), signed_in()):
        answer = client.post(f"/login/?next={target}", {"username": "alice", "password": PASSWORD})
        assert answer["location"] == "/"


def test_a_person_sees_and_ends_their_own_sign_ins(alice: User) -> None:
    here, there = signed_in(), signed_in()
    page = here.get("/account/").content.decode()
    assert page.count("/end/") == 3 and "This browser" in page and "127.0.0.1" in page
    other = SignIn.objects.get(session_key=there.session.session_key)
    assert here.post(f"/account/sign-ins/{other.pk}/end/").status_code == 302
    assert is_in(here) and not is_in(there)
    signed_in(there)
    here.post("/account/sign-ins/end/")
    assert not is_in(here) and not is_in(there)


def test_nobody_ends_the_sign_ins_of_others_there(alice: User) -> None:
    client, carol = signed_in(), Client()
    carol.force_login(world.person("carol"))
    assert carol.post(f"/account/sign-ins/{SignIn.objects.get(user=alice).pk}/end/").status_code == 404
    assert is_in(client)


def test_ending_all_says_how_many_and_may_keep_one(alice: User) -> None:
    for _ in range(3):
        signed_in()
    keep = SignIn.objects.filter(ended_at=None).first()
    assert sessions.sign_in_end_all(user=alice, because="deactivated", by=None, keep=keep) == 2
    assert sessions.sign_in_end_all(user=alice, because="deactivated", by=None) == 1
    assert sessions.sign_in_end_all(user=alice, because="deactivated", by=None) == 0
    assert len(events("signin.ended")) == 3 and Session.objects.count() == 0


def test_the_sweep_closes_what_ran_out_and_forgets_what_is_long_over(alice: User) -> None:
    signed_in()
    signed_in()
    first, second = SignIn.objects.order_by("started_at")
    now = timezone.now()
    SignIn.objects.filter(pk=first.pk).update(expires_at=now)
    assert sessions.sign_ins_sweep(now=now) == 1
    assert the_row() == second
    sessions.sign_ins_sweep(now=now + timedelta(days=91))
    assert not SignIn.objects.filter(pk=first.pk).exists()


def test_a_page_costs_one_more_query_for_it(alice: User, django_assert_num_queries: object) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = signed_in()
    with CaptureQueriesContext(
        connection,
    ) as asked:
        answer: HttpResponse = client.get("/login/")  # leads on at once: the session, the sign-in, the person
    assert answer.status_code == 302
    assert len([q for q in asked.captured_queries if q["sql"].startswith("SELECT")]) == 3
    assert [q for q in asked.captured_queries if q["sql"].startswith(("UPDATE", "INSERT", "DELETE"))] == []
