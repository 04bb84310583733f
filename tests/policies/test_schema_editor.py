"""The schema editor: one page per attribute, examples that block a publish, word list files, comparing."""

from __future__ import annotations

import io
import time
import tracemalloc

import pytest
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from gateway.identity.authz import role_grant
from policies import services, store
from policies.admin.dataclass import LONG
from policies.engine.masker import Masker
from policies.engine.types import Direction
from policies.models import DataClass, Detector, DetectorKind, Example, Schema, SchemaVersion, State
from policies.publishing import PublishRefused
from policies.termlists import MAX_BYTES, TermListError, read_terms
from tests.gateway import world
from tests.policies.test_admin import client, rows, url

__all__ = ["client"]

db = pytest.mark.django_db
BADGE = {"kind": "regex", "value": r"\bB-[0-9]{6}\b"}


def attribute(**fields: object) -> dict[str, object]:
    return {"slug": "BADGE", "name": "Badge", "level": 2, "weight": 1, "position": 1, **fields}


def found_by(*detectors: dict[str, object]) -> dict[str, object]:
    return rows(
        "detectors", *({"position": n, "threshold": 0, **each} for n, each in enumerate(detectors, 1))
    )


def examples(*texts: tuple[str, str]) -> dict[str, object]:
    return rows("examples", *({"kind": kind, "text": text, "position": 1} for kind, text in texts))


def bare(template: str = "") -> SchemaVersion:
    return services.schema_create(
        area_id=world.area().pk, slug="acme", name="Acme", by=None, template=template
    )


def new_attribute(client: Client, draft: SchemaVersion, **posted: object) -> object:
    return client.post(f"{url('dataclass', 'add')}?version={draft.pk}", posted)


@db
def test_a_newcomer_adds_a_class_sees_an_example_block_the_publish_fixes_it_and_publishes(
    client: Client,
) -> None:
    draft = bare()
    page = client.get(url("schemaversion", "change", draft.pk)).content.decode()
    add = f"{url('dataclass', 'add')}?version={draft.pk}"
    assert add in page
    assert "New attribute of Acme v1" in client.get(add).content.decode()
    answer = client.post(
        add,
        {
            **attribute(tags="staff", context="badge, door"),
            **found_by({**BADGE, "value": r"\bB-[0-9]{7}\b"}),
            **examples(("positive", "badge B-123456"), ("negative", "badge B-12")),
        },
    )
    assert answer["Location"] == url("schemaversion", "change", draft.pk)
    refused = client.post(url("schemaversion", "publish", draft.pk), follow=True)
    page = refused.content.decode()
    assert refused.redirect_chain[-1][0] == url("schemaversion", "examples", draft.pk)
    assert "BADGE, example 1 that must be found: not found." in page
    assert "badge B-123456" in page and "1 of 2 fail" in page
    row, detector, (one, two) = (
        DataClass.objects.get(),
        Detector.objects.get(),
        Example.objects.order_by("kind"),
    )
    fixed = {
        **attribute(),
        **rows("detectors", {"id": detector.pk, "position": 1, "threshold": 0, **BADGE}, initial=1),
        **rows(
            "examples",
            {"id": two.pk, "kind": two.kind, "text": two.text, "position": 1},
            {"id": one.pk, "kind": one.kind, "text": one.text, "position": 1},
            initial=2,
        ),
    }
    assert client.post(url("dataclass", "change", row.pk), fixed).status_code == 302
    assert "All 2 pass" in client.get(url("schemaversion", "examples", draft.pk)).content.decode()
    client.post(url("schemaversion", "publish", draft.pk))
    draft.refresh_from_db()
    assert draft.state == State.PUBLISHED


@db
def test_checking_examples_changes_nothing_and_says_why_it_cannot(client: Client) -> None:
    draft = bare()
    page = url("schemaversion", "examples", draft.pk)
    assert b"No examples yet" in client.get(page).content
    world.data_class(draft, "BROKEN", DetectorKind.REGEX, "(")
    assert b"BROKEN, detector 1 (regex)" in client.get(page).content
    before = SchemaVersion.objects.values().get()
    client.get(page)
    assert SchemaVersion.objects.values().get() == before


@db
def test_context_words_that_nothing_asks_for_are_told(client: Client) -> None:
    draft = bare()
    new_attribute(client, draft, **attribute(context="door"), **found_by(BADGE), **examples())
    page = url("schemaversion", "examples", draft.pk)
    assert b"Context words that nothing asks for: BADGE" in client.get(page).content
    DataClass.objects.update(context_needed=True)
    assert b"nothing asks for" not in client.get(page).content


@db
def test_saving_and_adding_another_stays_in_the_draft(client: Client) -> None:
    draft = bare()
    posted = {"_addanother": "", **attribute(), **found_by(BADGE), **examples()}
    answer = new_attribute(client, draft, **posted)
    assert answer["Location"].endswith(f"?version={draft.pk}")  # type: ignore[index]


