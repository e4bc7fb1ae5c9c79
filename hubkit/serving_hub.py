"""A model to be served, from a repository on the Hub: what of it has to come, and what is here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from time import perf_counter

from hubkit.errors import ModelError
from hubkit.hub.client import Hub, connect
from hubkit.hub.faults import NotThere, Unreachable
from hubkit.runner import Listener

# The same weights for other frameworks, by the names that they have on the Hub.
_WEIGHTS = (
    *("*.safetensors", "*.h5", "*.msgpack", "*.ot", "*.pt", "*.pth", "*.ckpt", "*.gguf"),
    *("*.tflite", "*.mlmodel", "*.mlpackage/*", "*pytorch_model*.bin", "*openvino_*.bin"),
    *("*openvino_*.xml", "*.onnx", "*.onnx_data*", "*.onnx.data*"),
)
_STEP = "download"


@dataclass(frozen=True)
class Fetched:
    """A folder with a repository's files; `note`: what the user has to know of them."""

    folder: Path
    note: str = ""


def fetch(
    repo_id: str,
    revision: str,
    model_files: Sequence[str],
    *,
    whole: bool,
    endpoint: str | None,
    listener: Listener | None,
) -> Fetched:
    """The model of a repository: the first of `model_files` that is in it and what belongs to it.

    Everything comes where none is in it, or with `whole`. Where the Hub is away it is what
    huggingface_hub's cache has of that revision, and the note says so. Raises HubError, ModelError.
    """
    hub = connect(endpoint, None)
    kept = hub.kept(repo_id, revision)
    if kept is not None and not any((kept / file).is_file() for file in model_files):
        kept = None
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE and kept is not None:
        return Fetched(kept, f"HF_HUB_OFFLINE is set: {repo_id} is served as it was last fetched")
    try:
        with _told(listener, f"{_STEP} {repo_id}"):
            leave = () if whole else _leave(hub, repo_id, revision, model_files)
            return Fetched(hub.snapshot(repo_id, revision, leave=leave))
    except Unreachable as error:
        if kept is None or whole:
            raise
        return Fetched(kept, f"{error.message}; {repo_id} is served as it was last fetched")
    except NotThere as error:
        raise NotThere(
            error.message, hint=f"{error.hint} Here there is no folder or recipe {repo_id} either."
        ) from error


@contextmanager
def _told(listener: Listener | None, step: str) -> Iterator[None]:
    if listener is None:
        yield
        return
    start = perf_counter()
    listener.update(step)
    try:
        yield
    except BaseException:
        listener.failed(step)
        raise
    listener.done(step, perf_counter() - start)


def _leave(hub: Hub, repo_id: str, revision: str, model_files: Sequence[str]) -> Collection[str]:
    """The paths that are weights for something else; none where there is no file for the engine."""
    files = hub.remote_files(repo_id, revision)
    if "config.json" not in files:
        raise ModelError(
            f"{repo_id}@{revision} has no config.json: it is no model of transformers",
            hint="Name one that has a model and its config.json at the root, or a model folder.",
        )
    found = next((file for file in model_files if file in files), None)
    if found is None:
        return ()
    # External data of an ONNX file is named after it, the weights of OpenVINO's IR after the IR.
    own = (found, f"{found.removesuffix('.xml')}.bin")
    return [
        path
        for path in files
        if not path.startswith(own) and any(fnmatch(path, pattern) for pattern in _WEIGHTS)
    ]
