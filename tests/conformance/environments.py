"""Environments with the clients of the conformance tests: one each, exactly pinned, made on demand.

    python -m tests.conformance.environments

They are outside the repository, in the user's cache, and made again when their pins change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
CLIENTS = ("0.36.2", "1.33.0", "2.4.0")
"""Versions of huggingface_hub: what hubkit uses, the newest 1.x and the newest 2.x."""


def folder() -> Path:
    """Where the environments are."""
    base = os.environ.get("XDG_CACHE_HOME")
    cache = Path(base) if base else Path.home() / ".cache"
    return cache / "hubkit-tests" / "clients"


def python_of(client: str) -> Path:
    """The Python of a client's environment, which is made if it is not there."""
    pins = (REQUIREMENTS / f"{client}.txt").read_bytes()
    number = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256(pins + sys.executable.encode()).hexdigest()[:12]
    place = folder() / f"{client}-python{number}-{key}"
    python = place / "bin" / "python"
    if not (place / "ready").is_file():
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        pinned = ["--no-deps", "--requirement", str(REQUIREMENTS / f"{client}.txt")]
        # Only errors: a machine's own package sources may be worth a warning, but not here.
        quiet = ["-qq", "--disable-pip-version-check"]
        subprocess.run([str(python), "-m", "pip", "install", *quiet, *pinned], check=True)
        (place / "ready").touch()
    return python


if __name__ == "__main__":
    for name in CLIENTS:
        sys.stdout.write(f"{name}\t{python_of(name)}\n")
