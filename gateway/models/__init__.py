"""One file per concept; importing this package registers them all."""

from gateway.models.access_rule import AccessRule
from gateway.models.api_key import ApiKey, KeyKind
from gateway.models.area import Area
from gateway.models.credential import ClientAuth, Credential, CredentialState, CredentialVersion, Placement
from gateway.models.cut import Cut
from gateway.models.deployment import Deployment
from gateway.models.directory import DirectoryGroup, DirectoryToken, DirectoryUser
from gateway.models.endpoint import Endpoint, EndpointKind
from gateway.models.field import FieldState, StructuredField
from gateway.models.health import EndpointHealth, HealthState
from gateway.models.identity import Identity
from gateway.models.issuer import GroupMapping, Issuer, IssuerKind, Match, Overage, SeenToken
from gateway.models.lock import Lock
from gateway.models.membership import HolderKind, MemberKind, MembershipChange, PermissionChange, Source
from gateway.models.revision import Revision
from gateway.models.role import RoleGrant
from gateway.models.rotation import Rotation, RotationCause, RotationPlan, RotationStep
from gateway.models.service_account import ServiceAccount
from gateway.models.sign_in import DeviceGrant, DeviceState, SignIn, SignInMethod
from gateway.models.usage import Running, Sketch, Usage
from gateway.models.user import User
from gateway.models.vouching import Vouching
from gateway.models.webhook import (
    Delivery,
    DeliveryState,
    MailsOff,
    Told,
    Webhook,
    WebhookKind,
    WebhookSecret,
)

from gateway.models import history  # isort: skip  # noqa: F401  after all that it keeps

__all__ = [
    "AccessRule",
    "ApiKey",
    "Area",
    "ClientAuth",
    "Credential",
    "CredentialState",
    "CredentialVersion",
    "Cut",
    "Delivery",
    "DeliveryState",
    "Deployment",
    "DeviceGrant",
    "DeviceState",
    "DirectoryGroup",
    "DirectoryToken",
    "DirectoryUser",
    "Endpoint",
    "EndpointHealth",
    "EndpointKind",
    "FieldState",
    "GroupMapping",
    "HealthState",
    "HolderKind",
    "Identity",
    "Issuer",
    "IssuerKind",
    "KeyKind",
    "Lock",
    "MailsOff",
    "Match",
    "MemberKind",
    "MembershipChange",
    "Overage",
    "PermissionChange",
    "Placement",
    "Revision",
    "RoleGrant",
    "Rotation",
    "RotationCause",
    "RotationPlan",
    "RotationStep",
    "Running",
    "SeenToken",
    "ServiceAccount",
    "SignIn",
    "SignInMethod",
    "Sketch",
    "Source",
    "StructuredField",
    "Told",
    "Usage",
    "User",
    "Vouching",
    "Webhook",
    "WebhookKind",
    "WebhookSecret",
]
