"""Recognisers for credentials: keys and tokens of vendors by their shape, others by their label."""

from __future__ import annotations

from policies.engine.types import Recogniser

_WORD = "[A-Za-z0-9_-]"
_ALNUM = "[A-Za-z0-9]"
_SEPARATOR = r"""(?: string)?\\?["'\])]{0,2}(?:[ 	]{0,6}(?:[:?.|]{0,3}=>?|:)|[,>])[ 	]{0,3}"""


def _keys(
    name: str,
    title: str,
    *patterns: str,
    examples: tuple[str, ...],
    negative: tuple[str, ...] = (),
    validator: str = "varied",
) -> Recogniser:
    """Tokens that a vendor's prefix gives away; a short prefix needs the `token` validator too."""
    return Recogniser(
        name=name,
        title=title,
        patterns=patterns,
        max_len=512,
        validator=validator,
        confidence=95,
        positive=tuple((f"use {example} here", example) for example in examples),
        negative=negative,
    )


OPENAI_KEY = _keys(
    "OPENAI_KEY",
    "OpenAI API key",
    rf"\bsk-{_WORD}{{20,}}\b",
    validator="openai",
    examples=("sk-proj-abcdefghijklmnopqrstuvwxyz012345", "sk-" + "a1B2c3D4" * 6),
    negative=("sk-short", "the sk-learn-compatible-estimator-interface"),
)
ANTHROPIC_KEY = _keys(
    "ANTHROPIC_KEY",
    "Anthropic API key",
    rf"\bsk-ant-{_WORD}{{20,}}\b",
    examples=("sk-ant-api03-" + "a1B2c3D4" * 11,),
)
AWS_ACCESS_KEY = _keys(
    "AWS_ACCESS_KEY",
    "AWS access key id",
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    validator="token",
    examples=("AKIAIOSFODNN7EXAMPLE",),
    negative=("AKIAIOSFODNN7", "ASIAPACIFICREGIONALHQ"),
)
GITHUB_TOKEN = _keys(
    "GITHUB_TOKEN",
    "GitHub token",
    rf"\bgh[oprsu]_{_ALNUM}{{36,}}\b",
    r"\bgithub_pat_[A-Za-z0-9_]{22,}\b",
    examples=("ghp_" + "a1B2c3D4e" * 4, "github_pat_" + "11ABCDE0Y0" * 8),
)
GITLAB_TOKEN = _keys(
    "GITLAB_TOKEN",
    "GitLab token",
    rf"\bgl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|rtr|soat)-{_WORD}{{20,}}\b",
    rf"\bGR1348941{_WORD}{{20,}}\b",
    examples=("glpat-abcDEF123456ghiJKL78",),
)
SLACK_TOKEN = _keys(
    "SLACK_TOKEN",
    "Slack token or webhook",
    r"\bxox[abeoprs](?:\.xox[bp])?-[0-9][A-Za-z0-9-]{10,}\b",
    r"\bxapp-[0-9]-[A-Za-z0-9-]{10,}\b",
    r"\bhooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/+]{40,}\b",
    examples=(
        "xoxb-123456789012-abcdefGHIJKL",
        "hooks.slack.com/services/T00000000/B00000000/" + "a1B2c3D4" * 3,
    ),
)
STRIPE_KEY = _keys(
    "STRIPE_KEY",
    "Stripe API key",
    rf"\b[rs]k_(?:live|prod|test)_{_ALNUM}{{10,}}\b",
    rf"\bwhsec_{_ALNUM}{{24,}}\b",
    examples=("sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "rk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"),
)
GOOGLE_KEY = _keys(
    "GOOGLE_KEY",
    "Google API key or OAuth secret",
    rf"\bAIza{_WORD}{{35,}}\b",
    rf"\bGOCSPX-{_WORD}{{28,}}\b",
    r"\bya29\.[A-Za-z0-9_-]{20,}\b",
    examples=("AIza" + "SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe",),
)
TWILIO_KEY = _keys("TWILIO_KEY", "Twilio API key", r"\bSK[0-9a-f]{32}\b", examples=("SK" + "0a1b2c3d" * 4,))
SENDGRID_KEY = _keys(
    "SENDGRID_KEY",
    "SendGrid API key",
    rf"\bSG\.{_WORD}{{16,}}\.{_WORD}{{16,}}\b",
    examples=("SG." + "a1B2c3D4e5F" * 2 + "." + "a1B2c3D4e5F" * 4,),
)
REGISTRY_TOKEN = _keys(
    "REGISTRY_TOKEN",
    "Package registry token (npm, PyPI, RubyGems)",
    rf"\bnpm_{_ALNUM}{{36}}\b",
    rf"\bpypi-{_WORD}{{40,}}\b",
    r"\brubygems_[a-f0-9]{48}\b",
    examples=("npm_" + "a1B2c3D4e5F6" * 3, "pypi-AgEIcHlwaS5vcmc" + "a1B2c3D4e5" * 6),
)
MODEL_HUB_TOKEN = _keys(
    "MODEL_HUB_TOKEN",
    "Token of a model provider (Hugging Face, Groq, xAI, Perplexity, Replicate, Databricks)",
    rf"\b(?:hf|api_org)_{_ALNUM}{{30,}}\b",
    rf"\b(?:gsk_|r8_|pplx-|xai-){_ALNUM}{{32,}}\b",
    r"\bdapi[0-9a-f]{32}(?:-[0-9])?\b",
    examples=("hf_" + "aB1cD2eF3gH4" * 3, "dapi" + "0a1b2c3d" * 4),
)
CLOUD_TOKEN = _keys(
    "CLOUD_TOKEN",
    "Token of a cloud or developer service, by its prefix",
    r"\bdo[opr]_v1_[0-9a-f]{64}\b",
    rf"\bhv[bsr]\.{_WORD}{{24,}}\b",
    rf"\b[A-Za-z0-9]{{14}}\.atlasv1\.{_WORD}{{60,}}",
    rf"\bATATT3{_WORD}{{40,}}",
    r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
    rf"\blin_(?:api|oauth)_{_ALNUM}{{32,}}\b",
    r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b",
    rf"\bNR(?:AK|JS|RA)-{_ALNUM}{{19,}}\b",
    rf"\bgl(?:c|sa)_{_WORD}{{32,}}\b",
    rf"\bsntry[su]_{_WORD}{{40,}}",
    r"\bpscale_(?:tkn|oauth|pw)_[A-Za-z0-9_.-]{32,}\b",
    rf"\bdt0c01\.{_ALNUM}{{24}}\.{_ALNUM}{{64}}\b",
    r"\bdp\.(?:pt|st|ct|scim|audit)\.[A-Za-z0-9._-]{40,}\b",
    r"\bpul-[a-f0-9]{40}\b",
    rf"\b(?:xkeysib|xsmtpsib)-[a-f0-9]{{64}}-{_ALNUM}{{16}}\b",
    rf"\btfp_{_WORD}{{40,}}\b",
    rf"\bpn[bu]_{_ALNUM}{{36}}\b",
    rf"\bEZ[AT]K{_ALNUM}{{54}}\b",
    r"\bshippo_(?:live|test)_[a-fA-F0-9]{40}\b",
    rf"\bduffel_(?:test|live)_{_WORD}{{43}}",
    rf"\bico-{_ALNUM}{{32}}\b",
    rf"\btk-us-{_WORD}{{48}}\b",
    rf"\bsm_(?:aat|pat|sat)_{_ALNUM}{{16,}}\b",
    rf"\bpat\.{_WORD}{{22}}\.[a-f0-9]{{24}}\.{_ALNUM}{{20}}\b",
    r"\bFLWSECK_TEST-[a-h0-9]{12,}(?:-X)?\b",
    r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b",
    r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b",
    rf"\bLTAI{_ALNUM}{{20}}\b",
    rf"\bfigd_{_WORD}{{40,}}\b",
    rf"\bntn_{_ALNUM}{{40,}}\b",
    rf"\bEAA[A-Z]{_ALNUM}{{40,}}\b",
    r"\bv1\.0-[a-f0-9]{24}-[a-f0-9]{146}\b",
    examples=("dop_v1_" + "0a1b2c3d" * 8, "hvs." + "CAESIA1b2C3d4E5f6G7h8I9j0"),
)
AWS_SECRET_KEY = Recogniser(
    name="AWS_SECRET_KEY",
    title="AWS secret access key, by its label",
    patterns=(rf"aws[_ .-]?secret[_ .-]?(?:access[_ .-]?)?key{_SEPARATOR}" + r"""\\?["']?""",),
    ignore_case=True,
    max_len=48,
    validator="aws_secret",
    until=r"[^A-Za-z0-9/+=]",
    with_opener=False,
    positive=(
        (
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
    ),
    negative=("aws_secret_access_key = changeme",),
)
AZURE_STORAGE_KEY = Recogniser(
    name="AZURE_STORAGE_KEY",
    title="Azure storage or service bus key in a connection string",
    patterns=(r"\b(?:AccountKey|SharedAccessKey)=",),
    max_len=20,
    validator="long_base64",
    until=r"[^A-Za-z0-9/+=]",
    with_opener=False,
    positive=(("AccountName=a;AccountKey=" + "aB3/" * 21 + "aA==;", "aB3/" * 21 + "aA=="),),
    negative=("AccountKey=short",),
)
_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
JWT = Recogniser(
    name="JWT",
    title="JSON web token",
    patterns=(rf"\beyJ{_WORD}{{8,}}\.eyJ{_WORD}{{8,}}\.(?:{_WORD}*\b)?",),
    max_len=4096,
    confidence=95,
    positive=((f"Bearer {_JWT}", _JWT), (f"jwt={_JWT}.", _JWT)),
    negative=("eyJhbGciOiJIUzI1NiJ9", "eyJ.eyJ.x"),
)
PRIVATE_KEY = Recogniser(
    name="PRIVATE_KEY",
    title="Private key block (PEM, OpenSSH, PGP)",
    patterns=(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----",),
    max_len=70,
    confidence=99,
    labelled=99,
    until=r"-----END [A-Z0-9 ]{0,60}-----",
    until_len=80,
    positive=(
        (
            "x -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- y",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "-----BEGIN PRIVATE KEY-----\nMIIE"),
    ),
    negative=("-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",),
)

_LABEL = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|token|credential|"
    r"(?:api|access|auth|account|private|license)[_ -]?key)"
    r"(?:[_-]?(?:value|key|token|string|text|secret|[0-9]{1,3}))?s?"
)


def _labelled(ending: str, until: str, validator: str) -> Recogniser:
    """A value whose label says that it is secret."""
    return Recogniser(
        name="LABELLED_SECRET",
        title="",
        patterns=(_LABEL + _SEPARATOR + ending,),
        ignore_case=True,
        max_len=48,
        validator=validator,
        confidence=60,
        labelled=80,
        until=until,
        with_opener=False,
    )


LABELLED_SECRET = Recogniser(
    name="LABELLED_SECRET",
    title="Password, key or token announced by a label",
    parts=(
        _labelled("", r"[\s\"'`,;<>\\]", "secret"),
        _labelled(r'\\?"', r'["\\\n]', "quoted_secret"),
        _labelled(r"\\?'", r"['\\\n]", "quoted_secret"),
        _labelled("`", r"[`\n]", "quoted_secret"),
        Recogniser(
            name="LABELLED_SECRET",
            title="",
            patterns=(r"\b(?:Bearer|Basic)\s{1,2}",),
            ignore_case=True,
            max_len=9,
            confidence=70,
            labelled=80,
            validator="bearer",
            until=r"[^A-Za-z0-9._~+/=-]",
            with_opener=False,
        ),
        Recogniser(
            name="LABELLED_SECRET",
            title="",
            patterns=(r"\b[A-Za-z][A-Za-z0-9+.-]{1,14}://[A-Za-z0-9._%+-]{0,30}:",),
            max_len=60,
            confidence=70,
            labelled=80,
            validator="url_password",
            until=r"[@\s/\"'<>?#]",
            with_opener=False,
        ),
    ),
    keys=(
        "password",
        "passwd",
        "passphrase",
        "api_key",
        "secret_key",
        "client_secret",
        "private_key",
        "access_token",
        "refresh_token",
        "auth_token",
    ),
    positive=(
        ("password: hunter2x!", "hunter2x!"),
        ("api_key=a8f5f167f44f4964e6c998dee827110c", "a8f5f167f44f4964e6c998dee827110c"),
        ("password = 'correct horse battery'", "correct horse battery"),
        ('"db_password": "s3cr3t-Value"', "s3cr3t-Value"),
        ("Authorization: Bearer abc123DEF456ghi789", "abc123DEF456ghi789"),
        ("postgres://app:Tr0ub4dor@db:5432/x", "Tr0ub4dor"),
    ),
    negative=(
        "password: required",
        "the password is wrong",
        "max_tokens: 4096",
        "password=${DB_PASSWORD}",
        "token = get_token()",
        "http://example.com:8080/path",
        "secret: <your secret here>",
        "Bearer of bad news",
    ),
)

ALL = (
    OPENAI_KEY,
    ANTHROPIC_KEY,
    AWS_ACCESS_KEY,
    AWS_SECRET_KEY,
    GITHUB_TOKEN,
    GITLAB_TOKEN,
    SLACK_TOKEN,
    STRIPE_KEY,
    GOOGLE_KEY,
    AZURE_STORAGE_KEY,
    TWILIO_KEY,
    SENDGRID_KEY,
    REGISTRY_TOKEN,
    MODEL_HUB_TOKEN,
    CLOUD_TOKEN,
    LABELLED_SECRET,
    JWT,
    PRIVATE_KEY,
)
