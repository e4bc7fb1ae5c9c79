"""The workflows, run: every `run` block in a shell, in a fresh folder, with what GitHub sets, the
real hubkit from its wheel, a small model, embedded Hubs, and GitHub's API on loopback.

Four minutes of CPU, most of it libraries that are imported and installed anew: `make conformance`,
or `pytest -m conformance tests/ci/test_workflows.py`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi

from hubkit.ci.init import FILES, init
from hubkit.hub.server.embedded import EmbeddedHub
from tests.ci.fake_github import REPOSITORY, FakeGitHub
from tests.ci.runner import Machine, Ran, hash_files
from tests.e2e_small.worlds import HEAVY, labelled, sentences, tiny_recipe, write_csv
from tests.tiny import make_tiny_model

pytestmark = pytest.mark.conformance

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "hf_the_secret_of_the_repository"
EXCHANGED = "hf_jwt_one_repository_for_an_hour"
REPO = "acme/tiny-int8"
TITLE = '"; echo stolen; exit 0 #${{ secrets.HF_TOKEN }}`id`'
_EXECUTED: set[str] = set()


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is installed here but hubkit, as what pip has downloaded before."""
    # dill takes modules by name, and not by value, where this is in their path
    site = tmp_path_factory.mktemp("site") / "site-packages"
    site.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "hubkit" not in path.name and path.suffix != ".pth":
            (site / path.name).symlink_to(path)
    return site


