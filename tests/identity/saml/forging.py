"""Attacks on the signature itself: by whom, with what, about what, and how it is written down."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import xmlsec
from lxml import etree

from tests.identity.saml.provider import NS, D, Provider, pair, read_again, sign, written

T = xmlsec.Transform
Change = Callable[[Any], None]
MORE = "http://www.w3.org/2001/04/xmldsig-more#"


def bare(p: Provider, **changes: Any) -> Any:
    """An answer without any signature."""
    root = p.tree(**changes)
    assertion = root.find("saml:Assertion", NS)
    assertion.remove(assertion.find("ds:Signature", NS))
    return root


def signed_with(**how: Any) -> Callable[[Provider], bytes]:
    """A true signature of the provider, made in another way than is accepted."""

    def made(p: Provider) -> bytes:
        root = bare(p)
        sign(root.find("saml:Assertion", NS), how.pop("keys", p.keys), **how)
        return written(root)

    return made


def touched(path: str, change: Change) -> Callable[[Provider], bytes]:
    """A right answer, changed after it was signed."""

    def made(p: Provider) -> bytes:
        root = p.tree()
        change(root.find(path, NS))
        return written(root)

    return made


def put(name: str, value: str | None) -> Change:
    def change(element: Any) -> None:
        if value is None:
            del element.attrib[name]
        else:
            element.set(name, value)

    return change


def says(text: str) -> Change:
    def change(element: Any) -> None:
        element.text = text

    return change


def unsigned(p: Provider) -> bytes:
    return written(bare(p))


def response_only(p: Provider) -> bytes:
    root = bare(p)
    sign(root, p.keys)
    return written(root)


def response_signed_by_another(p: Provider) -> bytes:
    """The assertion is right; the response around it bears somebody else's signature."""
    root = p.tree()
    sign(root, pair("mallory"))
    return written(root)


def hollow(p: Provider) -> bytes:
    root = bare(p)
    etree.SubElement(root.find("saml:Assertion", NS), f"{{{D}}}Signature")
    return written(root)


def by_another(p: Provider) -> bytes:
    """Signed by somebody, whose certificate lies in the document, as in every answer."""
    root = bare(p)
    sign(root.find("saml:Assertion", NS), pair("mallory"))
    return written(root)


def by_key_value(p: Provider) -> bytes:
    """The same, with the bare key in the document."""
    root = bare(p)
    sign(root.find("saml:Assertion", NS), pair("mallory"))
    root = read_again(root)
    info = root.find(".//ds:KeyInfo", NS)
    info.clear()
    value = etree.SubElement(etree.SubElement(info, f"{{{D}}}KeyValue"), f"{{{D}}}RSAKeyValue")
    for name in ("Modulus", "Exponent"):
        etree.SubElement(value, f"{{{D}}}{name}").text = "AQAB"
    return written(root)


def by_certificate_of_ours(p: Provider) -> bytes:
    """Signed by somebody who puts the provider's own certificate beside it."""
    root = bare(p)
    sign(root.find("saml:Assertion", NS), pair("mallory"))
    root = read_again(root)
    root.find(".//ds:X509Certificate", NS).text = p.keys.base64
    return written(root)


def hmac_with_certificate(p: Provider) -> bytes:
    """A shared-secret signature whose secret is the provider's public certificate."""
    root = bare(p)
    assertion = root.find("saml:Assertion", NS)
    signature = xmlsec.template.create(assertion, T.EXCL_C14N, T.HMAC_SHA256, ns="ds")
    assertion.insert(1, signature)
    reference = xmlsec.template.add_reference(signature, T.SHA256, uri=f"#{assertion.get('ID')}")
    xmlsec.template.add_transform(reference, T.ENVELOPED)
    xmlsec.template.add_transform(reference, T.EXCL_C14N)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_binary_data(xmlsec.KeyData.HMAC, p.keys.certificate)
    context.register_id(assertion, "ID")
    context.sign(signature)
    return written(root)


