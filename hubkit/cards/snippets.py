"""The code that a card prints: what loads the published model, and a program that predicts with it.

The command line prints the same texts, and the tests run them.
"""

from __future__ import annotations

from hubkit.cards.escape import literal
from hubkit.cards.layout import FP32_ONNX_FOLDER, FP32_ONNX_NAME
from hubkit.records import Format

_CLASSES: dict[Format, tuple[str, str]] = {
    "pytorch": ("optimum.intel.neural_compressor", "INCModelForSequenceClassification"),
    "onnx": ("optimum.onnxruntime", "ORTModelForSequenceClassification"),
}
# Requirement -> the tool in lock.json that pins it. None: not recorded.
_REQUIREMENTS: dict[Format, dict[str, str | None]] = {
    "pytorch": {
        "optimum-intel": "optimum-intel",
        "neural-compressor[pt]": "neural-compressor",
        "torch": "torch",
        "transformers": "transformers",
        "numpy<2": None,
        "setuptools<82": None,
        "accelerate": None,
        "six": None,
    },
    "onnx": {
        "optimum-onnx[onnxruntime]": "optimum-onnx",
        "onnxruntime": "onnxruntime",
        "torch": "torch",
        "transformers": "transformers",
    },
}
_SENTENCES = ("A film that stays with you.", "It is worth seeing twice.")


def loading(kind: Format, repo_id: str) -> str:
    """Three lines that load the model published in a format."""
    module, name = _CLASSES[kind]
    return (
        f"repo_id = {literal(repo_id)}\n"
        f"from {module} import {name}\n"
        f"model = {name}.from_pretrained(repo_id)\n"
    )


def prediction(*, pair: bool = False) -> str:
    """What comes after `loading`: the repository's tokenizer, and the probability of each label."""
    texts = ", ".join(literal(sentence) for sentence in _SENTENCES[: 2 if pair else 1])
    return (
        "from transformers import AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained(repo_id)\n"
        f'inputs = tokenizer({texts}, return_tensors="pt")\n'
        "scores = model(**inputs).logits.softmax(-1)[0]\n"
        "print({model.config.id2label[i]: round(s, 4) for i, s in enumerate(scores.tolist())})\n"
    )


def loading_fp32_onnx(repo_id: str) -> str:
    """Loads the FP32 ONNX model of a repository that has it."""
    module, name = _CLASSES["onnx"]
    return (
        f"repo_id = {literal(repo_id)}\n"
        f"from {module} import {name}\n"
        f"model = {name}.from_pretrained(\n"
        f'    repo_id, subfolder="{FP32_ONNX_FOLDER}", file_name="{FP32_ONNX_NAME}"\n'
        ")\n"
    )


def installing(kind: Format, tools: dict[str, str]) -> str:
    """A `pip install` line with the versions that were measured. `tools`: those of lock.json."""
    by_name = {name.lower().replace("_", "-"): version for name, version in tools.items()}
    wanted = []
    for requirement, tool in _REQUIREMENTS[kind].items():
        version = by_name.get(tool) if tool else None
        # "2.13.0+cpu" is a build of one index; elsewhere only "2.13.0" exists.
        wanted.append(
            f'"{requirement}=={version.split("+")[0]}"' if version else f'"{requirement}"'
        )
    # Two a line: code blocks do not wrap.
    lines = [" ".join(wanted[i : i + 2]) for i in range(0, len(wanted), 2)]
    return " \\\n    ".join(["pip install", *lines])
