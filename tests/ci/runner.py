"""A runner of GitHub's workflows for one machine: fresh folders for each job, every `run` block in
a shell of its own, and the few actions that ours use done with git, venv and cp."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.ci.expressions import Expression, Value, condition, expand
from tests.ci.fake_github import REPOSITORY, TOKEN, FakeGitHub

Step = dict[str, object]


@dataclass
class Ran:
    """A job that has ended. `steps`: its steps' ids, or names, with what became of them."""

    result: str = "skipped"
    outputs: dict[str, str] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    log: str = ""


@dataclass
class Machine:
    """What outlives a job: the repository, its secrets, its caches, and what was ever run."""

    repository: Path
    root: Path
    site: Path  # what setup-python's Python finds beside its own
    github: FakeGitHub
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    caches: dict[str, Path] = field(default_factory=dict)
    executed: set[str] = field(default_factory=set)
    runs: int = 0

    def git(self, *args: str) -> str:
        who = ("-c", "user.name=A", "-c", "user.email=a@b.example")
        done = subprocess.run(
            ["git", *who, "-C", str(self.repository), *args], capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def run(self, workflow: str, event: Mapping[str, object], **github: str) -> dict[str, Ran]:
        """Every job of a workflow, in the order of the file."""
        self.runs += 1
        text = self.git("show", f"{github['sha']}:.github/workflows/{workflow}")
        found = yaml.safe_load(text)
        done: dict[str, Ran] = {}
        for name, job in found["jobs"].items():
            folder = self.root / f"run-{self.runs}" / name
            done[name] = _Job(self, found, job, folder, dict(event), github, done).run()
        return done


class _Job:
    def __init__(
        self,
        machine: Machine,
        workflow: Mapping[str, object],
        job: Mapping[str, object],
        folder: Path,
        event: dict[str, object],
        github: Mapping[str, str],
        done: Mapping[str, Ran],
    ) -> None:
        self._machine, self._job, self._folder, self._ran = machine, job, folder, Ran()
        for name in ("workspace", "temp", "home"):
            (folder / name).mkdir(parents=True)
        self._workspace, self._temp = folder / "workspace", folder / "temp"
        self._artifacts = folder.parent / "artifacts"
        (folder / "event.json").write_text(json.dumps(event))
        self._sha = github["sha"]
        self._workflow = str(workflow.get("name", ""))
        self._path: list[str] = []
        self._env: dict[str, str] = {}
        self._workflow_env = dict(workflow.get("env") or {})  # type: ignore[call-overload]
        self._masked = list(machine.secrets.values())
        self._to_save: list[tuple[str, Path]] = []
        self._needs = {
            name: {"result": ran.result, "outputs": dict(ran.outputs)} for name, ran in done.items()
        }
        self._github: dict[str, Value] = {
            **github,
            "event": event,  # type: ignore[dict-item]
            "repository": REPOSITORY,
            "token": TOKEN,
            "workspace": str(self._workspace),
        }
        rights = job.get("permissions") or {}
        assert isinstance(rights, dict)
        self._rights = {right for right, level in rights.items() if level == "write"}

    def run(self) -> Ran:
        contexts = self._contexts({}, {}, {})
        before = [need for need in self._needs.values() if need["result"] != "success"]
        wants = str(self._job.get("if", "success()"))
        needs = not before or not self._job.get("needs")
        if not condition(wants, lambda t: self._evaluate(t, contexts, well=needs), well=needs):
            return self._ran
        self._env = {k: self._text(_scalar(v), contexts) for k, v in self._workflow_env.items()}
        self._machine.github.may = set(self._rights)
        steps = self._job["steps"]
        assert isinstance(steps, list)
        found: dict[str, Value] = {}
        well = self._steps(steps, found, {}, prefix="")
        self._ran.result = "success" if well else "failure"
        outputs = self._job.get("outputs") or {}
        assert isinstance(outputs, dict)
        contexts = self._contexts(found, {}, {})
        self._ran.outputs = {k: self._text(v, contexts) for k, v in outputs.items()}
        if well:
            for key, path in self._to_save:
                target = self._machine.root / "caches" / hashlib.sha256(key.encode()).hexdigest()
                if path.is_dir() and not target.exists():
                    shutil.copytree(path, target, symlinks=True)
                    self._machine.caches[key] = target
        return self._ran

    def _steps(
        self,
        steps: list[Step],
        found: dict[str, Value],
        inputs: Mapping[str, str],
        *,
        prefix: str,
        action: Path | None = None,
    ) -> bool:
        well = True
        for number, step in enumerate(steps):
            name = str(step.get("id") or step.get("name") or f"{number} {step.get('uses', '')}")
            contexts = self._contexts(found, inputs, {"action_path": str(action or "")})
            given = step.get("env") or {}
            assert isinstance(given, dict)
            env = {key: self._text(_scalar(value), contexts) for key, value in given.items()}

            def evaluate(text: str, seen: dict[str, Value] = contexts, ok: bool = well) -> Value:
                return self._evaluate(text, seen, well=ok)

            if not condition(str(step.get("if", "success()")), evaluate, well=well):
                outcome, outputs = "skipped", {}
            elif "run" in step:
                outcome, outputs = self._shell(step, env)
            else:
                outcome, outputs = self._use(step, contexts, prefix + name)
            found[name] = {"outcome": outcome, "outputs": dict(outputs)}
            self._ran.steps[prefix + name] = outcome
            if outcome == "failure" and not step.get("continue-on-error"):
                well = False
        return well

    def _shell(self, step: Step, env: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        names = ("OUTPUT", "ENV", "PATH", "STATE", "STEP_SUMMARY")
        files = {f"GITHUB_{name}": self._folder / f"GITHUB_{name}" for name in names}
        for path in files.values():
            path.write_text("")
        script = self._folder / "step.sh"
        script.write_text(str(step["run"]))
        shell = ["--noprofile", "--norc", "-eo", "pipefail"] if "shell" in step else ["-e"]
        done = subprocess.run(
            ["bash", *shell, str(script)],
            cwd=self._workspace,
            env=self._environment(files) | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=400,
            check=False,
        )
        self._machine.executed.add(str(step["run"]))
        self._ran.log += done.stdout.decode()
        self._ran.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        self._env |= _pairs(files["GITHUB_ENV"])
        self._path[:0] = reversed(files["GITHUB_PATH"].read_text().splitlines())
        return "failure" if done.returncode else "success", _pairs(files["GITHUB_OUTPUT"])

    def _environment(self, files: Mapping[str, Path]) -> dict[str, str]:
        """What GitHub sets, and nothing of the machine that the tests run on."""
        names = (
            "sha",
            "ref",
            "ref_name",
            "ref_type",
            "event_name",
            "head_ref",
            "base_ref",
            "actor",
        )
        own = {f"GITHUB_{name.upper()}": str(self._github.get(name, "")) for name in names}
        if "id-token" in self._rights:
            own["ACTIONS_ID_TOKEN_REQUEST_URL"] = f"{self._machine.github.url}/identity?v=2"
            own["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "the-runner's-secret"
        return {
            "PATH": os.pathsep.join([*self._path, "/usr/local/bin", "/usr/bin", "/bin"]),
            "HOME": str(self._folder / "home"),
            "LANG": "C.UTF-8",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self._workspace),
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_REPOSITORY_OWNER": REPOSITORY.partition("/")[0],
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": self._machine.github.url,
            "GITHUB_GRAPHQL_URL": f"{self._machine.github.url}/graphql",
            "GITHUB_WORKFLOW": self._workflow,
            "GITHUB_JOB": self._folder.name,
            "GITHUB_RUN_ID": "1000",
            "GITHUB_RUN_NUMBER": str(self._machine.runs),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RETENTION_DAYS": "90",
            "GITHUB_ACTION": "__run",
            "GITHUB_EVENT_PATH": str(self._folder / "event.json"),
            "RUNNER_TEMP": str(self._temp),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            "RUNNER_NAME": "one",
            "RUNNER_ENVIRONMENT": "github-hosted",
            "RUNNER_TOOL_CACHE": str(self._folder / "tools"),
            **own,
            **self._machine.environment,
            **self._env,
            **{name: str(path) for name, path in files.items()},
        }

    def _use(self, step: Step, contexts: dict[str, Value], name: str) -> tuple[str, dict[str, str]]:
        given = step.get("with") or {}
        assert isinstance(given, dict)
        values = {key: self._text(_scalar(value), contexts) for key, value in given.items()}
        action = str(step["uses"]).partition("@")[0]
        if action.startswith("$/"):
            return self._composite(action[2:], values, name)
        if action == "actions/setup-python":
            self._setup_python(values)
        elif action == "actions/checkout":
            self._checkout(values)
        elif action == "actions/cache":
            self._cache(values)
        elif action == "actions/upload-artifact":
            source = Path(values["path"])
            if not source.is_dir() or not any(source.iterdir()):
                return "failure", {}
            shutil.copytree(source, self._artifacts / values["name"])
        else:
            assert action == "actions/download-artifact", action
            shutil.copytree(self._artifacts / values["name"], values["path"])
        return "success", {}

    def _composite(
        self, path: str, values: Mapping[str, str], name: str
    ) -> tuple[str, dict[str, str]]:
        """An action of the repository, from the commit and not from the workspace."""
        folder = self._folder / "actions"
        _unpack(self._machine.repository, self._sha, folder)
        found = yaml.safe_load((folder / path / "action.yml").read_text())
        assert values.keys() <= found["inputs"].keys(), values
        inputs = {key: str(one.get("default", "")) for key, one in found["inputs"].items()}
        steps: dict[str, Value] = {}
        well = self._steps(
            found["runs"]["steps"],
            steps,
            inputs | dict(values),
            prefix=f"{name} / ",
            action=folder / path,
        )
        contexts = self._contexts(steps, inputs, {})
        outputs = {k: self._text(one["value"], contexts) for k, one in found["outputs"].items()}
        return "success" if well else "failure", outputs

    def _setup_python(self, values: Mapping[str, str]) -> None:
        folder = self._folder / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "machine.pth").write_text(f"{self._machine.site}\n")
        self._path.insert(0, str(folder / "bin"))

    def _checkout(self, values: Mapping[str, str]) -> None:
        assert values["persist-credentials"] == "false"
        target = self._workspace / values.get("path", ".")
        _unpack(self._machine.repository, values.get("ref") or self._sha, target)
        if only := values.get("sparse-checkout"):
            for path in sorted(target.rglob("*"), reverse=True):
                inside = path.relative_to(target).as_posix()
                if path.is_dir():
                    if not any(path.iterdir()):
                        path.rmdir()
                elif "/" in inside and not inside.startswith(f"{only}/"):
                    path.unlink()

    def _cache(self, values: Mapping[str, str]) -> None:
        path = Path(values["path"].replace("~", str(self._folder / "home")))
        self._to_save.append((values["key"], path))
        keys = [values["key"], *values["restore-keys"].split()]
        for key in keys:
            fitting = [kept for kept in self._machine.caches if kept.startswith(key)]
            if fitting:
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(self._machine.caches[fitting[-1]], path, symlinks=True)
                self._ran.log += f"\nrestored {fitting[-1]} for {key}\n"
                return

    def _contexts(
        self, steps: dict[str, Value], inputs: Mapping[str, str], more: Mapping[str, str]
    ) -> dict[str, Value]:
        return {
            "github": {**self._github, **more},
            "env": dict(self._env),
            "vars": dict(self._machine.variables),
            "secrets": dict(self._machine.secrets),
            "runner": {"os": "Linux", "temp": str(self._temp)},
            "steps": steps,
            "inputs": dict(inputs),
            "needs": self._needs,  # type: ignore[dict-item]
        }

    def _text(self, text: str, contexts: dict[str, Value]) -> str:
        return expand(text, lambda inner: self._evaluate(inner, contexts, well=True))

    def _evaluate(self, text: str, contexts: Mapping[str, Value], *, well: bool) -> Value:
        functions = {
            "success": lambda: well,
            "failure": lambda: not well,
            "cancelled": lambda: False,
            "always": lambda: True,
            "format": lambda form, *args: str(form).format(*args),
            "hashFiles": lambda *patterns: hash_files(self._workspace, patterns),
        }
        return Expression(text, contexts, functions).value()  # type: ignore[arg-type]


def hash_files(folder: Path, patterns: tuple[str, ...]) -> str:
    """As the runner does it: the digest of the files' digests, "" where no file is meant."""
    whole = hashlib.sha256()
    paths = sorted({p for one in patterns for p in folder.glob(one) if p.is_file()})
    for pattern in patterns:  # ** means files too, unlike in pathlib
        if pattern.endswith("/**"):
            below = folder / pattern[:-3]
            paths += [path for path in sorted(below.rglob("*")) if path.is_file()]
    for path in paths:
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest() if paths else ""


def _scalar(value: object) -> str:
    """A value of a YAML file as the runner reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unpack(repository: Path, revision: str, target: Path) -> None:
    found = subprocess.run(
        ["git", "-C", str(repository), "archive", revision], capture_output=True, check=True
    ).stdout
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(found)) as archive:
        archive.extractall(target, filter="data")


def _pairs(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in path.read_text().splitlines() if line)
    return {name: value for name, _, value in lines}