def digest_made_again(p: Provider) -> bytes:
    """Another name, and a digest that fits it: only the signature over the digest does not."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    assertion.find(".//saml:NameID", NS).text = "P-evil"
    alone = etree.fromstring(etree.tostring(assertion))
    alone.remove(alone.find("ds:Signature", NS))
    digest = hashlib.sha256(etree.tostring(alone, method="c14n", exclusive=True)).digest()
    assertion.find(".//ds:DigestValue", NS).text = base64.b64encode(digest).decode()
    return written(root)


def two_references(p: Provider) -> bytes:
    root = bare(p)
    assertion = root.find("saml:Assertion", NS)
    signature = xmlsec.template.create(assertion, T.EXCL_C14N, T.RSA_SHA256, ns="ds")
    assertion.insert(1, signature)
    for _ in range(2):
        reference = xmlsec.template.add_reference(signature, T.SHA256, uri=f"#{assertion.get('ID')}")
        xmlsec.template.add_transform(reference, T.ENVELOPED)
        xmlsec.template.add_transform(reference, T.EXCL_C14N)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(p.keys.key, xmlsec.KeyFormat.PEM)
    context.register_id(assertion, "ID")
    context.sign(signature)
    return written(root)


def about_the_response(p: Provider) -> bytes:
    """The signature in the assertion is about the response, by an id that is really there."""
    root = bare(p)
    assertion = root.find("saml:Assertion", NS)
    signature = xmlsec.template.create(assertion, T.EXCL_C14N, T.RSA_SHA256, ns="ds")
    assertion.insert(1, signature)
    reference = xmlsec.template.add_reference(signature, T.SHA256, uri=f"#{root.get('ID')}")
    xmlsec.template.add_transform(reference, T.ENVELOPED)
    xmlsec.template.add_transform(reference, T.EXCL_C14N)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(p.keys.key, xmlsec.KeyFormat.PEM)
    context.register_id(root, "ID")
    context.sign(signature)
    return written(root)


def _with(tag: str, **attributes: str) -> Change:
    def change(element: Any) -> None:
        etree.SubElement(element, tag, attributes)

    return change


def _manifest(signature: Any) -> None:
    held = etree.SubElement(signature, f"{{{D}}}Object")
    etree.SubElement(held, f"{{{D}}}Manifest")


def _emptied(element: Any) -> None:
    for each in list(element):
        element.remove(each)


def _turned(element: Any) -> None:
    element.append(element[0])


def _many_prefixes(transforms: Any) -> None:
    made = etree.SubElement(transforms[1], "{http://www.w3.org/2001/10/xml-exc-c14n#}InclusiveNamespaces")
    made.set("PrefixList", " ".join(f"p{n}" for n in range(30_000)))


def _third(algorithm: str) -> Change:
    def change(transforms: Any) -> None:
        etree.SubElement(transforms, f"{{{D}}}Transform", Algorithm=algorithm)

    return change


SIG = "saml:Assertion/ds:Signature"
INFO = f"{SIG}/ds:SignedInfo"
REF = f"{INFO}/ds:Reference"
FORGED: dict[str, tuple[str, Callable[[Provider], Any]]] = {
    "unsigned": ("unsigned", unsigned),
    "only the response signed": ("unsigned", response_only),
    "response signed by another": ("bad_signature", response_signed_by_another),
    "an empty signature": ("signature_shape", hollow),
    "another's key, with its certificate": ("bad_signature", by_another),
    "another's key, as KeyValue": ("bad_signature", by_key_value),
    "another's key, with our certificate": ("bad_signature", by_certificate_of_ours),
    "HMAC with the certificate as secret": ("algorithm", hmac_with_certificate),
    "RSA with SHA-1": ("algorithm", signed_with(method=T.RSA_SHA1)),
    "digest by SHA-1": ("algorithm", signed_with(digest=T.SHA1)),
    "RSA with SHA-224": ("algorithm", signed_with(method=T.RSA_SHA224)),
    "algorithm none": ("algorithm", touched(f"{INFO}/ds:SignatureMethod", put("Algorithm", "none"))),
    "algorithm left out": ("algorithm", touched(f"{INFO}/ds:SignatureMethod", put("Algorithm", None))),
    "RSA with MD5": (
        "algorithm",
        touched(f"{INFO}/ds:SignatureMethod", put("Algorithm", f"{MORE}rsa-md5")),
    ),
    "RSA said to be ECDSA": (
        "bad_signature",
        touched(f"{INFO}/ds:SignatureMethod", put("Algorithm", f"{MORE}ecdsa-sha256")),
    ),
    "output length of one bit": (
        "signature_shape",
        touched(f"{INFO}/ds:SignatureMethod", _with(f"{{{D}}}HMACOutputLength")),
    ),
    "signature value cut short": ("bad_signature", touched(f"{SIG}/ds:SignatureValue", says("AAAA"))),
    "signature value empty": ("bad_signature", touched(f"{SIG}/ds:SignatureValue", says(""))),
    "digest value empty": ("bad_signature", touched(f"{REF}/ds:DigestValue", says(""))),
    "digest made again": ("bad_signature", digest_made_again),
    "name changed": ("bad_signature", touched(".//saml:NameID", says("P-evil"))),
    "group changed": ("bad_signature", touched(".//saml:AttributeValue", says("admins"))),
    "audience changed": ("bad_signature", touched(".//saml:Audience", says("https://else.example.com"))),
    "assertion id changed": ("reference", touched("saml:Assertion", put("ID", "_else"))),
    "inclusive canonicalisation": ("transforms", signed_with(canonical=T.C14N)),
    "canonicalisation with comments": ("transforms", signed_with(canonical=T.EXCL_C14N_COMMENTS)),
    "transform with comments": (
        "transforms",
        signed_with(steps=(T.ENVELOPED, T.EXCL_C14N_COMMENTS)),
    ),
    "enveloped only": ("transforms", signed_with(steps=(T.ENVELOPED,))),
    "transforms the other way round": ("transforms", touched(f"{REF}/ds:Transforms", _turned)),
    "transforms emptied": ("transforms", touched(f"{REF}/ds:Transforms", _emptied)),
    "XPath transform": (
        "transforms",
        touched(f"{REF}/ds:Transforms", _third("http://www.w3.org/TR/1999/REC-xpath-19991116")),
    ),
    "XSLT transform": (
        "transforms",
        touched(f"{REF}/ds:Transforms", _third("http://www.w3.org/TR/1999/REC-xslt-19991116")),
    ),
    "parameters of a transform": (
        "transforms",
        touched(f"{REF}/ds:Transforms/ds:Transform", _with(f"{{{D}}}XPath")),
    ),
    "thirty thousand prefixes": ("transforms", touched(f"{REF}/ds:Transforms", _many_prefixes)),
    "two references": ("signature_shape", two_references),
    "reference to the response": ("reference", about_the_response),
    "reference without URI": ("reference", touched(REF, put("URI", None))),
    "reference with an empty URI": ("reference", touched(REF, put("URI", ""))),
    "reference by XPointer": ("reference", touched(REF, put("URI", "#xpointer(/)"))),
    "reference to the web": ("reference", touched(REF, put("URI", "https://evil.example.com/x"))),
    "reference to a file": ("reference", touched(REF, put("URI", "file:///etc/passwd"))),
    "reference of a type": ("reference", touched(REF, put("Type", f"{D}Manifest"))),
    "an object in the signature": ("signature_shape", touched(SIG, _with(f"{{{D}}}Object"))),
    "a manifest in the signature": ("signature_shape", touched(SIG, _manifest)),
}