@db
def test_two_attributes_of_one_name_are_refused_in_the_form(client: Client) -> None:
    draft = world.draft_schema()
    answer = new_attribute(client, draft, **attribute(), **found_by(BADGE), **examples())
    assert b"Another attribute of this version has this name." in answer.content  # type: ignore[attr-defined]
    assert DataClass.objects.filter(slug="BADGE").count() == 1


@db
@pytest.mark.parametrize("slug", ("BA\u200bDGE", "\u202eBADGE", "badge", "BADGE🔑", "B ADGE"))
def test_a_slug_with_anything_invisible_or_odd_is_refused(client: Client, slug: str) -> None:
    answer = new_attribute(client, bare(), **attribute(slug=slug), **found_by(BADGE), **examples())
    assert b"Use capitals, digits and underscores" in answer.content  # type: ignore[attr-defined]
    assert not DataClass.objects.exists()


@db
def test_an_attribute_is_added_to_a_draft_only(client: Client) -> None:
    version = world.published_schema().versions.get()
    for address in (f"?version={version.pk}", "?version=x", ""):
        assert client.post(url("dataclass", "add") + address, attribute()).status_code == 403


@db
def test_context_that_is_needed_and_not_named_is_refused(client: Client) -> None:
    posted = {**attribute(context_needed="on"), **found_by(BADGE), **examples()}
    answer = new_attribute(client, bare(), **posted)
    assert b"Name the words that have to stand near it." in answer.content  # type: ignore[attr-defined]


@db
def test_a_threshold_above_what_a_recogniser_reaches_is_refused(client: Client) -> None:
    card = {"kind": "library", "value": "CARD", "threshold": 99}
    answer = new_attribute(client, bare(), **attribute(), **found_by(card), **examples())
    assert b"never surer than 95" in answer.content  # type: ignore[attr-defined]


def upload(client: Client, draft: SchemaVersion, file: object, kind: str = "terms") -> str:
    detector = {"kind": kind, "value": "", "ignore_case": "on", "upload": file}
    answer = new_attribute(client, draft, **attribute(slug="WORD"), **found_by(detector), **examples())
    content: bytes = answer.content  # type: ignore[attr-defined]
    return content.decode()


def text_file(data: bytes, name: str = "words.txt") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


@db
def test_a_word_list_file_becomes_the_detector(client: Client) -> None:
    draft = bare()
    upload(client, draft, text_file("\ufeffBluebird\r\n\r\n  Night   jar \nBluebird\n".encode()))
    assert Detector.objects.get().value == "Bluebird\nNight jar"


@db
def test_a_long_word_list_is_kept_when_its_attribute_is_edited(client: Client) -> None:
    draft = bare()
    words = "\n".join(f"kestrel number {n}" for n in range(2_000))
    assert len(words) > LONG
    upload(client, draft, text_file(words.encode()))
    row, detector = DataClass.objects.get(), Detector.objects.get()
    page = client.get(url("dataclass", "change", row.pk)).content.decode()
    assert "2,000 entries, too many to show" in page and "kestrel number 77" not in page
    kept = {"id": detector.pk, "position": 1, "kind": "terms", "threshold": 0, "ignore_case": "on"}
    posted = {**attribute(slug="WORD", level=3), **rows("detectors", kept, initial=1), **examples()}
    assert client.post(url("dataclass", "change", row.pk), posted).status_code == 302
    detector.refresh_from_db()
    row.refresh_from_db()
    assert (detector.value, row.level) == (words, 3)


