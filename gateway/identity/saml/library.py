"""python3-saml at work: what we send is written by it, and what we received is read by it a second time.

Our own checks come first and are stricter (`assertion`). The library then judges the same bytes by its own
code, against the schemas of SAML, and must come to the same name: two readers that disagree about a document
are how documents lie. Needs the extra.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from lxml import etree
from onelogin.saml2.authn_request import OneLogin_Saml2_Authn_Request
from onelogin.saml2.constants import OneLogin_Saml2_Constants as Names
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from gateway.identity.saml.assertion import Said
from gateway.identity.saml.document import parser
from gateway.identity.saml.here import Here
from gateway.identity.saml.metadata import Provider
from gateway.identity.saml.reasons import SamlRefused

log = logging.getLogger(__name__)

SECURITY: Final = {
    "wantAssertionsSigned": True,
    "wantNameId": False,  # a subject may be an attribute; `subject` decides
    "wantAttributeStatement": False,
    "requestedAuthnContext": False,
    "rejectDeprecatedAlgorithm": True,
    "allowRepeatAttributeName": True,
    "allowSingleLabelDomains": True,  # names of hosts inside a company
}


def our_metadata(here: Here) -> bytes:
    """The document that a provider imports. It holds addresses and no key: we sign nothing yet."""
    settings = _settings(here, None)
    made: bytes | str = settings.get_sp_metadata()
    if problems := settings.validate_metadata(made):
        raise ValueError(", ".join(problems))
    root = etree.fromstring(made.encode() if isinstance(made, str) else made, parser())
    for dated in ("validUntil", "cacheDuration"):  # two days: some providers would then drop us
        root.attrib.pop(dated, None)
    text: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def request_made(here: Here, provider: Provider, *, persistent: bool, fresh: bool) -> tuple[str, str]:
    """A new request: its id, and the address at the provider that carries it. `fresh`: prove it again."""
    settings = _settings(here, provider, persistent=persistent)
    request = OneLogin_Saml2_Authn_Request(settings, force_authn=fresh, set_nameid_policy=persistent)
    joint = "&" if urlsplit(provider.sso_url).query else "?"
    query = urlencode({"SAMLRequest": request.get_request()})
    return request.get_id(), f"{provider.sso_url}{joint}{query}"


def second_reader(xml: bytes, here: Here, provider: Provider, request_id: str, said: Said) -> None:
    """Raises `SamlRefused`: second_reader, unless the library accepts these bytes and reads what we read."""
    parts = urlsplit(here.acs)
    data = {
        "http_host": parts.netloc,
        "script_name": parts.path,
        "https": "on" if parts.scheme == "https" else "off",
    }
    agreed = False
    try:
        response = OneLogin_Saml2_Response(_settings(here, provider), base64.b64encode(xml))
        response.is_valid(data, request_id, raise_exceptions=True)
        agreed = (
            (response.get_nameid() or "") == said.name_id
            and response.get_assertion_id() == said.assertion_id
            and _texts(response.get_attributes()) == _texts(said.attributes)
        )
    except Exception as error:  # its texts quote the document; whatever it was, it is a no
        log.warning("python3-saml says no: %s %s", type(error).__name__, getattr(error, "code", ""))
    if not agreed:
        raise SamlRefused("second_reader")


def _settings(here: Here, provider: Provider | None, *, persistent: bool = True) -> OneLogin_Saml2_Settings:
    form = Names.NAMEID_PERSISTENT if persistent else Names.NAMEID_UNSPECIFIED
    sp = {
        "entityId": here.entity_id,
        "assertionConsumerService": {"url": here.acs, "binding": Names.BINDING_HTTP_POST},
        "NameIDFormat": form,
    }
    wanted: dict[str, Any] = {"strict": True, "debug": False, "sp": sp, "security": SECURITY}
    if provider is not None:
        wanted["idp"] = {
            "entityId": provider.entity_id,
            "singleSignOnService": {"url": provider.sso_url, "binding": Names.BINDING_HTTP_REDIRECT},
            "x509certMulti": {"signing": [each.base64 for each in provider.certificates]},
        }
    return OneLogin_Saml2_Settings(wanted, sp_validation_only=provider is None)


def _texts(attributes: Mapping[str, Sequence[object]]) -> dict[str, list[str]]:
    """Both readers' attributes in one form: the library takes spaces off, and texts that are empty then."""
    texts = {
        name: [value.strip() for value in values if isinstance(value, str) and value.strip()]
        for name, values in attributes.items()
        if name
    }
    return {name: values for name, values in texts.items() if values}
