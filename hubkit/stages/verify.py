"""verify: what a stranger gets from the Hub is what was measured, file by file, logit by logit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import IO

from hubkit.errors import HubkitError, VerifyError
from hubkit.executors.pipes import close_pipes
from hubkit.executors.worker import error_from
from hubkit.hub.client import Hub, connect
from hubkit.hub.faults import scrub
from hubkit.hub.retry import tell_wait
from hubkit.provenance.checks import RecordChecks
from hubkit.provenance.signature import Trust
from hubkit.records import Artifact, Format, Record
from hubkit.stage import Context, Progress, stage

# Whatever would lead the fresh process to what this machine or this user has already.
_OF_THIS_USER = (
    "HF_ASSETS_CACHE",
    "HF_DATASETS_CACHE",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_MODULES_CACHE",
    "HF_STORED_TOKENS_PATH",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HF_XET_CACHE",
    "HUGGINGFACE_ASSETS_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HUGGING_FACE_HUB_TOKEN",
    "PYTORCH_PRETRAINED_BERT_CACHE",
    "PYTORCH_TRANSFORMERS_CACHE",
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",
    "TRANSFORMERS_CACHE",
    "TRANSFORMERS_OFFLINE",
)
_FOR_ALL = {
    "NNCF_CI": "1",  # it would report to its makers what it is used for
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONWARNINGS": "ignore",
    "TOKENIZERS_PARALLELISM": "false",
    # Of what a stranger may have put there nothing but tensors is unpickled, by any library.
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


class VerifyInput(Record):
    """`bundle`: what the revision must hold, file by file; None: what its own SHA256SUMS says.
    `trust`: who must have signed it; None: anybody or nobody."""

    repo_id: str
    revision: str = "main"
    bundle: Artifact | None = None
    trust: Trust | None = None


class FormatCheck(Record):
    """One format: whether it was loaded and predicts what was recorded, and how near it came."""

    format: Format
    checked: bool
    reason: str = ""  # of not being checked
    samples: int = 0
    max_abs_logit_diff: float | None = None
    tolerance: float | None = None
    quantized_modules: int | None = None  # of PyTorch


class Verified(Record):
    """A revision whose files are whole and whose checked formats behave as measured."""

    repo_id: str
    revision: str  # the commit
    files: int
    size_bytes: int
    formats: tuple[FormatCheck, ...]
    records: RecordChecks = RecordChecks()

    @property
    def complete(self) -> bool:
        """Whether every format in the repository was checked."""
        return all(check.checked for check in self.formats)


@stage("verify", version=1, kind="effect", takes=VerifyInput, gives=Verified)
def verify(given: VerifyInput, ctx: Context) -> Verified:
    """Download a revision into an empty cache in a fresh process, and repeat the recorded samples.

    Works for every repository that hubkit made, on any machine. Raises VerifyError where a file is
    missing, strange or different, where the records contradict one another or the signature is not
    that of the one who is trusted, where a model does not load, is not quantized, or predicts other
    logits (ONNX beyond 1e-4, PyTorch beyond 1e-3); HubError where the Hub does not give it.
    """
    return verify_on(connect(ctx.endpoint, ctx.token), given, ctx)


def verify_on(hub: Hub, given: VerifyInput, ctx: Context) -> Verified:
    """`verify` on a Hub that is connected already."""
    environment = {k: v for k, v in os.environ.items() if k not in _OF_THIS_USER}
    environment |= _FOR_ALL | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(ctx.scratch / "hf-home")}
    if hub.token:
        environment["HF_TOKEN"] = hub.token  # never on a command line, where others see it
    with tempfile.TemporaryFile(dir=ctx.scratch) as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hubkit.verify_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
            encoding="utf-8",
        )
        try:
            verified = _converse(process, given, ctx.progress)
        finally:
            process.kill()  # Ctrl-C, or done: it has nothing to clean up
            process.wait()
            close_pipes(process)
        if verified is None:
            raise _death(process.returncode, log, hub)
        return verified


def _converse(
    process: subprocess.Popen[str], given: VerifyInput, progress: Progress
) -> Verified | None:
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    try:
        stdin.write(given.model_dump_json() + "\n")
        stdin.flush()
    except BrokenPipeError:
        return None
    for line in stdout:
        event = json.loads(line)
        if "progress" in event:
            progress(*event["progress"])
        elif "waiting" in event:
            tell_wait(*event["waiting"])
        elif "error" in event:
            raise error_from(event["error"], stage="verify")
        else:
            return Verified.model_validate(event["verified"])
    process.wait()
    return None


def _death(code: int, log: IO[bytes], hub: Hub) -> HubkitError:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - 2000))
    tail = scrub(log.read().decode(errors="replace").strip(), hub.token)
    killed = " (killed: often for want of memory)" if code == -9 else ""
    return VerifyError(
        f"the process that verifies ended with code {code}{killed}" + (f"\n{tail}" if tail else ""),
        hint="What was pushed is on the Hub, unverified. Run `hubkit verify` on it again.",
    )
