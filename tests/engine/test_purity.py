"""The engine loads no framework and no network, so that every caller can trust and reuse it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import importlib, pkgutil, sys
import policies.engine, policies.library
for package in (policies.engine, policies.library):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
bad = {"django", "httpx", "aiohttp", "asyncio", "socket", "ssl", "random", "requests"} & set(sys.modules)
print(sorted(bad))
"""


def test_a_clean_interpreter_loads_the_engine_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
