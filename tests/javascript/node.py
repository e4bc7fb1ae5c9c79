"""Node.js with transformers.js, at the versions of package-lock.json: what runs a card's program.

Nothing here is skipped: where Node.js is missing the test fails, and says what to install.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OLDEST = 20
_MANIFEST = ("package.json", "package-lock.json")
_NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def run(
    program: str, folder: Path, *, hub: str | None = None, hf_endpoint: str | None = None
) -> list[object]:
    """What a program of a card prints, a value for each argument of console.log, with nothing
    cached before. `hub`: where it finds models, though the program does not say so; `hf_endpoint`:
    HF_ENDPOINT, for programs that read it."""
    folder.mkdir(parents=True, exist_ok=True)
    cache = Path(tempfile.mkdtemp(dir=folder, prefix="cache-"))
    script = _beside_packages(folder) / "card.mjs"
    script.write_text(program, encoding="utf-8")
    preload = script.with_name("preload.mjs")
    shutil.copyfile(HERE / preload.name, preload)
    done = _node(
        "--import",
        preload.as_uri(),
        str(script),
        HUBKIT_TEST_CACHE=str(cache),
        HUBKIT_TEST_HUB=hub or "",
        HF_ENDPOINT=hf_endpoint or "",
    )
    return [json.loads(line) for line in done.splitlines()]


def run_tool(name: str, folder: Path, *arguments: str) -> list[object]:
    """What a program of this folder prints, a JSON value a line."""
    script = _beside_packages(folder) / name
    shutil.copyfile(HERE / name, script)
    return [json.loads(line) for line in _node(str(script), *arguments).splitlines()]


def check(program: str, folder: Path) -> None:
    """Fails where a program is not JavaScript. It is not run."""
    script = folder / "check.mjs"
    script.write_text(program, encoding="utf-8")
    _node("--check", str(script))


def _beside_packages(folder: Path) -> Path:
    """The folder, from where an import finds the packages."""
    link = folder / "node_modules"
    if not link.is_symlink():
        link.symlink_to(packages(), target_is_directory=True)
    return folder


def _node(*arguments: str, **environment: str) -> str:
    own = ("HF_", "HUBKIT_", "NODE_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    done = subprocess.run(
        [_program("node"), *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def packages() -> Path:
    """The node_modules folder of package-lock.json: installed where the user's caches are, once."""
    _refuse_old_node()
    contents = b"".join((HERE / name).read_bytes() for name in _MANIFEST)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hubkit-tests"
    folder = caches / f"node-{hashlib.sha256(contents).hexdigest()[:16]}"
    caches.mkdir(parents=True, exist_ok=True)
    with (caches / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not folder.is_dir():
            _install(caches, folder)
    return folder / "node_modules"


def _install(caches: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=caches) as made:
        unfinished = Path(made) / "node"
        unfinished.mkdir()
        for name in _MANIFEST:
            shutil.copyfile(HERE / name, unfinished / name)
        done = subprocess.run(
            [_program("npm"), *_NPM[1:]],
            cwd=unfinished,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(
                "npm cannot install what tests/javascript/package-lock.json names:\n"
                f"{done.stderr[-2000:]}\n"
                "It needs the registry that `npm config get registry` names, and 500 MB of disk."
            )
        unfinished.rename(folder)


def _refuse_old_node() -> None:
    said = subprocess.run(
        [_program("node"), "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if int(said.removeprefix("v").split(".")[0]) < OLDEST:
        pytest.fail(f"Node.js is {said}; {_CURE}")


_CURE = (
    f"the programs in JavaScript that cards print are run with Node.js {OLDEST} or newer and npm:"
    " install it from nodejs.org or with your system's packages (`conda install nodejs`,"
    " `brew install node`)"
)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"there is no `{name}`; {_CURE}")
    return found
