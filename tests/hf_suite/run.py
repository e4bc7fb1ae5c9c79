"""Runs huggingface_hub's own test suite against `hubkit hub serve`.

    python -m tests.hf_suite.run 0.36.2
    python -m tests.hf_suite.run 2.4.0 --xet

The suite is taken out of the source distribution and gets an environment of its own, both made on
demand in the user's cache folder; nothing of it is part of this project. See README.md beside this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hubkit.hub.server.embedded import spawn_hub
from tests.conformance.environments import folder
from tests.conformance.stand_in import StandIn

HERE = Path(__file__).parent
STAGING = "https://hub-ci.huggingface.co"
LED = ("0.36",)
"""Clients that check cards at the real Hub's address whatever their endpoint is: for them that
address leads to the server, as in a closed network."""


@dataclass(frozen=True)
class Suite:
    """One release of the client: which of its files concern a Hub, how many of their tests must
    pass, and how many of those speak to the server at all."""

    version: str
    least: int
    least_spoke: int
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """0.36 or 2.x, as the files beside this are called."""
        return "0.36" if self.version.startswith("0.36.") else "2.x"

    @property
    def skips(self) -> Path:
        """What cannot apply to this server, with a reason a line."""
        return HERE / f"skip-{self.name}.txt"

    @property
    def requirements(self) -> Path:
        """The environment, pinned."""
        return HERE / f"requirements-{self.name}.txt"


_FILES = (
    "test_cache_layout",
    "test_commit_api",
    "test_commit_scheduler",
    "test_file_download",
    "test_hf_api",
    "test_hf_file_system",
    "test_hub_mixin",
    "test_lfs",
    "test_repocard",
    "test_snapshot_download",
    "test_xet_upload",
)
SUITES = {
    "0.36.2": Suite("0.36.2", 215, 215, _FILES),
    "2.4.0": Suite("2.4.0", 400, 250, (*_FILES, "test_cli_discussions", "test_copy_files")),
}


@dataclass
class Figures:
    """What became of the tests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    spoke: int = 0
    failed: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    seconds: float = 0.0


