"""Reading, publishing, rolling back, planning and applying through `/api/v1/`."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client
from rest_framework.test import APIClient

from gateway.api import readers
from gateway.api.openapi import description
from gateway.code import state
from gateway.code.document import read, write
from gateway.models import AccessRule, Area, Credential, Endpoint
from policies.models import PolicyVersion, SchemaVersion, State
from tests.api import world
from tests.gateway import two

pytestmark = pytest.mark.django_db(transaction=True)
YAML = "application/yaml"


@pytest.fixture
def api() -> APIClient:
    cache.clear()
    world.seeded()
    return world.client(world.key_of(world.program())[1])


@pytest.fixture
def file(api: APIClient) -> dict[str, Any]:
    return state.document(Area.objects.get())


def post(api: APIClient, verb: str, document: dict[str, Any]) -> Any:
    return api.post(f"/api/v1/policy/{verb}", document, format="json")


@pytest.mark.parametrize("kind", ["areas", "endpoints", "access-rules", "schemas", "policies"])
def test_each_kind_is_listed_and_looked_at(api: APIClient, kind: str) -> None:
    listed = api.get(f"/api/v1/{kind}").json()
    assert listed["results"] and listed["next"] is None
    for row in listed["results"]:
        assert api.get(f"/api/v1/{kind}/{row['id']}").json() == row
    if kind in ("schemas", "policies"):
        assert {row["in_force"] for row in listed["results"]} == {1}


def test_versions_are_shown_with_all_that_they_say(api: APIClient, file: dict[str, Any]) -> None:
    for kind, child in (("schema", "classes"), ("policy", "rules")):
        parents = api.get(f"/api/v1/{'schemas' if kind == 'schema' else 'policies'}").json()["results"]
        path = f"/api/v1/{'schemas' if kind == 'schema' else 'policies'}/{parents[0]['id']}/versions"
        version = api.get(path).json()["results"][0]
        assert (version["number"], version["state"]) == (1, "published")
        shown = api.get(f"/api/v1/{kind}-versions/{version['id']}").json()
        assert shown[child][0]["name"]
    restricted = [each for each in file["schemas"][0]["classes"] if each.get("level") == "restricted"]
    assert restricted


def test_no_secret_and_no_internal_of_one_leaves(api: APIClient) -> None:
    credential = Credential.objects.exclude(versions=None).first()
    assert credential is not None
    version = credential.versions.first()
    assert version is not None
    for path in ("endpoints", "policy/export", "openapi.json"):
        text = api.get(f"/api/v1/{path}").content
        assert b'"sealed"' not in text and bytes(version.sealed) not in text
        assert b"digest" not in text or path == "openapi.json"


def test_pages_lead_on(api: APIClient) -> None:
    ids, path = [], "/api/v1/access-rules?limit=1"
    while path:
        page = api.get(path).json()
        ids += [row["id"] for row in page["results"]]
        path = page["next"]
    assert ids == [str(pk) for pk in AccessRule.objects.order_by("id").values_list("pk", flat=True)]
    assert len(ids) > 1
    for odd in ("limit=x", "limit=-1", "limit=1000000", "cursor=cD1hYmM%3D", "cursor=%00", "cursor=!"):
        assert api.get(f"/api/v1/access-rules?{odd}").status_code in (200, 404, 422)


def test_a_list_costs_the_same_however_long(api: APIClient, django_assert_max_num_queries: Any) -> None:
    api.get("/api/v1/endpoints")  # the first use of a key in a minute is written down
    for kind in ("endpoints", "access-rules", "schemas", "policies"):
        with django_assert_max_num_queries(7):
            api.get(f"/api/v1/{kind}")


def test_a_version_is_published_and_put_back(api: APIClient) -> None:
    from policies import services

    first = SchemaVersion.objects.get()
    draft = services.schema_version_clone_to_draft(version=first, by=None)
    path = f"/api/v1/schema-versions/{draft.pk}"
    world.problem(api.post(f"{path}/rollback"), 409, "conflict")
    assert api.post(f"{path}/publish").json()["state"] == "published"
    world.problem(api.post(f"{path}/publish"), 409, "conflict")
    back = api.post(f"/api/v1/schema-versions/{first.pk}/rollback")
    assert (back.status_code, back.json()["number"]) == (201, 3)
    assert SchemaVersion.objects.get(state=State.PUBLISHED).number == 3


def test_a_policy_is_published_later(api: APIClient) -> None:
    from policies import services

    draft = services.policy_version_clone_to_draft(version=PolicyVersion.objects.first(), by=None)
    path = f"/api/v1/policy-versions/{draft.pk}/publish"
    world.problem(api.post(path, {"effective_at": "soon"}, format="json"), 422, "refused")
    answer = api.post(path, {"effective_at": "2090-01-31T08:00:00Z"}, format="json")
    assert answer.json()["effective_at"] == "2090-01-31T08:00:00Z"
    assert PolicyVersion.objects.get(pk=draft.pk).state == State.PUBLISHED


def test_a_version_says_what_happens_to_calls_that_wait(api: APIClient) -> None:
    version = PolicyVersion.objects.get(policy__slug="clinicians")
    said = api.get(f"/api/v1/policy-versions/{version.pk}").json()
    assert said["reviewers"] == ["reviewers"] and (said["escalate_minutes"], said["escalate_to"]) == (
        None,
        [],
    )
    assert not any(said[name] for name in ("purpose_required", "keeps_alive", "clear_release"))
    shapes = json.loads(json.dumps(description()))["components"]["schemas"]
    shape = next(each for name, each in shapes.items() if name.startswith("PolicyContent"))
    assert shape["properties"]["escalate_to"]["items"] == {"type": "string"}
    assert shape["properties"]["clear_release"]["type"] == "boolean"


def test_what_keeps_a_draft_from_being_published_is_listed(api: APIClient) -> None:
    from policies import services

    draft = services.schema_version_clone_to_draft(version=SchemaVersion.objects.get(), by=None)
    draft.classes.first().detectors.all().delete()
    body = world.problem(api.post(f"/api/v1/schema-versions/{draft.pk}/publish"), 422, "refused")
    assert any("has no detector" in error for error in body["errors"])


def test_two_people_are_two_people_here_as_well(api: APIClient, file: dict[str, Any]) -> None:
    from policies import services

    draft = services.schema_version_clone_to_draft(version=SchemaVersion.objects.get(), by=None)
    Area.objects.update(two_person_publish=True)
    world.problem(api.post(f"/api/v1/schema-versions/{draft.pk}/publish"), 409, "needs-second-person")
    draft.delete()
    file["area"]["two_person_publish"] = True
    file["schemas"][0]["classes"][0]["weight"] = 9
    body = world.problem(post(api, "apply", file), 409, "needs-second-person")
    assert "two people" in body["errors"][0]
    assert SchemaVersion.objects.count() == 1


def test_an_unchanged_export_has_no_changes(api: APIClient, file: dict[str, Any]) -> None:
    as_json = api.get("/api/v1/policy/export")
    assert as_json.json() == file
    as_yaml = api.get("/api/v1/policy/export?area=default", HTTP_ACCEPT=YAML)
    assert as_yaml["Content-Type"].startswith(YAML) and yaml.safe_load(as_yaml.content) == file
    for answer in (
        post(api, "plan", as_json.json()),
        api.generic("POST", "/api/v1/policy/plan", as_yaml.content.decode(), YAML),
    ):
        assert (answer.status_code, answer.json()["changes"]) == (200, [])
    world.problem(api.get("/api/v1/policy/export?area=none", HTTP_ACCEPT=YAML), 404, "not-found")


def test_what_was_planned_is_applied_once(api: APIClient, file: dict[str, Any]) -> None:
    file["schemas"][0]["classes"][0]["weight"] = 9
    file["endpoints"][0]["ceiling"] = "internal"
    plan = post(api, "plan", file).json()
    assert [each["kind"] for each in plan["changes"]] == ["schema", "endpoint"]
    assert Endpoint.objects.get(slug=file["endpoints"][0]["slug"]).ceiling == 3
    moved = api.post("/api/v1/policy/apply?expect=0123456789abcdef", file, format="json")
    world.problem(moved, 409, "plan-moved")
    assert api.post(f"/api/v1/policy/apply?expect={plan['digest']}", file, format="json").json() == plan
    assert post(api, "apply", file).json()["changes"] == []
    assert SchemaVersion.objects.get(state=State.PUBLISHED).number == 2


def test_prune_is_asked_for(api: APIClient, file: dict[str, Any]) -> None:
    file["access_rules"] = []
    before = AccessRule.objects.count()
    assert len(post(api, "plan", file).json()["only_in_database"]) == before
    answer = api.post("/api/v1/policy/apply?prune=true", file, format="json")
    assert len(answer.json()["changes"]) == before and not AccessRule.objects.exists()


def test_a_program_applies_no_more_than_it_may(api: APIClient, file: dict[str, Any]) -> None:
    auditor = world.program("half", roles=("admin",))
    half = world.client(world.key_of(auditor)[1])
    file["endpoints"][0]["name"] = "Renamed"
    assert post(half, "apply", file).status_code == 200
    file["schemas"][0]["classes"][0]["weight"] = 9
    file["endpoints"][0]["name"] = "Renamed again"
    body = world.problem(post(half, "apply", file), 403, "not-allowed")
    assert "policies.publish_schemaversion" in body["detail"]
    assert Endpoint.objects.get(slug=file["endpoints"][0]["slug"]).name == "Renamed"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "kind", "said"),
    [
        ("postern: 1\na: &a [*a]\n", YAML, 422, "invalid-document", "anchors"),
        ("postern: 1\na: !!python/name:os.system x\n", YAML, 422, "invalid-document", "tags"),
        ("postern: 1\narea: {slug: default, name: A}\n🙂: 1\n", YAML, 422, "invalid-document", "line 3"),
        ("#" * 1_100_000, YAML, 413, "too-large", "1024 KB"),
        ('{"postern": 1, "postern": 1}', "application/json", 422, "invalid-document", "twice"),
        ("[" * 100_000, "application/json", 422, "invalid-document", "Nested"),
        ("", "application/json", 422, "invalid-document", "mapping"),
        ("a=1", "application/x-www-form-urlencoded", 415, "unsupported-media-type", ""),
        ("<a/>", "text/xml", 415, "unsupported-media-type", ""),
    ],
)
def test_evil_documents_are_problems(
    api: APIClient, body: str, content_type: str, status: int, kind: str, said: str
) -> None:
    for verb in ("plan", "apply"):
        answer = api.generic("POST", f"/api/v1/policy/{verb}", body, content_type)
        assert said in json.dumps(world.problem(answer, status, kind), ensure_ascii=False)


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/api/v1/nothing", 404, "not-found"),
        ("GET", "/api/v1/", 404, "not-found"),
        ("GET", "/api/v1/schemas/1", 404, "not-found"),
        ("GET", "/api/v1/endpoints/00000000-0000-0000-0000-000000000000", 404, "not-found"),
        ("DELETE", "/api/v1/schemas", 405, "method-not-allowed"),
        ("GET", "/api/v1/policy/apply", 405, "method-not-allowed"),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    api: APIClient, method: str, path: str, status: int, kind: str
) -> None:
    world.problem(api.generic(method, path), status, kind)


def test_what_decides_a_call_is_explained(api: APIClient) -> None:
    slug = Endpoint.objects.filter(kind="openai").get().slug
    asked = {"caller": "user:alice", "endpoint": slug, "model": "demo"}
    told = api.post("/api/v1/explain", asked, format="json").json()
    assert told["allowed"] is True
    carol = api.post("/api/v1/explain", {**asked, "caller": "user:carol"}, format="json").json()
    assert (carol["allowed"], carol["code"]) == (False, "no_access")
    nobody = api.post("/api/v1/explain", {**asked, "caller": "user:nobody"}, format="json")
    assert nobody.status_code == 404 and nobody["Content-Type"] == "application/problem+json"
    assert api.post("/api/v1/explain", {}, format="json").status_code == 422


def test_there_is_no_page_to_browse(api: APIClient) -> None:
    answer = api.get("/api/v1/areas", HTTP_ACCEPT="text/html")
    world.problem(answer, 406, "not-acceptable")
    assert api.get("/api/v1/areas?format=api").status_code == 200
    assert api.options("/api/v1/areas").content == b""


def test_what_nobody_foresaw_says_nothing(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "-".join(["hush"] * 2)

    def broken(*args: object) -> None:
        raise ValueError(secret)

    def away(*args: object) -> None:
        raise OperationalError("server at 10.1.2.3 closed")

    monkeypatch.setattr(readers.List, "list", broken)
    body = world.problem(api.get("/api/v1/areas"), 500, "internal")
    assert secret not in str(body) and secret not in caplog.text and "ValueError" in caplog.text
    monkeypatch.setattr(readers.List, "list", away)
    answer = api.get("/api/v1/areas")
    assert "10.1" not in str(world.problem(answer, 503, "unavailable")) and answer["Retry-After"]


def test_the_description_is_valid_and_complete(api: APIClient) -> None:
    from drf_spectacular.validation import validate_schema

    from gateway.api.urls import urlpatterns

    told = api.get("/api/v1/openapi.json").json()
    validate_schema(told)
    assert told == json.loads(json.dumps(description()))
    assert len(told["paths"]) == len(urlpatterns) - 2
    names = [each["operationId"] for path in told["paths"].values() for each in path.values()]
    assert len(set(names)) == len(names)
    assert set(told["components"]["securitySchemes"]) == {"anyKey", "apiKey", "requester", "session"}
    for path in told["paths"].values():
        for operation in path.values():
            assert operation["description"] and operation["security"]


def test_a_signed_in_browser_gets_the_policy_header(api: APIClient) -> None:
    browser = Client()
    browser.force_login(two.official("edith"))
    answer = browser.get("/api/v1/areas")
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert read(write(state.document(Area.objects.get())).encode())
