"""HIPAA Safe Harbor: the 18 identifiers of 45 CFR 164.514(b)(2)(i), one data class or more for each."""

from __future__ import annotations

from policies.engine.types import DataClass, Level

from .template import (
    Template,
    date_of_birth,
    email,
    ip_address,
    keys,
    library,
    named_person,
    pattern,
    phone,
    street_address,
)

_PHI = frozenset({"hipaa", "phi"})
_DATE = r"\b(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}[/.][0-9]{1,2}[/.][0-9]{2,4})\b"
_NUMBER = r"\b[A-Z]{0,4}-?[0-9][0-9A-Z-]{4,18}\b"

TEMPLATE = Template(
    slug="hipaa",
    title="HIPAA Safe Harbor",
    classes=(
        named_person(*_PHI, level=Level.RESTRICTED, weight=5),  # A
        street_address(*_PHI, level=Level.RESTRICTED, weight=3),  # B
        DataClass(
            slug="ZIP_CODE",
            name="Postal code",
            level=Level.CONFIDENTIAL,
            weight=2,
            tags=_PHI,
            detectors=(
                pattern(r"\b[0-9]{5}(?:-[0-9]{4})?\b"),
                keys("zip", "zip_code", "postal_code", "postcode"),
            ),
            context=("zip", "zip code", "postal code", "postcode"),
            context_needed=True,
            positive=("ZIP 94110", '{"zip_code": 94110}'),
            negative=("94110 units were sold.",),
        ),
        date_of_birth(*_PHI, level=Level.RESTRICTED, weight=3),  # C
        DataClass(
            slug="CARE_DATE",
            name="Date of admission, discharge, service or death",
            level=Level.CONFIDENTIAL,
            weight=2,
            tags=_PHI,
            detectors=(
                pattern(_DATE),
                keys("admission_date", "discharge_date", "date_of_service", "date_of_death", "visit_date"),
            ),
            context=(
                "admitted",
                "admission",
                "discharged",
                "discharge",
                "died",
                "deceased",
                "date of death",
                "date of service",
                "visit",
                "seen on",
            ),
            context_needed=True,
            positive=("admitted on 2031-04-05", "Discharge date: 4/9/2031"),
            negative=("The form was last changed 2031-04-05.",),
        ),
        DataClass(
            slug="AGE_OVER_89",
            name="Age over 89",
            level=Level.CONFIDENTIAL,
            weight=2,
            tags=_PHI,
            detectors=(
                pattern(r"\b(?:9[0-9]|1[01][0-9])[ -]years?[ -]old\b", any_case=True),
                pattern(r"\bage[d:]? ?(?:9[0-9]|1[01][0-9])\b", any_case=True),
            ),
            positive=("a 94-year-old man", "Age: 101"),
            negative=("a 64-year-old man", "The 95 bus is late."),
        ),
        phone(*_PHI, weight=3),  # D
        DataClass(
            slug="FAX",
            name="Fax number",
            level=Level.CONFIDENTIAL,
            weight=3,
            tags=_PHI,
            detectors=(pattern(r"[+(]?\b[0-9][0-9 ().-]{6,18}[0-9]\b"), keys("fax", "fax_number")),
            context=("fax", "telefax", "facsimile"),
            context_needed=True,
            positive=("Fax: 202-555-0199",),
            negative=("Invoice 2025550199.",),
        ),  # E
        email(*_PHI, weight=3),  # F
        DataClass(
            slug="US_SSN",
            name="Social security number",
            level=Level.RESTRICTED,
            weight=10,
            tags=_PHI,
            detectors=(*library("US_SSN"), keys("ssn", "social_security_number")),
            positive=("ssn 123-45-6789", '{"ssn": 123456789}'),
            negative=("order 123456789",),
        ),  # G
        DataClass(
            slug="MRN",
            name="Medical record number",
            level=Level.RESTRICTED,
            weight=10,
            tags=_PHI,
            detectors=(
                pattern(r"\bMRN[ :#-]{0,3}[0-9]{5,12}\b", any_case=True),
                keys("mrn", "medical_record_number", "chart_number"),
            ),
            positive=("MRN: 00412345", '{"medical_record_number": "00412345"}'),
            negative=("The MRN is missing.",),
        ),  # H
        DataClass(
            slug="HEALTH_PLAN_ID",
            name="Health plan beneficiary number",
            level=Level.RESTRICTED,
            weight=8,
            tags=_PHI,
            detectors=(
                pattern(_NUMBER),
                keys("member_id", "beneficiary_id", "policy_number", "health_plan_id"),
            ),
            context=("member id", "beneficiary", "health plan", "medicare", "medicaid", "insurance id"),
            context_needed=True,
            positive=("Member ID: XYZ-123456789", "Medicare no. 1EG4-TE5-MK72"),
            negative=("Part XYZ-123456789 is out of stock.",),
        ),  # I
        DataClass(
            slug="ACCOUNT_NUMBER",
            name="Account number",
            level=Level.CONFIDENTIAL,
            weight=5,
            tags=_PHI,
            detectors=(pattern(r"\b[0-9][0-9-]{4,18}[0-9]\b"), keys("account_number", "account_no", "acct")),
            context=("account", "acct", "account number", "account no"),
            context_needed=True,
            positive=("Account no. 0012-345678",),
            negative=("The part has number 0012-345678.",),
        ),  # J
        DataClass(
            slug="LICENSE_NUMBER",
            name="Certificate or license number",
            level=Level.CONFIDENTIAL,
            weight=5,
            tags=_PHI,
            detectors=(
                pattern(_NUMBER),
                keys("license_number", "licence_number", "drivers_license", "dea_number"),
            ),
            context=("license", "licence", "driver's license", "certificate", "dea", "npi"),
            context_needed=True,
            positive=("driver's license D1234567", '{"license_number": "D1234567"}'),
            negative=("Box D1234567 has arrived.",),
        ),  # K
        DataClass(
            slug="VEHICLE_ID",
            name="Vehicle identifier or license plate",
            level=Level.CONFIDENTIAL,
            weight=4,
            tags=_PHI,
            detectors=(
                pattern(r"\b(?:[A-HJ-NPR-Z0-9]{17}|[A-Z0-9]{2,4}[- ]?[A-Z0-9]{2,4})\b"),
                keys("vin", "license_plate", "plate"),
            ),
            context=("vin", "license plate", "licence plate", "plate number"),
            context_needed=True,
            positive=("VIN 1HGCM82633A004352", "license plate 7ABC123"),
            negative=("Model 7ABC123 is new.",),
        ),  # L
        DataClass(
            slug="DEVICE_ID",
            name="Device identifier or serial number",
            level=Level.CONFIDENTIAL,
            weight=4,
            tags=_PHI,
            detectors=(pattern(_NUMBER), keys("serial_number", "device_id", "udi", "imei")),
            context=("serial", "serial number", "serial no", "device id", "udi", "imei", "pacemaker"),
            context_needed=True,
            positive=("pacemaker serial no. SN-4410023",),
            negative=("Gate SN-4410023 is closed.",),
        ),  # M
        DataClass(
            slug="URL",
            name="Web address",
            level=Level.INTERNAL,
            tags=_PHI,
            detectors=(pattern(r"\bhttps?://[A-Za-z0-9][A-Za-z0-9._~:/?#@!$&+,;=%-]+", max_len=400),),
            positive=("see https://clinic.example.com/p/412",),
            negative=("the http protocol",),
        ),  # N
        ip_address(*_PHI, level=Level.CONFIDENTIAL, weight=2),  # O
        DataClass(
            slug="BIOMETRIC",
            name="Biometric identifier",
            level=Level.RESTRICTED,
            weight=10,
            tags=_PHI,
            detectors=(keys("fingerprint", "voiceprint", "retina_scan", "iris_scan", "face_template"),),
            positive=('{"voiceprint": "9f8e7d"}',),
            negative=("The fingerprint was smudged.",),
        ),  # P
        DataClass(
            slug="PHOTO",
            name="Full-face photograph",
            level=Level.RESTRICTED,
            weight=8,
            tags=_PHI,
            detectors=(keys("photo", "face_photo", "portrait", "headshot", "photo_url"),),
            positive=('{"portrait": "p-77.jpg"}',),
            negative=("Please send a photo.",),
        ),  # Q
        DataClass(
            slug="OTHER_ID",
            name="Any other unique identifying number",
            level=Level.CONFIDENTIAL,
            weight=3,
            tags=_PHI,
            detectors=(
                pattern(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", any_case=True),
                keys("patient_id", "person_id", "study_id", "encounter_id"),
            ),
            positive=("8f14e45f-ceea-467f-a83c-0123456789ab", '{"patient_id": 412}'),
            negative=("patient 412 is next",),
        ),  # R
    ),
)
