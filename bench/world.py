"""The world under measurement, in an empty store: `python -m bench.world CHAT_ORIGIN` prints alice's key."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway.settings")


def main(origin: str) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from gateway.console.seed import seed_world

    call_command("migrate", verbosity=0)
    seeded = seed_world(chat_origin=origin, classifier_origin=origin)
    sys.stdout.write(seeded.api_keys["alice"].reveal())


if __name__ == "__main__":
    main(sys.argv[1])
