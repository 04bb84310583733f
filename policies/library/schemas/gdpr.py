"""GDPR: personal data (tag `gdpr`), special categories (`gdpr-art9`) and criminal records (`gdpr-art10`)."""

from __future__ import annotations

from policies.engine.types import DataClass, Level, TermsDetector

from .template import (
    Template,
    date_of_birth,
    email,
    iban,
    ip_address,
    keys,
    named_person,
    pattern,
    phone,
    street_address,
)

_OWN = frozenset({"gdpr"})
_ART9 = frozenset({"gdpr", "gdpr-art9"})


def _terms(*words: str) -> TermsDetector:
    return TermsDetector(terms=words)


TEMPLATE = Template(
    slug="gdpr",
    title="GDPR",
    classes=(
        named_person(*_OWN),
        email(*_OWN),
        phone(*_OWN),
        street_address(*_OWN),
        date_of_birth(*_OWN),
        iban(*_OWN),
        ip_address(*_OWN, level=Level.CONFIDENTIAL),
        DataClass(
            slug="NATIONAL_ID",
            name="National identification, passport or tax number",
            level=Level.RESTRICTED,
            weight=8,
            tags=_OWN,
            detectors=(
                pattern(r"\b[A-Z]{0,3}[0-9][0-9A-Z./ -]{5,16}[0-9A-Z]\b"),
                keys(
                    "national_id", "passport_number", "tax_id", "steuer_id", "personalausweis", "bsn", "nif"
                ),
            ),
            context=(
                "passport",
                "national id",
                "identity card",
                "tax number",
                "tax id",
                "steuer-id",
                "ausweis",
                "nif",
                "bsn",
                "codice fiscale",
            ),
            context_needed=True,
            positive=("passport C01X00T47", "Steuer-ID 12 345 678 901"),
            negative=("The order has number C01X00T47.",),
        ),
        DataClass(
            slug="LOCATION",
            name="Coordinates of a person or device",
            level=Level.CONFIDENTIAL,
            weight=2,
            tags=_OWN,
            detectors=(
                pattern(r"-?\b[0-9]{1,2}\.[0-9]{4,8}, ?-?[0-9]{1,3}\.[0-9]{4,8}\b"),
                keys("lat", "latitude", "lon", "lng", "longitude", "geo"),
            ),
            positive=("seen at 52.52001, 13.40495", '{"latitude": 52.52}'),
            negative=("The ratio is 52.5, 13.4.",),
        ),
        DataClass(
            slug="ONLINE_ID",
            name="Cookie, device or advertising identifier",
            level=Level.CONFIDENTIAL,
            weight=2,
            tags=_OWN,
            detectors=(
                keys("cookie_id", "device_id", "idfa", "gaid", "advertising_id", "session_id", "user_id"),
            ),
            positive=('{"cookie_id": "c-9911"}',),
            negative=("The device is broken.",),
        ),
        DataClass(
            slug="HEALTH",
            name="Health data",
            level=Level.RESTRICTED,
            weight=8,
            tags=_ART9,
            detectors=(
                _terms(
                    "diabetes",
                    "cancer",
                    "HIV",
                    "depression",
                    "asthma",
                    "epilepsy",
                    "pregnant",
                    "chemotherapy",
                ),
                keys("diagnosis", "icd10", "medication", "symptoms", "allergies", "blood_type"),
            ),
            context=(
                "patient",
                "diagnosed",
                "diagnosis",
                "suffers from",
                "treated for",
                "she is",
                "he is",
                "I have",
            ),
            context_needed=True,
            positive=("She was diagnosed with epilepsy.", '{"medication": "L-Thyroxin"}'),
            negative=("The cancer charity runs a race.",),
        ),
        DataClass(
            slug="ETHNICITY",
            name="Racial or ethnic origin",
            level=Level.RESTRICTED,
            weight=8,
            tags=_ART9,
            detectors=(keys("ethnicity", "race", "ethnic_origin"),),
            positive=('{"ethnic_origin": "Roma"}',),
            negative=("The race starts at ten.",),
        ),
        DataClass(
            slug="POLITICS",
            name="Political opinion",
            level=Level.RESTRICTED,
            weight=8,
            tags=_ART9,
            detectors=(
                _terms("socialist", "conservative", "liberal", "communist", "green party", "social democrat"),
                keys("political_party", "political_opinion", "party_membership"),
            ),
            context=("member of", "votes", "voted", "supporter of", "party", "political"),
            context_needed=True,
            positive=("He voted Conservative.", '{"political_party": "Greens"}'),
            negative=("a conservative estimate",),
        ),
        DataClass(
            slug="RELIGION",
            name="Religious or philosophical belief",
            level=Level.RESTRICTED,
            weight=8,
            tags=_ART9,
            detectors=(
                _terms("Catholic", "Protestant", "Muslim", "Jewish", "Hindu", "Buddhist", "atheist", "Sikh"),
                keys("religion", "faith", "denomination", "konfession"),
            ),
            context=("religion", "faith", "denomination", "Konfession", "is a", "practising", "believes"),
            context_needed=True,
            positive=("Religion: Catholic", '{"denomination": "none"}'),
            negative=("the Catholic church in town",),
        ),
        DataClass(
            slug="UNION",
            name="Trade union membership",
            level=Level.RESTRICTED,
            weight=8,
            tags=_ART9,
            detectors=(
                _terms("trade union", "labour union", "union member", "shop steward", "Gewerkschaft"),
                keys("union_membership", "trade_union"),
            ),
            positive=("She is a union member.",),
            negative=("the European Union",),
        ),
        DataClass(
            slug="GENETIC",
            name="Genetic data",
            level=Level.RESTRICTED,
            weight=10,
            tags=_ART9,
            detectors=(
                pattern(r"\brs[0-9]{4,10}\b"),
                pattern(r"\bBRCA[12]\b"),
                keys("genotype", "dna_sequence", "snp"),
            ),
            positive=("carries BRCA1", "rs4680 is AG"),
            negative=("RS232 cable",),
        ),
        DataClass(
            slug="BIOMETRIC",
            name="Biometric data that identifies",
            level=Level.RESTRICTED,
            weight=10,
            tags=_ART9,
            detectors=(keys("fingerprint", "face_template", "voiceprint", "iris_scan"),),
            positive=('{"face_template": "a1b2"}',),
            negative=("a fingerprint on the glass",),
        ),
        DataClass(
            slug="SEX_LIFE",
            name="Sex life or sexual orientation",
            level=Level.RESTRICTED,
            weight=10,
            tags=_ART9,
            detectors=(
                _terms("homosexual", "heterosexual", "bisexual", "lesbian", "gay"),
                keys("sexual_orientation", "orientation"),
            ),
            positive=("He told me that he is gay.", '{"sexual_orientation": "hetero"}'),
            negative=("The bar opens at nine.",),
        ),
        DataClass(
            slug="CRIMINAL_RECORD",
            name="Criminal convictions and offences",
            level=Level.RESTRICTED,
            weight=8,
            tags=frozenset({"gdpr", "gdpr-art10"}),
            detectors=(
                _terms(
                    "convicted of", "criminal record", "on probation", "previous conviction", "vorbestraft"
                ),
                keys("criminal_record", "convictions"),
            ),
            positive=("He was convicted of fraud.",),
            negative=("I am convinced of it.",),
        ),
    ),
)
