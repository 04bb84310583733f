"""The gateway as a Django application."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from audit.exporting.asked import programs_by
        from audit.words import scrub_by
        from gateway import (  # noqa: F401  registered by being imported
            celery,
            checks,
            evidence_kinds,
            kinds,
            reveal_kinds,
            role_kinds,
        )
        from gateway.console import original_asking
        from gateway.error_texts import values_unsaid
        from gateway.identity import kinds as identity_kinds
        from gateway.identity.programs import program_of
        from gateway.identity.reach import slug_of
        from policies.journal import place_by
        from policies.services import scrub

        kinds.register_all()
        identity_kinds.register_all()
        role_kinds.register_all()
        reveal_kinds.register_all()
        evidence_kinds.register_all()
        original_asking.register_all()
        place_by(slug_of)
        scrub_by(scrub)
        programs_by(program_of)
        values_unsaid()
