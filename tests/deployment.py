"""`manage.py check --deploy` under the environment of a real deployment: no error, no warning."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment(data: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": secrets.token_urlsafe(48),
        "MASTER_KEYS": "first:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "ALLOWED_HOSTS": "postern.example.org",
        "CSRF_TRUSTED_ORIGINS": "https://postern.example.org",
        "TRUST_X_FORWARDED_PROTO": "1",
        "TRUSTED_PROXIES": "10.0.0.7",
        "PUBLIC_URL": "https://postern.example.org",
        "OIDC_ISSUER": "https://sso.example.org",
        "OIDC_CLIENT_ID": "postern",
        "HSTS_INCLUDE_SUBDOMAINS": "1",
        "HSTS_PRELOAD": "1",
        "AUDIT_ANCHORS": "https://log.example.org/postern",
        "DATA_DIR": data,
    }


def main() -> int:
    with tempfile.TemporaryDirectory() as data:
        argv = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
        return subprocess.run(argv, cwd=ROOT, env=environment(data), check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
