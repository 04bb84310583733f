"""One person, two identities: ada puts them together, so that four eyes stay two people."""

from __future__ import annotations

from io import StringIO
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from audit.models import Entry
from gateway.identity.authz import role_grant, roles_of
from gateway.identity.linking import LinkRefused, identity_add, identity_link
from gateway.identity.people import person_vouched
from gateway.models import GroupMapping, Identity, Issuer, RoleGrant, ServiceAccount, SignIn, Source, User
from tests.gateway import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def okta() -> Issuer:
    return Issuer.objects.create(name="Okta", issuer="https://okta.example.com")


def vouched(issuer: Issuer, subject: str) -> User:
    return person_vouched(issuer=issuer, subject=subject, values=None, source=Source.OIDC)


def events() -> list[str]:
    rows = Entry.objects.filter(kind="event").order_by("sequence")
    return [orjson.loads(bytes(row.meta))["event"] for row in rows]


def test_the_identity_moves_and_the_empty_account_is_inactive(okta: Issuer) -> None:
    bob, double, ada = world.person("bob", password="x" * 12), vouched(okta, "00u1"), world.admin()
    client = Client()
    client.force_login(double)
    assert identity_link(identity=Identity.objects.get(), user=bob, by=ada) is True
    double.refresh_from_db()
    assert not double.is_active and vouched(okta, "00u1") == bob
    assert client.get("/account/").status_code == 302
    assert SignIn.objects.get().ended_because == "identity linked"
    told = ["accounts.linked", "identity.left", "identity.linked", "signin.ended", "person.deactivated"]
    assert events()[-5:] == told


def test_an_account_with_another_way_in_stays_active(okta: Issuer) -> None:
    bob, double, ada = world.person("bob"), vouched(okta, "00u1"), world.admin()
    identity_add(issuer=okta.issuer, subject="00u9", user=double, by=ada)
    assert identity_link(identity=Identity.objects.get(subject="00u1"), user=bob, by=ada) is False
    double.refresh_from_db()
    assert double.is_active


def test_what_is_refused(okta: Issuer) -> None:
    bob, ada, eve = world.person("bob"), world.admin(), world.person("eve")
    double = vouched(okta, "00u1")
    identity = Identity.objects.get()
    robot = ServiceAccount.objects.create(area=world.area(), name="robot", owner=bob)
    of_robot = Identity.objects.create(service_account=robot, issuer=okta.issuer, subject="robot")
    for which, user, by, words in (
        (of_robot, bob, ada, "service account"),
        (identity, eve, eve, "Somebody else"),
        (identity, bob, double, "Somebody else"),
        (identity, ada, eve, "superuser"),
        (identity, world.person("gone", is_active=False), ada, "not active"),
    ):
        with pytest.raises(LinkRefused, match=words):
            identity_link(identity=which, user=user, by=by)
    with pytest.raises(LinkRefused, match="known already"):
        identity_add(issuer=okta.issuer, subject="00u1", user=bob, by=ada)
    assert Identity.objects.get(pk=identity.pk).user == double


def test_pages_of_the_admin(okta: Issuer) -> None:
    bob, double, ada = world.person("bob"), vouched(okta, "00u1"), world.admin()
    browser = Client()
    browser.force_login(ada)
    identity = Identity.objects.get()
    url = f"/admin/gateway/identity/{identity.pk}/change/"
    assert "Somebody else" in browser.post(url, {"user": ada.pk}).content.decode()
    answer = browser.post(url, {"user": bob.pk}, follow=True)
    assert "inactive now" in answer.content.decode()
    identity.refresh_from_db()
    assert identity.user == bob
    form = {"user": bob.pk, "issuer": okta.issuer, "subject": "00u7"}
    assert browser.post("/admin/gateway/identity/add/", form).status_code == 302
    assert Identity.objects.get(subject="00u7").user == bob
    assert "known already" in browser.post("/admin/gateway/identity/add/", form).content.decode()
    assert browser.get("/admin/gateway/identity/").status_code == 200
    page = browser.get(f"/admin/gateway/user/{bob.pk}/change/").content.decode()
    assert "00u7" in page and double.pk != bob.pk


