"""One file per concept; importing this package registers them all."""

from policies.models.person import LinkedAccount
from policies.models.policy import Kept, Mode, Policy, PolicyVersion, Rule, Ways, Window
from policies.models.proposal import Proposal, ProposalState
from policies.models.schema import (
    DataClass,
    Detector,
    DetectorKind,
    Example,
    ExampleKind,
    Schema,
    SchemaVersion,
)
from policies.models.version import State, Version

from policies.models import history  # isort: skip  # noqa: F401  after all that it keeps

__all__ = [
    "DataClass",
    "Detector",
    "DetectorKind",
    "Example",
    "ExampleKind",
    "Kept",
    "LinkedAccount",
    "Mode",
    "Policy",
    "PolicyVersion",
    "Proposal",
    "ProposalState",
    "Rule",
    "Schema",
    "SchemaVersion",
    "State",
    "Version",
    "Ways",
    "Window",
]