@pytest.fixture(name="wheel", scope="module")
def _wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(name="template", scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A repository with a recipe at models/tiny, and what `hubkit ci init` writes."""
    root = tmp_path_factory.mktemp("repository")
    folder = root / "models" / "tiny"
    model = make_tiny_model(folder / "model")
    for split, seed in (("train", 1), ("validation", 2)):
        write_csv(folder / "data" / f"{split}.csv", labelled(model, sentences(200, seed), 40))
    write(root)
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    init(root, repo_id=REPO, requirement=f"hubkit[demo] @ {wheel.as_uri()}")
    return root


def write(root: Path, **changes: object) -> None:
    text = yaml.safe_dump(tiny_recipe(**changes), sort_keys=False)
    (root / "models" / "tiny" / "recipe.yaml").write_text(text)


@pytest.fixture(name="hub")
def _hub(tmp_path: Path) -> Iterator[EmbeddedHub]:
    users = {"acme": {"token": SECRET}, "job": {"token": EXCHANGED, "orgs": ["acme"]}}
    with EmbeddedHub(tmp_path / "hub", users) as hub:
        yield hub


@pytest.fixture(name="warm", scope="module")
def _warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hubkit's home with what the first of these tests has computed, for those that only look."""
    return tmp_path_factory.mktemp("warm")


@pytest.fixture(name="machine")
def _machine(template: Path, site: Path, hub: EmbeddedHub, tmp_path: Path) -> Iterator[Machine]:
    shutil.copytree(template, tmp_path / "repository")
    with FakeGitHub(hub=hub.endpoint).serve() as github:
        machine = Machine(tmp_path / "repository", tmp_path / "runs", site, github)
        machine.environment = {
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "HF_ENDPOINT": github.url,  # the Hub, seen through the server that hands out tokens
        }
        machine.commit("one")
        yield machine
        _EXECUTED.update(machine.executed)


def release(machine: Machine, tag: str = "v1.0") -> dict[str, Ran]:
    sha = machine.git("rev-parse", "HEAD")
    return machine.run(
        "hubkit-release.yml",
        {"ref": f"refs/tags/{tag}"},
        sha=sha,
        ref=f"refs/tags/{tag}",
        ref_name=tag,
        ref_type="tag",
        event_name="push",
        actor="somebody",
    )


def test_a_tag_publishes_and_attaches(machine: Machine, hub: EmbeddedHub, warm: Path) -> None:
    machine.secrets = {"HF_TOKEN": SECRET}
    done = release(machine)
    publish, attach = done["publish"], done["attach"]
    assert publish.result == "success", publish.log
    assert attach.result == "success", attach.log
    api = HfApi(hub.endpoint, token=SECRET)
    refs = api.list_repo_refs(REPO)
    (tag,) = refs.tags
    commit, _first = api.list_repo_commits(REPO)
    assert (tag.name, tag.target_commit) == ("v1.0", commit.commit_id)
    assert commit.title == "Publish tiny: ONNX INT8"
    assert "model.onnx" in api.list_repo_files(REPO)

    assert "| `onnx-int8-dynamic` |" in publish.summary
    assert "```mermaid" in publish.summary
    assert commit.commit_id[:12] in publish.summary

    names = machine.github.names("v1.0")
    assert {"README.md", "results.json", "lock.json", "SHA256SUMS"} <= set(names)
    assert any(name.endswith(".svg") for name in names)
    assert not any(name.endswith((".onnx", ".bin")) for name in names)
    published = Path(api.hf_hub_download(REPO, "results.json", revision="v1.0"))
    assert machine.github.content("v1.0", "results.json") == published.read_bytes()
    assert "| `onnx-int8-dynamic` |" in str(machine.github.releases[0]["body"])
    for job in (publish, attach):
        assert SECRET not in job.log + job.summary
    assert machine.caches == {}  # what is published is made by this run alone
    home = machine.root / "run-1" / "publish" / "home"
    shutil.copytree(home / ".cache" / "hubkit", warm, dirs_exist_ok=True, symlinks=True)


def test_a_tag_that_is_taken_publishes_nothing(
    machine: Machine, hub: EmbeddedHub, warm: Path
) -> None:
    machine.environment["HUBKIT_HOME"] = str(warm)
    machine.secrets = {"HF_TOKEN": SECRET}
    assert release(machine)["publish"].result == "success"
    before = HfApi(hub.endpoint, token=SECRET).list_repo_commits(REPO)
    notes = machine.repository / "models" / "tiny" / "notes.md"
    notes.write_text("Another card, which is another commit.\n")
    machine.commit("two")
    again = release(machine)
    assert again["publish"].result == "failure"
    assert "v1.0" in again["publish"].log
    assert again["attach"].result == "skipped"
    assert HfApi(hub.endpoint, token=SECRET).list_repo_commits(REPO) == before


def test_a_job_s_identity_in_place_of_a_secret(
    machine: Machine, hub: EmbeddedHub, warm: Path
) -> None:
    machine.environment["HUBKIT_HOME"] = str(warm)
    wheel = (machine.repository / ".github/hubkit/requirements.txt").read_text().splitlines()[-1]
    init(machine.repository, repo_id=REPO, requirement=wheel, trusted=True, force=True)
    machine.commit("trusted publishing")

    nobody = release(machine)
    assert nobody["publish"].result == "failure"
    assert "gives this job no token" in nobody["publish"].log
    assert "trusted publisher" in nobody["publish"].log

    HfApi(hub.endpoint, token=SECRET).create_repo(REPO)
    machine.github.publishers[REPO] = EXCHANGED
    machine.github.fault = lambda _m, path, _w: 401 if "whoami" in path else None
    done = release(machine)
    assert done["publish"].result == "success", done["publish"].log
    assert machine.github.exchanged[-1]["resource"] == REPO
    assert machine.github.exchanged[-1]["grant_type"].endswith(":token-exchange")
    assert machine.github.names("v1.0")
    assert EXCHANGED not in done["publish"].log + done["publish"].summary


def pull(machine: Machine, base: str, *, head: str = REPOSITORY) -> dict[str, Ran]:
    """A pull request's run: the commit is that of the merge."""
    sha = machine.git("rev-parse", "HEAD")
    event = {
        "pull_request": {
            "number": 7,
            "title": TITLE,
            "base": {"sha": base},
            "head": {"sha": sha, "ref": TITLE, "repo": {"full_name": head}},
        }
    }
    return machine.run(
        "hubkit-pull-request.yml",
        event,
        sha=sha,
        ref="refs/pull/7/merge",
        ref_name="7/merge",
        ref_type="branch",
        event_name="pull_request",
        head_ref=TITLE,
        base_ref="main",
        actor="somebody",
    )


def computed(log: str) -> set[str]:
    """The stages that a log says took a while: what is looked up is not in it."""
    return set(re.findall(r"^  ([a-z-]+)\b.*\d s$", log, re.MULTILINE))


def test_a_pull_request_is_compared(machine: Machine, warm: Path) -> None:
    pins = hash_files(machine.repository, (".github/hubkit/*.txt",))
    if (warm / "store").is_dir():  # as another recipe's run has left it
        machine.caches[f"hubkit-Linux-{pins}-other-other"] = warm / "store"
    kept = len(machine.caches)
    base = machine.git("rev-parse", "HEAD")
    static = {"kind": "onnx-static", "calibration": {"num_samples": 8}}
    write(machine.repository, variants=[{"kind": "onnx-dynamic"}, static])
    machine.commit("one more variant")
    done = pull(machine, base)
    measure, comment = done["measure"], done["comment"]
    assert measure.result == "success", measure.log
    assert comment.result == "success", comment.log
    (made,) = machine.github.comments
    text = str(made["body"])
    assert text.startswith("<!-- hubkit: models/tiny -->\n")
    assert "**The gate is met**" in text
    assert "pushed to an embedded Hub, and verified there" in text
    assert "| `onnx-int8-static` (new) |" in text
    assert "different rows" not in text  # those to calibrate with are new, and no others
    assert "different machines" not in text
    assert "README.md" in text
    assert text.strip() == measure.summary.strip()
    assert "stolen" not in measure.log + comment.log
    assert {"quantize", "benchmark"} <= computed(measure.log)
    assert len(machine.caches) == kept + 1

    # Pushed again, with words alone: one comment, and nothing is computed anew.
    (machine.repository / "models" / "tiny" / "notes.md").write_text("More about it.\n")
    machine.commit("words")
    done = pull(machine, base)
    assert done["comment"].result == "success", done["comment"].log
    assert "restored hubkit-Linux-" in done["measure"].log
    assert computed(done["measure"].log).isdisjoint(HEAVY | {"benchmark"})
    (again,) = machine.github.comments
    assert again["id"] == made["id"]
    assert "More about it" in str(again["body"])


def test_a_gate_that_is_not_met_fails_and_says_why(machine: Machine, warm: Path) -> None:
    machine.environment["HUBKIT_HOME"] = str(warm)
    base = machine.git("rev-parse", "HEAD")
    gates = {"max_relative_loss": 0.0, "must_pay": False, "complete_card": True}
    write(machine.repository, gates=gates)
    machine.commit("a complete card, which it is not")
    done = pull(machine, base)
    assert done["measure"].result == "failure"
    assert done["measure"].steps["Measure this, and rehearse its publication"] == "failure"
    assert done["comment"].result == "success", done["comment"].log
    (made,) = machine.github.comments
    assert "> [!CAUTION]" in str(made["body"])
    assert "This cannot be published" in str(made["body"])


def test_a_fork_is_compared_in_the_summary_alone(machine: Machine, warm: Path) -> None:
    """And a recipe that its base has not is compared with nothing."""
    machine.environment["HUBKIT_HOME"] = str(warm)
    recipe = machine.repository / "models"
    machine.git("rm", "-q", "-r", "models")
    base = machine.commit("none yet")
    shutil.rmtree(recipe, ignore_errors=True)
    machine.git("checkout", "-q", "HEAD~1", "--", "models")
    machine.commit("the first")
    done = pull(machine, base, head="somebody/model")
    assert done["measure"].result == "success", done["measure"].log
    assert done["measure"].steps["Measure the branch that this is for"] == "failure"
    assert "Nothing to compare with" in done["measure"].summary
    assert done["comment"].result == "skipped"
    assert machine.github.comments == []


def test_the_action_alone_installs_its_own_checkout(machine: Machine, warm: Path) -> None:
    """Used from another repository, where there is no .github/hubkit."""
    machine.environment["HUBKIT_HOME"] = str(warm)
    shutil.rmtree(machine.repository / ".github")
    target = machine.repository / ".github" / "actions" / "publish" / "action.yml"
    target.parent.mkdir(parents=True)
    shutil.copyfile(FILES / target.name, target)
    for name in ("hubkit", "templates", "model_cards"):
        shutil.copytree(ROOT / name, machine.repository / name, ignore=_caches)
    for name in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copyfile(ROOT / name, machine.repository / name)
    workflow = machine.repository / ".github" / "workflows" / "hubkit-release.yml"
    workflow.parent.mkdir()
    step = {"id": "publish", "uses": "$/.github/actions/publish", "with": {"recipe": "models/tiny"}}
    step["with"] |= {"repo-id": REPO, "hf-token": "${{ secrets.HF_TOKEN }}"}  # type: ignore[operator]
    steps = [{"uses": "actions/checkout@v7", "with": {"persist-credentials": False}}, step]
    jobs = {"publish": {"permissions": {"contents": "read"}, "steps": steps}}
    workflow.write_text(yaml.safe_dump({"on": "push", "jobs": jobs}))
    machine.commit("hubkit itself")
    machine.secrets = {"HF_TOKEN": SECRET}
    machine.environment["PIP_NO_BUILD_ISOLATION"] = "false"  # pip's way to say: do not isolate
    done = release(machine)
    assert done["publish"].result == "success", done["publish"].log


_caches = shutil.ignore_patterns("__pycache__")


def test_every_run_block_was_run() -> None:
    """Stands last: what the tests above have executed is all there is."""
    blocks = set()
    for name in ("action", "release", "pull-request"):
        found = yaml.safe_load((FILES / f"{name}.yml").read_text())
        jobs = found.get("jobs") or {"one": found["runs"]}
        blocks |= {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
    assert len(blocks) == 11
    assert blocks <= _EXECUTED, json.dumps(sorted(blocks - _EXECUTED), indent=1)
