"""The gateway as a Django application."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from gateway import celery, checks, evidence_kinds, kinds, role_kinds  # noqa: F401  registered by being imported
        from gateway.identity import kinds as identity_kinds
        from gateway.identity.reach import slug_of
        from policies.journal import place_by

        kinds.register_all()
        identity_kinds.register_all()
        role_kinds.register_all()
        evidence_kinds.register_all()
        place_by(slug_of)
