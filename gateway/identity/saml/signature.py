"""From a signed element to the bytes that were signed, read again. Needs the extra.

The form of the signature is fixed before any cryptography: one reference, to the element that holds the
signature, by its own id, with the enveloped transform and exclusive canonicalisation and nothing else. Then
xmlsec checks it with a key of the metadata; the document's own KeyInfo is thrown away first. Then the
element is canonicalised once more here, its digest compared with the signed one, and the *digested bytes*
are parsed: nothing is ever read that no signature covers (signature wrapping ends there).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import xmlsec
from lxml import etree

from gateway.identity.saml.document import DS, SAML, SAMLP, Element, parsed, parser
from gateway.identity.saml.reasons import SamlRefused

EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
INCLUSIVE_PREFIXES: Final = f"{{{EXCLUSIVE}}}InclusiveNamespaces"
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
SIGNATURES: Final = {
    f"{_MORE}rsa-sha256": xmlsec.Transform.RSA_SHA256,
    f"{_MORE}rsa-sha384": xmlsec.Transform.RSA_SHA384,
    f"{_MORE}rsa-sha512": xmlsec.Transform.RSA_SHA512,
    f"{_MORE}ecdsa-sha256": xmlsec.Transform.ECDSA_SHA256,
    f"{_MORE}ecdsa-sha384": xmlsec.Transform.ECDSA_SHA384,
    f"{_MORE}ecdsa-sha512": xmlsec.Transform.ECDSA_SHA512,
}
DIGESTS: Final = {
    "http://www.w3.org/2001/04/xmlenc#sha256": (hashlib.sha256, xmlsec.Transform.SHA256),
    f"{_MORE}sha384": (hashlib.sha384, xmlsec.Transform.SHA384),
    "http://www.w3.org/2001/04/xmlenc#sha512": (hashlib.sha512, xmlsec.Transform.SHA512),
}
MOST_PREFIXES: Final = 20
"""Canonicalisation looks for each of them at each element: thousands of them would take it half a minute."""

SIGNED: Final = (f"{SAMLP}Response", f"{SAML}Assertion")


def places(root: Element) -> None:
    """Signatures stand directly in the response and in its assertion, one in each at most, nowhere else."""
    for signature in root.iter(f"{DS}Signature"):
        holder = signature.getparent()
        if holder is None or holder.tag not in SIGNED:
            raise SamlRefused("signature_place")
        if len(holder.findall(f"{DS}Signature")) != 1:
            raise SamlRefused("signature_place")


def verified(element: Element, keys: Sequence[bytes]) -> Element:
    """The element as it was signed by one of `keys` (certificates as PEM), parsed from the digested bytes.

    Takes the signature out of the tree that it is given. Raises `SamlRefused`: unsigned | signature_shape |
    algorithm | reference | transforms | bad_signature.
    """
    signature = element.find(f"{DS}Signature")
    if signature is None:
        raise SamlRefused("unsigned")
    reference, prefixes = _fixed_form(signature, element)
    for info in signature.findall(f"{DS}KeyInfo"):
        signature.remove(info)
    _checked(signature, element, keys)
    stated = _stated_digest(reference)
    digest, _ = DIGESTS[reference.find(f"{DS}DigestMethod").get("Algorithm", "")]
    _cut(signature)
    octets = _canonical(element, prefixes)
    if not hmac.compare_digest(digest(octets).digest(), stated):
        raise SamlRefused("bad_signature")
    return parsed(octets)


def _fixed_form(signature: Element, element: Element) -> tuple[Element, list[str]]:
    """The one reference of a signature that has the one accepted form, and the prefixes it names."""
    info = _children(signature, "SignedInfo", "SignatureValue", optional="KeyInfo")[0]
    canonical, method, reference = _children(info, "CanonicalizationMethod", "SignatureMethod", "Reference")
    transforms, digest, _ = _children(reference, "Transforms", "DigestMethod", "DigestValue")
    if canonical.get("Algorithm") != EXCLUSIVE:
        raise SamlRefused("transforms")
    _prefixes(canonical)
    if method.get("Algorithm") not in SIGNATURES or digest.get("Algorithm") not in DIGESTS:
        raise SamlRefused("algorithm")
    if len(method) or len(digest):
        raise SamlRefused("signature_shape")
    own = element.get("ID")
    if not own or dict(reference.attrib) != {"URI": f"#{own}"}:
        raise SamlRefused("reference")
    steps = list(transforms)
    if any(step.tag != f"{DS}Transform" for step in steps):
        raise SamlRefused("signature_shape")
    if [step.get("Algorithm") for step in steps] != [ENVELOPED, EXCLUSIVE] or len(steps[0]):
        raise SamlRefused("transforms")
    return reference, _prefixes(steps[1])


def _children(element: Element, *names: str, optional: str = "") -> list[Element]:
    found = list(element)
    tags = [each.tag for each in found]
    wanted = [f"{DS}{name}" for name in names]
    if tags not in (wanted, [*wanted, f"{DS}{optional}"]):
        raise SamlRefused("signature_shape")
    return found


def _prefixes(step: Element) -> list[str]:
    """The prefixes that exclusive canonicalisation treats inclusively; no other parameter is known."""
    inner = list(step)
    if not inner:
        return []
    if len(inner) != 1 or inner[0].tag != INCLUSIVE_PREFIXES or len(inner[0]):
        raise SamlRefused("transforms")
    found: list[str] = (inner[0].get("PrefixList") or "").split()
    if len(found) > MOST_PREFIXES:
        raise SamlRefused("transforms")
    return found


def _checked(signature: Element, element: Element, keys: Sequence[bytes]) -> None:
    """xmlsec's word on the signature, with one key after the other: while keys roll over there are two."""
    for pem in keys:
        context = xmlsec.SignatureContext()
        try:
            context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatCertPem)
            context.register_id(element, "ID")
            for allowed in SIGNATURES.values():
                context.enable_signature_transform(allowed)
            for _, allowed in DIGESTS.values():
                context.enable_reference_transform(allowed)
            context.enable_reference_transform(xmlsec.Transform.ENVELOPED)
            context.enable_reference_transform(xmlsec.Transform.EXCL_C14N)
            context.enable_signature_transform(xmlsec.Transform.EXCL_C14N)
            context.verify(signature)
        except xmlsec.Error:
            continue
        return
    raise SamlRefused("bad_signature")


def _stated_digest(reference: Element) -> bytes:
    value = reference.find(f"{DS}DigestValue")
    try:
        return base64.b64decode("".join((value.text or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SamlRefused("signature_shape") from error


def _cut(signature: Element) -> None:
    """Take a signature out and leave the text behind it where it was: that is part of the signed bytes."""
    parent, tail = signature.getparent(), signature.tail or ""
    before = signature.getprevious()
    if before is not None:
        before.tail = (before.tail or "") + tail
    else:
        parent.text = (parent.text or "") + tail
    signature.tail = None
    parent.remove(signature)


def _canonical(element: Element, prefixes: list[str]) -> bytes:
    """Exclusive canonicalisation of this element. Serialising first writes down inherited prefixes."""
    apart = etree.fromstring(etree.tostring(element, encoding="utf-8", with_tail=False), parser())
    octets: bytes = etree.tostring(
        apart, method="c14n", exclusive=True, with_comments=False, inclusive_ns_prefixes=prefixes or None
    )
    return octets
