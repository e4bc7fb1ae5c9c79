"""A first recipe for a model: what its config says is filled in, the rest marked and explained."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import HubError, ModelError, RecipeError, UsageError
from hubkit.recipe_file import NOTES, PLACEHOLDER, RECIPE
from hubkit.recipe_skeleton import NOTES_TEXT, RECIPE_TEXT

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_SUFFIX = "ForSequenceClassification"
_LANGUAGE = r"[a-z]{2,3}(-[A-Za-z0-9]+)*|multilingual|code"
_TIMEOUT_S = 10.0
_NOT_ASKED = f"# The Hub was away: labels and licence are placeholders ({PLACEHOLDER}).\n"


@dataclass(frozen=True)
class ModelFacts:
    """What a model says of itself; empty where it says nothing or could not be asked."""

    labels: tuple[str, ...] = ()
    license: str = ""
    languages: tuple[str, ...] = ()
    dataset: str = ""


@dataclass(frozen=True)
class NewRecipe:
    """A written skeleton. `unreachable`: why the model could not be asked; empty when it was."""

    path: Path
    notes: Path
    unreachable: str = ""


def new_recipe(model: str, *, output: Path | None = None, endpoint: str | None = None) -> NewRecipe:
    """Write recipe.yaml and notes.md for a Hub id or a model folder into `output` (./NAME).

    Raises UsageError rather than overwrite a file, ModelError for a model of another task, and
    HubError where the Hub has no such model or does not show it. A Hub that is away is no error:
    placeholders are written and `unreachable` says so.
    """
    local = Path(model).expanduser()
    is_local = local.is_dir()
    if not is_local and (model.startswith((".", "/", "~")) or model.count("/") > 1):
        raise ModelError(
            f"{model}: no such folder", hint="Give a folder with a config.json, or a Hub id."
        )
    name = recipe_name(local.resolve().name if is_local else model)
    folder = output or Path(name)
    _refuse_overwriting(folder)
    if is_local:
        facts, unreachable = _facts(_local_config(local), model), ""
    else:
        facts, unreachable = _ask_hub(model, endpoint)
    base = _local_base(local, folder) if is_local else _hub_base(model)
    text = _skeleton(name, base, facts, asked=not unreachable)
    return NewRecipe(
        path=_write(folder / RECIPE, text),
        notes=_write(folder / NOTES, NOTES_TEXT.format(model=local.name if is_local else model)),
        unreachable=unreachable,
    )


def recipe_name(model: str) -> str:
    """A recipe name made from a model's: its last part, in the letters that a name may have."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model.rsplit("/", 1)[-1]).strip("-._")[:96]
    if not name:
        raise UsageError(f"{model}: no recipe name can be made of this", hint="Give a Hub id.")
    return name


def _refuse_overwriting(folder: Path) -> None:
    for name in (RECIPE, NOTES):
        if (folder / name).exists():
            raise UsageError(
                f"{folder / name} is there already, and is not overwritten",
                hint="Give another folder with --output DIR, or move the file away.",
            )


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot be written: {error.strerror}",
            hint="Give a folder that you may write to with --output DIR.",
        ) from error
    return path


def _local_config(folder: Path) -> dict[str, object]:
    try:
        config: object = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder}: no readable config.json",
            hint="Give a folder that save_pretrained() wrote.",
        ) from error
    if not isinstance(config, dict):
        raise ModelError(f"{folder}/config.json is no mapping", hint="Save the model again.")
    return config


def _facts(config: Mapping[str, object], model: str) -> ModelFacts:
    """What config.json says. Raises ModelError where the model is of another task."""
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if architecture and not architecture.endswith(_SUFFIX):
        raise ModelError(
            f"{model} is a {architecture}, and hubkit quantizes text classifiers (...{_SUFFIX})",
            hint="Give a model that was fine-tuned for text classification.",
        )
    if config.get("problem_type") in ("regression", "multi_label_classification"):
        raise ModelError(
            f"{model} is a model for {config['problem_type']}",
            hint="Give a model that chooses one label for each text.",
        )
    labels = config.get("id2label")
    if not isinstance(labels, dict) or not all(str(key).isdigit() for key in labels):
        return ModelFacts(labels=("LABEL_0", "LABEL_1") if architecture else ())
    return ModelFacts(labels=tuple(str(labels[key]) for key in sorted(labels, key=int)))