def test_an_admin_sees_and_ends_sign_ins_and_making_inactive_ends_them_all() -> None:
    browser, theirs = Client(), Client()
    browser.force_login(world.admin())
    bob = world.person("bob")
    theirs.force_login(bob)
    row = SignIn.objects.get(user=bob)
    assert "bob" in browser.get("/admin/gateway/signin/").content.decode()
    page = browser.get(f"/admin/gateway/signin/{row.pk}/change/").content.decode()
    assert "End this sign-in" in page and row.session_key not in page
    browser.post(f"/admin/gateway/signin/{row.pk}/end/")
    assert theirs.get("/account/").status_code == 302
    row.refresh_from_db()
    assert row.ended_because == "ended by an admin"
    theirs.force_login(bob)
    form = {"username": "bob", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    inline = {"identities-TOTAL_FORMS": "0", "identities-INITIAL_FORMS": "0"}
    assert browser.post(f"/admin/gateway/user/{bob.pk}/change/", form | inline).status_code == 302
    assert SignIn.objects.filter(user=bob, ended_because="deactivated").exists()


def test_whoever_may_only_look_ends_nothing() -> None:
    dave, browser = world.person("dave", group="auditors", is_staff=True), Client()
    role_grant(group=Group.objects.get(name="auditors"), role="auditor", by=None)
    browser.force_login(dave)
    row = SignIn.objects.get()
    assert browser.post(f"/admin/gateway/signin/{row.pk}/end/").status_code in (302, 403, 404)
    row.refresh_from_db()
    assert row.ended_at is None


def test_whoever_links_is_told_of_an_account_that_can_still_come_in() -> None:
    client, ada = Client(), world.admin()
    client.force_login(ada)
    alice, double = world.person("alice"), world.person("double")
    double.set_password("still good")
    double.save()
    identity = Identity.objects.create(issuer="https://id.example.com", subject="7", user=double)
    page = reverse("admin:gateway_identity_change", args=[identity.pk])
    answer = client.post(page, {"user": alice.pk}, follow=True).content.decode()
    assert "double</a> is still active" in answer
    assert reverse("admin:gateway_user_change", args=[double.pk]) in answer


# --- the first administrator ------------------------------------------------------------------------------


def first_admin(*words: str, **options: Any) -> str:
    out = StringIO()
    call_command("first_admin", *words, stdout=out, **options)
    return out.getvalue()


def test_the_first_administrator_has_a_role_and_no_superpowers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("a long password of ada\n"))
    assert "ada is an administrator" in first_admin("ada", password_stdin=True)
    ada = User.objects.get()
    assert (
        roles_of(ada) == ["admin"] and not ada.is_superuser and ada.check_password("a long password of ada")
    )
    assert ada.has_perm("gateway.change_issuer")
    with pytest.raises(CommandError, match="already"):
        first_admin("eve", password_stdin=True)


def test_the_first_administrator_may_come_from_the_provider(settings: Any) -> None:
    with pytest.raises(CommandError, match="OIDC_ISSUER"):
        first_admin("ada", subject="00u1")
    settings.OIDC_ISSUER = "https://okta.example.com"
    first_admin("ada", subject="00u1", name="Okta")
    issuer, ada = Issuer.objects.get(), User.objects.get()
    assert vouched(issuer, "00u1") == ada and not ada.has_usable_password() and not issuer.accepts_tokens


def test_or_be_whoever_is_in_a_group_there(settings: Any) -> None:
    settings.OIDC_ISSUER = "https://okta.example.com"
    first_admin(group="pst-admins")
    first_admin(group="pst-admins")
    assert GroupMapping.objects.count() == 1 and RoleGrant.objects.get().area is None
    person = person_vouched(
        issuer=Issuer.objects.get(), subject="00u1", values=["pst-admins"], source=Source.OIDC
    )
    assert roles_of(person) == ["admin"]


def test_nobody_becomes_an_administrator_by_having_been_in_a_group_of_that_name(settings: Any) -> None:
    settings.OIDC_ISSUER = "https://okta.example.com"
    group = Group.objects.create(name="administrators")
    mallory = User.objects.create_user("mallory")
    mallory.groups.add(group)
    with pytest.raises(CommandError, match="mallory"):
        first_admin(group="pst-admins")
    assert not RoleGrant.objects.exists() and not Issuer.objects.exists()
    mallory.groups.clear()
    other = Issuer.objects.create(name="Other", issuer="https://other.example.com")
    rule = GroupMapping.objects.create(issuer=other, value="admins", group=group)
    with pytest.raises(CommandError, match="admins at Other"):
        first_admin(group="pst-admins")
    rule.delete()
    mallory.groups.add(group)
    assert first_admin(group="pst-admins", with_members=True) and roles_of(mallory) == ["admin"]


def test_a_weak_password_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", StringIO("short\n"))
    with pytest.raises(CommandError, match="short"):
        first_admin("ada", password_stdin=True)
    with pytest.raises(CommandError, match="Say who"):
        first_admin()
