"""The gateway as a Django application."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from gateway import celery, checks, kinds  # noqa: F401  registered by being imported
        from gateway.identity import kinds as identity_kinds

        kinds.register_all()
        identity_kinds.register_all()