def _ask_hub(model: str, endpoint: str | None) -> tuple[ModelFacts, str]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    api = HfApi(endpoint=endpoint)
    where = f"the Hub at {api.endpoint}"
    try:
        return _hub_facts(api, model), ""
    except HFValidationError as error:
        raise UsageError(
            f"{model} is no model id of the Hub", hint="A model id is owner/name."
        ) from error
    except RepositoryNotFoundError as error:
        raise HubError(
            f"{where} has no model {model}, or does not show it to you",
            hint="Check the spelling; for a private model, run `hf auth login` first.",
        ) from error
    except HfHubHTTPError as error:
        if error.response is None:  # no answer while downloading
            return ModelFacts(), f"{where} cannot be reached"
        status = error.response.status_code
        if status < 500:
            raise HubError(
                f"{where} refuses {model} with status {status}",
                hint="For a gated model, ask for access on its page and run `hf auth login`.",
            ) from error
        return ModelFacts(), f"{where} answered {status}"
    except OSError:  # requests' connection errors and timeouts, and HF_HUB_OFFLINE
        return ModelFacts(), f"{where} cannot be reached"


def _hub_facts(api: HfApi, model: str) -> ModelFacts:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    # First, because it fails at once where there is no network: a download tries for 20 s.
    info = api.model_info(model, timeout=_TIMEOUT_S)
    try:
        config = Path(api.hf_hub_download(model, "config.json", revision=info.sha)).parent
    except LocalEntryNotFoundError:  # its parent means something else: not there, not away
        raise
    except EntryNotFoundError as error:
        raise ModelError(
            f"{model} has no config.json", hint="Give a Transformers model."
        ) from error
    facts = _facts(_local_config(config), model)
    card = info.card_data.to_dict() if info.card_data else {}  # type: ignore[no-untyped-call]
    return ModelFacts(
        labels=facts.labels,
        license=next(iter(_texts(card.get("license"))), ""),
        languages=tuple(v for v in _texts(card.get("language")) if re.fullmatch(_LANGUAGE, v)),
        dataset=next(iter(_texts(card.get("datasets"))), ""),
    )


def _texts(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(v for v in values if isinstance(v, str) and v)


def _hub_base(model: str) -> str:
    return f"  source: hub\n  id: {_quoted(model)}\n  revision: main"


def _local_base(model: Path, folder: Path) -> str:
    path = Path(os.path.relpath(model.resolve(), folder.resolve())).as_posix()
    return f"  source: local\n  path: {_quoted(path)} # relative to this file"


def _quoted(text: str) -> str:
    """Text as a YAML scalar; no, 1.0 and the like stay text."""
    import yaml

    if re.fullmatch(r"[A-Za-z][\w.]*[/-][\w./-]*", text):
        return text
    quoted = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=1000)
    return str(quoted).strip()


def _skeleton(name: str, base: str, facts: ModelFacts, *, asked: bool) -> str:
    todo = f" # {PLACEHOLDER}: "
    labels = facts.labels or (f"{PLACEHOLDER}-first-label", f"{PLACEHOLDER}-second-label")
    lines = [f"  {number}: {_quoted(label)}" for number, label in enumerate(labels)]
    return RECIPE_TEXT.format(
        todo=PLACEHOLDER,
        asked="" if asked else _NOT_ASKED,
        name=_quoted(name),
        plain_name=name,
        base=base,
        dataset=_quoted(facts.dataset or f"{PLACEHOLDER}-owner/{PLACEHOLDER}-dataset"),
        dataset_note=" # named by the model's card" if facts.dataset else todo + "the data",
        labels="\n".join(lines),
        labels_note="from the model's config.json" if facts.labels else f"{PLACEHOLDER}: fill in",
        license=_quoted(facts.license or f"{PLACEHOLDER}-licence"),
        license_note="" if facts.license else todo + "as the Hub names it, apache-2.0 or mit",
        languages=", ".join(map(_quoted, facts.languages or ("en",))),
    )
