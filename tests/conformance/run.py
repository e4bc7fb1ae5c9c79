"""Runs hub_probe.py with each client against `hubkit hub serve`, and prints the README's table.

python -m tests.conformance.run [--probe PATH] [--client 2.4.0] [--log FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubkit.hub.server.embedded import spawn_hub
from tests.conformance.environments import CLIENTS, python_of
from tests.conformance.stand_in import StandIn

OPERATIONS = 49
USER, TOKEN, OTHER = "probe", "hf_conformance_owner", "hf_conformance_other"
USERS = {USER: {"token": TOKEN}, "other": {"token": OTHER}}
# Through the proxy that answers for the address these clients have built in: see stand_in.py.
WITH_STAND_IN = ("0.36.2", "1.33.0")


@dataclass(frozen=True)
class Mode:
    """How a client and the server move files."""

    name: str
    environment: Mapping[str, str]
    prefer_xet: bool = False


MODES = (
    Mode("hf_xet on", {}),
    Mode("hf_xet off", {"HF_HUB_DISABLE_XET": "1"}),
    # Clients from 1.33 on keep what came by Xet in a store of all repositories, under its Xet hash;
    # one operation of the probe looks for a file that is called by its SHA-256.
    Mode("Xet both ways", {"HF_HUB_DISABLE_SHARED_BLOBS": "1"}, prefer_xet=True),
)


@dataclass(frozen=True)
class Result:
    """What a probe printed."""

    passed: int
    failed: tuple[str, ...]
    output: str


def probe_path() -> Path:
    """The probe: `$HUB_PROBE`, else in `shared/conformance` beside the checkout."""
    given = os.environ.get("HUB_PROBE")
    beside = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "hub_probe.py"
    return Path(given) if given else beside


def run_probe(
    client: str, mode: Mode, folder: Path, *, stand_in: bool = False, probe: Path | None = None
) -> Result:
    """The probe with one client against a new server in a process of its own below `folder`."""
    users = folder / "users.json"
    users.write_text(json.dumps(USERS), encoding="utf-8")
    options = ["--prefer-xet"] if mode.prefer_xet else []
    with spawn_hub(folder / "hub", users=users, bare_urls=False, options=options) as hub:
        kept = {k: v for k, v in os.environ.items() if not k.lower().startswith(("hf_", "http"))}
        environment = {
            **{k: v for k, v in kept.items() if k.lower() not in ("all_proxy", "no_proxy")},
            "HF_ENDPOINT": hub.endpoint,
            "PROBE_USER": USER,
            "PROBE_TOKEN": TOKEN,
            "PROBE_OTHER": OTHER,
            "HF_XET_LOG_DEST": str(folder / "xet.log"),
            **mode.environment,
        }
        command = [str(python_of(client)), str(probe or probe_path())]
        if not stand_in:
            return _result(command, environment)
        with StandIn(hub.endpoint, folder) as proxy:
            return _result(command, {**environment, **proxy.environment})


def _result(command: Sequence[str], environment: Mapping[str, str]) -> Result:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    output = done.stdout + done.stderr
    total = re.search(rf"^TOTAL (\d+)/{OPERATIONS}$", done.stdout, re.M)
    failed = re.findall(r"^(.+?) +FAIL ", done.stdout, re.M)
    return Result(int(total[1]) if total else 0, tuple(failed), output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if any operation fails that a proxy does not cure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probe", type=Path, help="hub_probe.py")
    parser.add_argument("--client", choices=CLIENTS, action="append", help="only this one")
    parser.add_argument("--log", type=Path, help="folder for what the probes print")
    chosen = parser.parse_args(arguments)
    write, worst = sys.stdout.write, OPERATIONS
    write("| huggingface_hub | " + " | ".join(mode.name for mode in MODES) + " |\n")
    write("|---|" + "---|" * len(MODES) + "\n")
    for client in chosen.client or CLIENTS:
        for stand_in in (False, True) if client in WITH_STAND_IN else (False,):
            cells = []
            for mode in MODES:
                with tempfile.TemporaryDirectory(prefix="probe-") as folder:
                    result = run_probe(
                        client, mode, Path(folder), stand_in=stand_in, probe=chosen.probe
                    )
                if chosen.log is not None:
                    chosen.log.mkdir(parents=True, exist_ok=True)
                    name = f"{client}-{mode.name}{'-proxy' if stand_in else ''}.txt"
                    (chosen.log / name).write_text(result.output, encoding="utf-8")
                cells.append(f"{result.passed}")
                if stand_in or client not in WITH_STAND_IN:
                    worst = min(worst, result.passed)
            name = f"{client}, huggingface.co led to the server" if stand_in else client
            write(f"| {name} | " + " | ".join(cells) + " |\n")
            sys.stdout.flush()
    return 0 if worst == OPERATIONS else 1


if __name__ == "__main__":
    sys.exit(main())