def prepare(suite: Suite) -> tuple[Path, Path]:
    """Folder of the unpacked source distribution and Python of its environment, made if missing."""
    wanted = suite.requirements.read_bytes()
    key = hashlib.sha256(wanted + sys.executable.encode()).hexdigest()[:12]
    home = folder().parent / "hf-suite" / f"{suite.version}-{key}"
    source, python = home / f"huggingface_hub-{suite.version}", home / "env" / "bin" / "python"
    if (home / "ready").is_file():
        return source, python
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    venv.create(home / "env", with_pip=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq"]
    pins = ["--no-deps", "--requirement", str(suite.requirements)]
    subprocess.run([*pip, "install", *pins], check=True)
    what = ["--no-deps", "--no-binary", ":all:", f"huggingface_hub=={suite.version}"]
    subprocess.run([*pip, "download", "-d", str(home), *what], check=True)
    with tarfile.open(next(home.glob("*.tar.gz"))) as archive:
        archive.extractall(home, filter="data")
    (home / "ready").touch()
    return source, python


def point_at(source: Path, copy: Path, endpoint: str) -> None:
    """Copy the suite's tests with the server's address in the place of the staging Hub's."""
    shutil.copytree(source / "tests", copy / "tests")
    # The suite's own settings would point the client at the staging Hub again.
    (copy / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (copy / "tests" / "__init__.py").touch()
    shutil.copy(HERE / "suite_conftest.py", copy / "tests" / "conftest.py")
    for path in (copy / "tests").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(STAGING, endpoint), encoding="utf-8")


def users_of(source: Path) -> dict[str, dict[str, object]]:
    """The users that the suite signs in as, read out of its constants."""
    found: dict[str, object] = {}
    exec((source / "tests" / "testing_constants.py").read_text(encoding="utf-8"), found)
    org = {"name": found["ENTERPRISE_ORG"], "private": True}
    enterprise = {"token": found["ENTERPRISE_TOKEN"], "orgs": [org]}
    return {
        str(found["USER"]): {
            "token": found["TOKEN"],
            "fullname": found["FULL_NAME"],
            "orgs": [
                {"name": "valid_org", "fullname": "Dummy Org"},
                {"name": "valid_org_hub", "fullname": "Dummy Hub Org"},
            ],
        },
        str(found["OTHER_USER"]): {"token": found["OTHER_TOKEN"]},
        str(found["ENTERPRISE_USER"]): enterprise,
    }


def run(suite: Suite, files: list[str], more: list[str], *, xet: bool) -> Figures:
    """Serve a fresh root, run the suite's files against it, and answer the figures."""
    source, python = prepare(suite)
    with tempfile.TemporaryDirectory(prefix="hf-suite-") as temporary:
        home = Path(temporary)
        (home / "home").mkdir()
        users, results = home / "users.json", home / "results.jsonl"
        users.write_text(json.dumps(users_of(source)))
        results.touch()
        # As the real Hub: some tests switch hf_xet on themselves and want their files to go by it.
        options = ["--prefer-xet"]
        with (
            spawn_hub(home / "root", users=users, bare_urls=False, options=options) as hub,
            StandIn(hub.endpoint, home) as proxy,
        ):
            point_at(source, home / "suite", hub.endpoint)
            kept = ("PATH", "LANG", "LC_ALL", "TMPDIR")
            environment = {key: os.environ[key] for key in kept if key in os.environ} | {
                "HOME": str(home / "home"),
                "PYTHONPATH": str(home / "suite"),
                "HF_ENDPOINT": hub.endpoint,
                "HF_HUB_DISABLE_XET": "0" if xet else "1",
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "DISABLE_SYMLINKS_IN_WINDOWS_TESTS": "1",
                "HUBKIT_SUITE_ENDPOINT": hub.endpoint,
                "HUBKIT_SUITE_RESULTS": str(results),
                "HUBKIT_SUITE_SKIPS": str(suite.skips),
            }
            if suite.name in LED:
                # The suite's own address that never answers must not answer here either.
                environment |= {**proxy.environment, "NO_PROXY": "10.255.255.1"}
            paths = [f"tests/{name.removesuffix('.py')}.py" for name in files]
            options = ["-q", "-W", "error::FutureWarning", "--timeout", "180"]
            options += ["--tb", "short", "-r", "fE", "--no-header"]
            command = [str(python), "-m", "pytest", *options, *more, *paths]
            subprocess.run(command, cwd=home / "suite", env=environment, check=False)
        return _figures(results, hub.endpoint)


def _figures(results: Path, endpoint: str) -> Figures:
    found = Figures()
    host = endpoint.partition("://")[2]
    for line in results.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        if "stale" in item:
            found.stale += item["stale"]
            continue
        outcome = item["outcome"]
        if outcome == "skipped":
            outcome = "listed" if item["reason"].startswith("hubkit: ") else "by themselves"
        found.outcomes[outcome] += 1
        found.seconds += item["seconds"]
        if outcome == "passed" and host in item["asked"]:
            found.spoke += 1
        if outcome in ("failed", "error"):
            found.failed.append(item["test"])
    return found


def main() -> int:
    """Run one suite; 0 if nothing failed, the list has no idle line, and enough passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("version", choices=sorted(SUITES))
    parser.add_argument("--xet", action="store_true", help="leave hf_xet switched on")
    parser.add_argument("--file", action="append", help="only this file, e.g. test_hf_api")
    options, more = parser.parse_known_args()
    suite = SUITES[options.version]
    found = run(suite, options.file or list(suite.files), more, xet=options.xet)
    counts = found.outcomes
    said = [
        *(f"failed: {test}" for test in found.failed),
        *(f"the skip list names no test: {pattern}" for pattern in found.stale),
        f"huggingface_hub {suite.version}, hf_xet {'on' if options.xet else 'off'}: "
        f"{counts['passed']} passed ({found.spoke} of them spoke to the server), "
        f"{len(found.failed)} failed, {counts['listed']} in the skip list, "
        f"{counts['by themselves']} skipped by the suite, {found.seconds:.0f} s",
    ]
    sys.stdout.write("\n".join(said) + "\n")
    whole = options.file is not None or counts["passed"] >= suite.least
    return 0 if whole and not found.failed and not found.stale else 1


if __name__ == "__main__":
    sys.exit(main())