@db
@pytest.mark.parametrize(
    ("data", "name", "says"),
    (
        (b"\x89PNG\r\n\x1a\n\0\0", "a.txt", "not text"),
        ("müller".encode("latin-1"), "a.txt", "not UTF-8"),
        (b"x" * 201, "a.txt", "Line 1 has more than 200 characters"),
        ("ok\nze\u200bro".encode(), "a.txt", "Line 2 holds an invisible"),
        (b"\n \n", "a.txt", "no entries"),
        (b"Doe,John\n", "a.csv", "2 columns"),
        (b'"open\n', "a.csv", "not CSV"),
        ("\n".join(map(str, range(20_001))).encode(), "a.txt", "more than 20,000 different entries"),
        (b"x" * (MAX_BYTES + 1), "a.txt", "larger than 10 MB"),
    ),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_word_list_is_refused_with_the_reason(
    client: Client, data: bytes, name: str, says: str
) -> None:
    assert says in upload(client, bare(), text_file(data, name))
    assert not Detector.objects.exists()


@db
def test_a_file_belongs_to_a_word_list_only(client: Client) -> None:
    assert "Only a word list takes a file" in upload(client, bare(), text_file(b"x"), kind="regex")


def test_csv_with_one_column_may_quote_commas() -> None:
    assert read_terms([b'"Doe, John"\r\n', b"Roe\n"], is_csv=True) == ["Doe, John", "Roe"]


def test_characters_may_be_cut_anywhere() -> None:
    data = "naïve\nמילה\n🔑 key".encode()
    assert read_terms(bytes([byte]) for byte in data) == ["naïve", "מילה", "🔑 key"]


def test_ten_megabytes_of_words_are_read_in_bounded_memory() -> None:
    """Ten million times one word: what is read is thrown away as it comes."""
    chunk = b"bluebird\n" * 7_000
    tracemalloc.start()
    assert read_terms(chunk for _ in range(MAX_BYTES // len(chunk))) == ["bluebird"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    with pytest.raises(TermListError, match="larger than 10 MB"):
        read_terms(chunk for _ in range(MAX_BYTES // len(chunk) + 1))


def test_a_line_without_an_end_is_not_gathered() -> None:
    with pytest.raises(TermListError, match="Line 1"):
        read_terms(io.BytesIO(b"x" * MAX_BYTES))


@db
def test_a_schema_starts_from_a_template(client: Client) -> None:
    values = {"name": "Cards", "slug": "cards", "area": str(world.area().pk), "template": "pci-dss"}
    assert b"PCI DSS" in client.get(url("schema", "add")).content
    client.post(url("schema", "add"), values)
    draft = SchemaVersion.objects.get()
    assert draft.classes.filter(slug="PAN").exists() and draft.is_draft
    assert client.get(url("schemaversion", "examples", draft.pk)).content.count(b"badge-error") == 0
    client.post(url("schemaversion", "publish", draft.pk))
    draft.refresh_from_db()
    assert draft.state == State.PUBLISHED


@db
def test_a_template_that_does_not_exist_is_refused(client: Client) -> None:
    values = {"name": "Cards", "slug": "cards", "area": str(world.area().pk), "template": "nope"}
    assert b"not one of the available choices" in client.post(url("schema", "add"), values).content
    assert not Schema.objects.exists()


@db
def test_a_draft_is_compared_with_the_published_version_unless_told_otherwise(client: Client) -> None:
    first = world.published_schema().versions.get()
    draft = services.schema_version_clone_to_draft(version=first, by=None)
    compare = url("schemaversion", "compare", draft.pk)
    assert b"No differences" in client.get(compare).content
    row = DataClass.objects.get(version=draft, slug="BADGE")
    row.level, row.description = 3, "Who may open <b>doors</b>"
    row.save()
    world.data_class(draft, "NEW", DetectorKind.TERMS, "new")
    page = client.get(compare).content.decode()
    assert "v1 · Published" in page and "v2 · Draft" in page
    assert "<del><bdi>confidential</bdi></del>" in page and "<ins><bdi>restricted</bdi></ins>" in page
    assert "&lt;b&gt;doors" in page and "<b>doors" not in page
    assert 'badge-added">Added' in page
    services.schema_version_publish(version=draft, by=None)
    third = services.schema_version_clone_to_draft(version=draft, by=None)
    against_first = client.get(url("schemaversion", "compare", third.pk), {"with": str(first.pk)})
    assert (
        b"v1 \xc2\xb7 Retired" in against_first.content
        and b"<ins><bdi>restricted</bdi></ins>" in against_first.content
    )
    assert compare in client.get(url("schemaversion", "changelist")).content.decode()
    assert compare in client.get(url("schemaversion", "change", draft.pk)).content.decode()


@db
def test_policy_versions_are_compared_with_what_only_people_read(client: Client) -> None:
    first = world.published_policy().versions.get()
    draft = services.policy_version_clone_to_draft(version=first, by=None)
    draft.approvals_needed, draft.default_transform = 2, "label"
    draft.save()
    page = client.get(url("policyversion", "compare", draft.pk)).content.decode()
    assert (
        "approvals needed" in page.lower()
        and "<ins><bdi>2</bdi></ins>" in page
        and "<ins><bdi>label</bdi></ins>" in page
    )


@db
def test_versions_of_different_schemas_are_not_compared(client: Client) -> None:
    one, other = world.published_schema().versions.get(), world.published_schema("other").versions.get()
    compare = url("schemaversion", "compare", one.pk)
    assert b"Nothing to compare with" in client.get(compare).content
    for wrong in (other.pk, "x"):
        assert client.get(compare, {"with": str(wrong)}).status_code == 404


@db
def test_who_may_not_see_schemas_sees_neither_page() -> None:
    carol = Client()
    carol.force_login(world.person("carol", is_staff=True))
    draft = world.draft_schema()
    for page in ("compare", "examples"):
        assert carol.get(url("schemaversion", page, draft.pk)).status_code == 403


@db
def test_a_policy_editor_edits_examples() -> None:
    group = Group.objects.create(name="editors")
    role_grant(group=group, role="policy_editor", by=None)
    eve = world.person("eve", is_staff=True)
    eve.groups.add(group)
    browser = Client()
    browser.force_login(eve)
    new_attribute(browser, bare(), **attribute(), **found_by(BADGE), **examples(("positive", "B-123456")))
    assert Example.objects.get().text == "B-123456"


@db
def test_a_draft_of_many_classes_is_listed_and_saved(client: Client) -> None:
    """The form of so many rows would be refused by the server; each class still has its page."""
    draft = bare()
    for number in range(120):
        world.data_class(draft, f"C{number}", DetectorKind.TERMS, f"word{number}")
    page = client.get(url("schemaversion", "change", draft.pk)).content.decode()
    assert "C119" in page and "classes-0-slug" not in page
    assert (
        client.post(url("schemaversion", "change", draft.pk), {"note": "many", **rows("classes")}).status_code
        == 302
    )
    draft.refresh_from_db()
    assert draft.note == "many" and draft.classes.count() == 120


@db
def test_rolling_back_a_policy_to_a_class_that_is_gone_is_refused_and_leaves_nothing() -> None:
    schema = world.published_schema()
    first = world.published_policy(schema).versions.get()
    second = services.policy_version_clone_to_draft(version=first, by=None)
    second.rules.all().delete()
    services.policy_version_publish(version=second, by=None)
    draft = services.schema_version_clone_to_draft(version=schema.versions.get(), by=None)
    DataClass.objects.get(version=draft, slug="BADGE").delete()
    services.schema_version_publish(version=draft, by=None)
    with pytest.raises(PublishRefused, match="the schema has no class “BADGE”"):
        services.policy_version_rollback(version=first, by=None)
    assert first.policy.versions.count() == 2
    loaded = store.load_policy(first.policy_id)
    assert Masker(loaded, Direction.REQUEST).text("B-123456", "x").findings == ()


@db
def test_five_thousand_classes_are_refused_at_once_and_leave_the_draft_as_it_was() -> None:
    draft = bare()
    DataClass.objects.bulk_create(
        DataClass(version=draft, slug=f"C{number}", name="x", position=number) for number in range(5_000)
    )
    Detector.objects.bulk_create(
        Detector(data_class=row, kind="regex", value=rf"\b{row.slug}-[0-9]{{6}}\b")
        for row in DataClass.objects.all()
    )
    began = time.monotonic()
    assert services.schema_version_check(version=draft) == [
        "A schema has at most 1000 data classes; this one has 5000."
    ]
    with pytest.raises(PublishRefused):
        services.schema_version_publish(version=draft, by=None)
    assert time.monotonic() - began < 30
    draft.refresh_from_db()
    assert draft.is_draft


@db
@pytest.mark.parametrize(
    ("pattern", "max_len", "says"),
    (
        ("(a+)+$", "", "any length"),
        ("(a+)+$", "40", ""),
        (".{1,4096}x.{1,4096}", "4096", "too large"),
        ("(?:a?){2000}a{2000}", "4096", "too large"),
        (r"(?<=patient )\d+", "20", "cannot be compiled"),
        ("x*", "", "matches empty text"),
        ("[0-9]+", "", "any length"),
    ),
)
def test_a_pattern_that_hurts_is_refused_in_the_form_at_once(
    client: Client, pattern: str, max_len: str, says: str
) -> None:
    began = time.monotonic()
    detector = {"kind": "regex", "value": pattern, "max_len": max_len}
    answer = new_attribute(client, bare(), **attribute(), **found_by(detector), **examples())
    assert time.monotonic() - began < 5
    if says:
        assert says.encode() in answer.content  # type: ignore[attr-defined]
        assert not DataClass.objects.exists()
    else:
        assert Detector.objects.get().value == pattern


@db
def test_a_policy_whose_schema_has_only_retired_or_draft_versions_is_refused() -> None:
    schema = world.published_schema()
    draft = world.draft_policy(schema)
    SchemaVersion.objects.filter(schema=schema).update(state=State.RETIRED)
    with pytest.raises(PublishRefused, match="has no published version"):
        services.policy_version_publish(version=draft, by=None)
    draft.refresh_from_db()
    assert draft.is_draft


@db
def test_keys_of_any_script_are_written_in_the_editor(client: Client) -> None:
    detector = {"kind": "key", "value": "🔑 code\nמספר_תיק\n"}
    posted = {"examples": examples(("positive", '{"מספר תיק": 7, "x": 1}'), ("positive", '{"🔑code": "y"}'))}
    new_attribute(client, draft := bare(), **attribute(), **found_by(detector), **posted["examples"])
    assert services.schema_version_check(version=draft) == []
