"""What is sensitive: a schema, its versions, their data classes and the detectors that find them."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from audit import ids
from policies.engine.types import Level
from policies.models.choices import LEVEL_VALUES, LEVELS
from policies.models.version import Version, state_constraints

MAX_LEN_LIMIT = 4096

class_slug = RegexValidator(
    r"^[A-Z][A-Z0-9_]{1,39}\Z",
    "Use capitals, digits and underscores, beginning with a letter, such as PATIENT_ID.",
)


class Schema(models.Model):
    """A named classification schema. What it says lives in its versions."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    area = models.ForeignKey("gateway.Area", models.PROTECT, related_name="schemas")
    slug = models.SlugField(max_length=50)
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["area", "slug"], name="policies_schema_slug_unique")]

    def __str__(self) -> str:
        return self.name


class SchemaVersion(Version):
    """One version of a schema; immutable once published."""

    schema = models.ForeignKey(Schema, models.PROTECT, related_name="versions")

    class Meta:
        ordering = ["schema__name", "-number"]
        constraints = state_constraints("policies_schemaversion", "schema")
        permissions = [("publish_schemaversion", "Can publish schema versions")]

    def __str__(self) -> str:
        return f"{self.schema.name} v{self.number}"


class DataClass(models.Model):
    """One kind of sensitive thing in one schema version."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    version = models.ForeignKey(SchemaVersion, models.CASCADE, related_name="classes")
    slug = models.CharField(
        max_length=40, validators=[class_slug], help_text="Shown in labels and headers, such as EMAIL."
    )
    name = models.CharField(max_length=100)
    level = models.PositiveSmallIntegerField(choices=LEVELS, default=Level.CONFIDENTIAL.value)
    weight = models.PositiveSmallIntegerField(default=1, help_text="How much one finding adds to the risk.")
    tags = models.JSONField(
        default=list, blank=True, help_text="Words separated by commas, such as payment, contact."
    )
    description = models.CharField(max_length=300, blank=True, help_text="What it is, for whoever reads it.")
    context = models.JSONField(
        default=list,
        blank=True,
        help_text="Words separated by commas that stand shortly before it, such as patient, chart.",
    )
    context_needed = models.BooleanField(
        default=False,
        help_text="Patterns and word lists count only near one of these words.",
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "slug"]
        verbose_name_plural = "data classes"
        constraints = [
            models.UniqueConstraint(fields=["version", "slug"], name="policies_dataclass_slug_unique"),
            models.CheckConstraint(
                condition=models.Q(level__in=LEVEL_VALUES), name="policies_dataclass_level_known"
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class DetectorKind(models.TextChoices):
    LIBRARY = "library", "Built-in recogniser"
    REGEX = "regex", "Pattern"
    TERMS = "terms", "Word list"
    KEY = "key", "JSON key names"
    PATH = "path", "JSON path"


class Detector(models.Model):
    """How a data class is found. `value` is what `kind` says: a name, a pattern, lines, a path."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    data_class = models.ForeignKey(DataClass, models.CASCADE, related_name="detectors")
    kind = models.CharField(max_length=10, choices=DetectorKind, default=DetectorKind.LIBRARY)
    value = models.TextField(
        max_length=100_000,
        help_text="The recogniser's name, the pattern, or one word, phrase or key name per line.",
    )
    max_len = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_LEN_LIMIT)],
        help_text="Longest match of a pattern in characters. Needed when the pattern has no end of its own.",
    )
    ignore_case = models.BooleanField(default=False)
    threshold = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(100)],
        help_text="For a built-in recogniser: how sure it has to be, 0 to 100.",
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=DetectorKind.values), name="policies_detector_kind_known"
            ),
            models.CheckConstraint(condition=~models.Q(value=""), name="policies_detector_value_given"),
            models.CheckConstraint(
                condition=models.Q(max_len__isnull=True)
                | models.Q(max_len__gte=1, max_len__lte=MAX_LEN_LIMIT),
                name="policies_detector_max_len_range",
            ),
            models.CheckConstraint(
                condition=models.Q(threshold__lte=100), name="policies_detector_threshold_range"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.value.splitlines()[0][:40] if self.value else ''}"


class ExampleKind(models.TextChoices):
    POSITIVE = "positive", "Must be found"
    NEGATIVE = "negative", "Must not be found"


class Example(models.Model):
    """A text, or a JSON document, that a data class is tried on before its version is published."""

    id = models.UUIDField(primary_key=True, default=ids.new, editable=False)
    data_class = models.ForeignKey(DataClass, models.CASCADE, related_name="examples")
    kind = models.CharField(max_length=10, choices=ExampleKind, default=ExampleKind.POSITIVE)
    text = models.TextField(
        max_length=4000, help_text="Made up, never real data: everybody who may edit the schema reads it."
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=ExampleKind.values), name="policies_example_kind_known"
            ),
            models.CheckConstraint(condition=~models.Q(text=""), name="policies_example_text_given"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.text[:40]}"
