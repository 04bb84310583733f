"""Which tables of this app keep a history. Imported last: it needs all of them."""

from __future__ import annotations

from policies.history import keep
from policies.models.policy import Policy, PolicyVersion, Rule
from policies.models.schema import DataClass, Detector, Example, Schema, SchemaVersion

KEPT = (Schema, SchemaVersion, DataClass, Detector, Example, Policy, PolicyVersion, Rule)

for model in KEPT:
    keep(model, app="policies")
