"""One file per concept; importing this package registers them all."""

from policies.models.policy import Mode, Policy, PolicyVersion, Rule, Ways
from policies.models.schema import DataClass, Detector, DetectorKind, Schema, SchemaVersion
from policies.models.version import State, Version

__all__ = [
    "DataClass",
    "Detector",
    "DetectorKind",
    "Mode",
    "Policy",
    "PolicyVersion",
    "Rule",
    "Schema",
    "SchemaVersion",
    "State",
    "Version",
    "Ways",
]
