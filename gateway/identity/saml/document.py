"""XML from outside as a tree without surprises, and the names that SAML gives its parts. Needs the extra.

Text is searched for markup before any parser sees it: in well-formed XML a `<` begins a tag and nothing
else, so `<!` is a DTD, a comment or CDATA and `<?` an instruction. No provider needs one of these in an
answer, and each of them has been an attack (entities, comments that cut a name in two).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, TypeAlias

from lxml import etree

from gateway.identity.saml.reasons import SamlRefused

LARGEST_ANSWER: Final = 256 * 1024
"""Bytes of XML. What providers send is below 20 KB; 2,000 groups of 100 characters fit."""

SAMLP: Final = "{urn:oasis:names:tc:SAML:2.0:protocol}"
SAML: Final = "{urn:oasis:names:tc:SAML:2.0:assertion}"
MD: Final = "{urn:oasis:names:tc:SAML:2.0:metadata}"
DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
XENC: Final = "{http://www.w3.org/2001/04/xmlenc#}"
MOST_ATTRIBUTES: Final = 50
"""Of one element, in the sense of XML."""

_DECLARATION: Final = (b"<?xml ", b"<?xml\t", b"<?xml\r", b"<?xml\n")
_ID_NAMES: Final = frozenset(("id", "ID", "Id", "iD", "{http://www.w3.org/XML/1998/namespace}id"))

Element: TypeAlias = Any  # lxml's; it carries no types


def answer_decoded(text: str) -> bytes:
    """The bytes of a SAMLResponse field. Raises `SamlRefused`: too_large | not_base64."""
    if len(text) > LARGEST_ANSWER * 3 // 2:
        raise SamlRefused("too_large")
    packed = "".join(text.split())
    try:
        xml = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SamlRefused("not_base64") from error
    if len(xml) > LARGEST_ANSWER:
        raise SamlRefused("too_large")
    return xml


def parsed(xml: bytes) -> Element:
    """The root of a UTF-8 document without DTD, comments, CDATA and instructions; no network, no entities.

    Raises `SamlRefused`: forbidden_markup | not_xml | repeated_id | structure.
    """
    body = xml.removeprefix(b"\xef\xbb\xbf").lstrip()
    if body.startswith(_DECLARATION):
        body = body[body.find(b"?>") + 2 :]
    if b"<!" in body or b"<?" in body:
        raise SamlRefused("forbidden_markup")
    root = _tree(body)
    if any(not isinstance(each.tag, str) for each in root.iter()):
        raise SamlRefused("forbidden_markup")
    _distinct(root)
    return root


def parser() -> etree.XMLParser:
    """Always UTF-8, whatever the document claims: what was searched is what is read.

    libxml2 itself ends at 256 elements inside each other and at 10 MB of one text.
    """
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        remove_comments=False,
        remove_pis=False,
        strip_cdata=False,
        collect_ids=False,
    )


def text(element: Element) -> str:
    """The text of an element that holds nothing else. Raises `SamlRefused`: subject_unclear."""
    if len(element):
        raise SamlRefused("subject_unclear")
    return element.text or ""


def only(element: Element, tag: str, code: str) -> Element:
    """The one child of this name. Raises `SamlRefused` with `code` where there is none or another."""
    found = element.findall(tag)
    if len(found) != 1:
        raise SamlRefused(code)
    return found[0]


def _tree(body: bytes) -> Element:
    try:
        root = etree.fromstring(body, parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise SamlRefused("not_xml") from error
    info = root.getroottree().docinfo
    if info.doctype or info.internalDTD is not None:
        raise SamlRefused("forbidden_markup")
    return root


def _distinct(root: Element) -> None:
    """No identifier twice, whatever the case of its name; and few attributes, since sorting them is slow."""
    seen: set[str] = set()
    for element in root.iter():
        if len(element.attrib) > MOST_ATTRIBUTES:
            raise SamlRefused("structure")
        for name, value in element.attrib.items():
            if name in _ID_NAMES and value in seen:
                raise SamlRefused("repeated_id")
            if name in _ID_NAMES:
                seen.add(value)
