"""Attacks that move signed elements about: a signature stays true while something else is read (XSW1–8)."""

from __future__ import annotations

import copy
from typing import Any

from lxml import etree

from tests.identity.saml.provider import NS, A, D, P, Provider, read_again, sign, written

EVIL = "P-evil"


def _both(p: Provider) -> tuple[Any, Any, Any]:
    """A right answer, whole and part signed: the response, its signature, its assertion."""
    root = p.tree()
    sign(root, p.keys)
    root = read_again(root)
    return root, root.find("ds:Signature", NS), root.find("saml:Assertion", NS)


def _evil(assertion: Any, *, signed: bool = False) -> Any:
    """A copy that is about somebody else, under another id."""
    made = copy.deepcopy(assertion)
    made.set("ID", "_evil")
    made.find(".//saml:NameID", NS).text = EVIL
    if not signed:
        made.remove(made.find("ds:Signature", NS))
    return made


def _evil_response(root: Any) -> Any:
    made = etree.fromstring(etree.tostring(root))
    made.set("ID", "_evilresponse")
    assertion = made.find("saml:Assertion", NS)
    made.replace(assertion, _evil(assertion))
    made.remove(made.find("ds:Signature", NS))
    return made


def xsw1(p: Provider) -> bytes:
    """The signed response inside the signature of an evil one."""
    root, signature, _ = _both(p)
    evil = _evil_response(root)
    root.remove(signature)
    signature.append(root)
    evil.insert(1, signature)
    return written(evil)


def xsw2(p: Provider) -> bytes:
    """The signed response beside its signature, both in an evil one."""
    root, signature, _ = _both(p)
    evil = _evil_response(root)
    root.remove(signature)
    evil.insert(1, root)
    evil.insert(2, signature)
    return written(evil)


def xsw3(p: Provider) -> bytes:
    """An evil assertion before the signed one."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    assertion.addprevious(_evil(assertion))
    return written(root)


def xsw4(p: Provider) -> bytes:
    """An evil assertion around the signed one."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    evil = _evil(assertion)
    root.replace(assertion, evil)
    evil.append(assertion)
    return written(root)


def xsw5(p: Provider) -> bytes:
    """The signature in an evil assertion, the signed one bare at the end."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    evil = _evil(assertion, signed=True)
    assertion.remove(assertion.find("ds:Signature", NS))
    assertion.addprevious(evil)
    return written(root)


def xsw6(p: Provider) -> bytes:
    """The signed assertion inside its signature inside an evil one."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    signature = assertion.find("ds:Signature", NS)
    evil = _evil(assertion)
    root.replace(assertion, evil)
    assertion.remove(signature)
    evil.insert(1, signature)
    signature.append(assertion)
    return written(root)


def xsw7(p: Provider) -> bytes:
    """An evil assertion in Extensions, where schemas allow anything."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    extensions = etree.Element(f"{{{P}}}Extensions")
    extensions.append(_evil(assertion))
    root.insert(1, extensions)
    return written(root)


def xsw8(p: Provider) -> bytes:
    """The signed assertion in an Object of the signature that an evil one carries."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    signature = assertion.find("ds:Signature", NS)
    evil = _evil(assertion)
    root.replace(assertion, evil)
    assertion.remove(signature)
    evil.insert(1, signature)
    etree.SubElement(signature, f"{{{D}}}Object").append(assertion)
    return written(root)


def same_id(p: Provider) -> bytes:
    """An evil assertion that bears the id of the signed one, in place of the response's."""
    root = p.tree()
    root.set("ID", root.find("saml:Assertion", NS).get("ID"))
    return written(root)


def other_case(p: Provider) -> bytes:
    """The signed id again, in an attribute that some libraries take for an id."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    root.find("samlp:Status", NS).set("Id", assertion.get("ID"))
    return written(root)


def wrapped_in_advice(p: Provider) -> bytes:
    """The signed assertion as advice of an evil one, which schemas allow."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    evil = _evil(assertion)
    root.replace(assertion, evil)
    etree.SubElement(evil, f"{{{A}}}Advice").append(assertion)
    return written(root)


def wrapped_in_value(p: Provider) -> bytes:
    """The signed assertion as the value of an evil one's attribute."""
    root = p.tree()
    assertion = root.find("saml:Assertion", NS)
    evil = _evil(assertion)
    root.replace(assertion, evil)
    evil.find(".//saml:AttributeValue", NS).append(assertion)
    return written(root)


def signature_in_extensions(p: Provider) -> bytes:
    """A signature over the assertion from afar, which the assertion does not hold itself."""
    root = p.tree()
    signature = root.find("saml:Assertion/ds:Signature", NS)
    extensions = etree.Element(f"{{{P}}}Extensions")
    extensions.append(signature)
    root.insert(1, extensions)
    return written(root)


def signature_in_value(p: Provider) -> bytes:
    root = p.tree()
    signature = root.find("saml:Assertion/ds:Signature", NS)
    root.find(".//saml:AttributeValue", NS).append(signature)
    return written(root)


def two_signatures(p: Provider) -> bytes:
    root = p.tree()
    sign(root.find("saml:Assertion", NS), p.keys)
    return written(root)


WRAPPED = {
    "XSW1": ("assertions", xsw1),
    "XSW2": ("assertions", xsw2),
    "XSW3": ("assertions", xsw3),
    "XSW4": ("assertions", xsw4),
    "XSW5": ("assertions", xsw5),
    "XSW6": ("assertions", xsw6),
    "XSW7": ("assertions", xsw7),
    "XSW8": ("assertions", xsw8),
    "one id for response and assertion": ("repeated_id", same_id),
    "the signed id again as Id": ("repeated_id", other_case),
    "signed assertion as advice": ("assertions", wrapped_in_advice),
    "signed assertion as a value": ("assertions", wrapped_in_value),
    "signature in Extensions": ("structure", signature_in_extensions),
    "signature in an attribute's value": ("signature_place", signature_in_value),
    "two signatures in one assertion": ("signature_place", two_signatures),
}
