"""The templates: each compiles, every class has examples of both kinds, and all of them pass."""

from __future__ import annotations

import pytest

from policies import compiler, examples, services, versions
from policies.engine.types import Level, SchemaSpec
from policies.library.schemas.template import Template
from policies.library.templates import TEMPLATES
from policies.models import SchemaVersion
from tests.gateway import world

EACH = pytest.mark.parametrize("template", TEMPLATES.values(), ids=lambda one: one.slug)


def spec(template: Template) -> SchemaSpec:
    return SchemaSpec(version_id="", number=1, name=template.title, classes=template.classes)


def test_there_are_the_five_that_people_ask_for() -> None:
    assert list(TEMPLATES) == ["pci-dss", "hipaa", "gdpr", "secrets", "support-desk"]
    assert len(TEMPLATES["hipaa"].classes) >= 18


@EACH
def test_all_examples_of_a_template_pass(template: Template) -> None:
    outcomes = examples.tried(compiler.compile_schema(spec(template)))
    assert [f"{one.data_class}: {one.text}: {one.says}" for one in outcomes if not one.passed] == []


@EACH
def test_every_class_of_a_template_says_what_it_is(template: Template) -> None:
    for one in template.classes:
        assert one.name and one.tags and one.detectors and one.weight > 0, one.slug
        assert one.level > Level.PUBLIC, one.slug
        assert one.positive and one.negative, one.slug


@EACH
@pytest.mark.django_db
def test_a_schema_begins_with_a_template_and_is_published_as_it_is(template: Template) -> None:
    draft = services.schema_create(
        area_id=world.area().pk, slug="acme", name=template.title, by=None, template=template.slug
    )
    assert compiler.schema_spec(draft).classes == template.classes
    services.schema_version_publish(version=draft, by=None)
    assert versions.schema_version_in_force(draft.schema_id) == draft


@pytest.mark.django_db
def test_a_template_that_is_not_there_leaves_no_schema_behind() -> None:
    with pytest.raises(KeyError):
        services.schema_create(area_id=world.area().pk, slug="x", name="X", by=None, template="nope")
    assert not SchemaVersion.objects.exists()
