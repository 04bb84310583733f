"""Why a SAML sign-in does not succeed: a bounded set of codes, each with words for the person who waits.

Neither carries anything of the provider's document: that is an attacker's text until it is verified.

    Exception
    └── SamlRefused        `code` is one of REASONS
"""

from __future__ import annotations

from typing import Final

REASONS: Final[dict[str, str]] = {
    # --- before anything is read
    "not_installed": "SAML is not installed on this gateway.",
    "no_such_provider": "There is no such provider, or it is switched off.",
    "bad_metadata": "The provider's metadata, as it is kept here, cannot be used.",
    "unsolicited": "This sign-in was not started in this browser within the last ten minutes.",
    # --- the document
    "too_large": "The provider's answer is larger than answers may be.",
    "not_base64": "The provider's answer arrived damaged.",
    "not_xml": "The provider's answer is not well-formed.",
    "forbidden_markup": "The provider's answer holds a DTD, a comment or an instruction.",
    "structure": "The provider's answer is not built as expected.",
    "repeated_id": "The provider's answer uses one identifier twice.",
    "assertions": "The provider's answer must hold exactly one assertion.",
    "encrypted": "The provider encrypts its answer. Switch that off: TLS protects it already.",
    "provider_said_no": "The provider did not sign you in.",
    # --- the signature
    "unsigned": "The provider did not sign the assertion.",
    "signature_place": "The provider's answer carries a signature where none belongs.",
    "signature_shape": "The provider's signature is not built as expected.",
    "algorithm": "The provider signs with an algorithm that is not accepted. Use SHA-256 or better.",
    "reference": "The provider's signature is about something else.",
    "transforms": "The provider's signature leaves open what it is about.",
    "bad_signature": "The provider's signature does not fit its keys. Were they changed?",
    # --- what it says
    "wrong_issuer": "The answer comes from another provider.",
    "wrong_destination": "The answer was meant for another address.",
    "wrong_recipient": "The assertion was meant for another address.",
    "wrong_audience": "The assertion was meant for somebody else.",
    "in_response_to": "The answer belongs to another sign-in.",
    "not_bearer": "The provider did not confirm the subject in the one way that is accepted.",
    "conditions": "The assertion's conditions are missing or not understood.",
    "time": "The assertion holds a time that cannot be read.",
    "not_yet_valid": "The assertion is not valid yet. Do the clocks agree?",
    "expired": "The assertion has expired. Sign in again; if it stays so, compare the clocks.",
    "statement": "The assertion must say exactly once how you signed in.",
    "session_over": "Your session at the provider is over.",
    "too_old": "The provider did not ask you to prove again who you are.",
    "replayed": "This answer was used before.",
    # --- who it is about
    "no_subject": "The assertion does not say who you are.",
    "subject_unclear": "The assertion does not say clearly who you are.",
    "subject_transient": "The provider sends a name that changes each time. A lasting one is needed.",
    "subject_unstable": "The provider does not promise that its name for you stays yours.",
    "too_many_groups": "You are in more groups than are looked at.",
    "groups_left_out": "The provider left your groups out because there were too many.",
    "unknown_person": "The provider knows you, but nobody has let you in here.",
    "inactive": "Your account here is switched off.",
    "locked": "Your account here is locked. Ask a platform admin.",
    "not_a_person": "This name belongs to a program.",
    "other_person": "You confirmed as somebody else than you are signed in as. Nothing was done.",
    "may_not": "You may not come in. Ask a platform admin.",
    # --- the second reader
    "second_reader": "The provider's answer is not valid SAML.",
}


class SamlRefused(Exception):
    """Nobody signs in on this. The code is safe to log and to count."""

    def __init__(self, code: str) -> None:
        assert code in REASONS, code  # noqa: S101  # a new code needs words
        super().__init__(code)
        self.code = code

    @property
    def words(self) -> str:
        return REASONS[self.code]
