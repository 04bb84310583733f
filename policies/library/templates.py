"""Schemas to start from, as data. `TEMPLATES` maps a slug to its template; a test tries all their examples.

A template is a beginning: its author knows the rule book, not the house it is used in.
"""

from __future__ import annotations

from collections.abc import Mapping

from policies.library.schemas import gdpr, hipaa, pci, secret_keys, support
from policies.library.schemas.template import Template

TEMPLATES: Mapping[str, Template] = {
    one.slug: one
    for one in (pci.TEMPLATE, hipaa.TEMPLATE, gdpr.TEMPLATE, secret_keys.TEMPLATE, support.TEMPLATE)
}
