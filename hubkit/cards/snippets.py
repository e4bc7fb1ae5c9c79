"""The Python that a card prints: what loads the published model, and programs that predict with it.

The command line prints the same texts, and the tests run them. `hubkit.cards.javascript` has those
in JavaScript.
"""

from __future__ import annotations

from hubkit.cards.embedding_snippets import PROJECTED, SENTENCES, embeddings
from hubkit.cards.escape import literal
from hubkit.cards.layout import FP32_ONNX_FOLDER, FP32_ONNX_NAME, OPENVINO_FOLDER
from hubkit.records import Embedding, Format

_MODULES: dict[Format, str] = {
    "pytorch": "optimum.intel.neural_compressor",
    "onnx": "optimum.onnxruntime",
    "openvino": "optimum.intel",
}
# As hubkit.tasks says.
_CLASSES: dict[str, dict[Format, str]] = {
    "text-classification": {
        "pytorch": "INCModelForSequenceClassification",
        "onnx": "ORTModelForSequenceClassification",
        "openvino": "OVModelForSequenceClassification",
    },
    "token-classification": {
        "pytorch": "INCModelForTokenClassification",
        "onnx": "ORTModelForTokenClassification",
        "openvino": "OVModelForTokenClassification",
    },
    "question-answering": {
        "pytorch": "INCModelForQuestionAnswering",
        "onnx": "ORTModelForQuestionAnswering",
        "openvino": "OVModelForQuestionAnswering",
    },
    "feature-extraction": {
        "pytorch": "INCModel",
        "onnx": "ORTModelForFeatureExtraction",
        "openvino": "OVModelForFeatureExtraction",
    },
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
    "openvino": {
        "optimum-intel": "optimum-intel",
        "openvino": "openvino",
        "torch": "torch",
        "transformers": "transformers",
    },
}
# What the programs are run on.
FACTS = "Maria Silva works for the Red Cross in Geneva."
QUESTION = "Where does Maria work?"


def loading(
    kind: Format, repo_id: str, task: str = "text-classification", made: Embedding | None = None
) -> str:
    """Three lines that load the model published in a format."""
    module, name = _MODULES[kind], (PROJECTED if made else _CLASSES[task])[kind]
    folder = f', subfolder="{OPENVINO_FOLDER}"' if kind == "openvino" else ""
    return (
        f"repo_id = {literal(repo_id)}\n"
        f"from {module} import {name}\n"
        f"model = {name}.from_pretrained(repo_id{folder})\n"
    )


def prediction(
    task: str = "text-classification",
    *,
    pair: bool = False,
    kind: Format = "onnx",
    made: Embedding | None = None,
) -> str:
    """What comes after `loading`: the repository's tokenizer, and an answer as the task's are: the
    probability of each label, the label of each word, the answer to a question, or how alike two
    texts are (of a `pair`: the size of its vector). `kind` matters where there is a projection."""
    answer = {
        "text-classification": _labels,
        "token-classification": _words,
        "question-answering": _answer,
        "feature-extraction": _vectors,
    }[task]
    program = embeddings(kind, made, pair=pair) if made else answer(pair=pair)
    return (
        "from transformers import AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained(repo_id)\n"
        f"{program}"
    )


def _texts(*, pair: bool) -> str:
    return ", ".join(literal(sentence) for sentence in SENTENCES[: 2 if pair else 1])


def _labels(*, pair: bool) -> str:
    return (
        f'inputs = tokenizer({_texts(pair=pair)}, return_tensors="pt")\n'
        "scores = model(**inputs).logits.softmax(-1)[0]\n"
        "print({model.config.id2label[i]: round(s, 4) for i, s in enumerate(scores.tolist())})\n"
    )


def _words(*, pair: bool) -> str:
    # The first token of a word has its label, as in the evaluation.
    return (
        f"words = {literal(FACTS.replace('.', ' .'))}.split()\n"
        'inputs = tokenizer(words, is_split_into_words=True, return_tensors="pt")\n'
        "found = model(**inputs).logits[0].argmax(-1).tolist()\n"
        "first = [inputs.word_ids().index(at) for at in range(len(words))]\n"
        "print([(w, model.config.id2label[found[at]]) for w, at in zip(words, first)])\n"
    )


def _answer(*, pair: bool) -> str:
    return (
        f"question = {literal(QUESTION)}\n"
        f"context = {literal(FACTS)}\n"
        'inputs = tokenizer(question, context, return_tensors="pt")\n'
        "outputs = model(**inputs)\n"
        'start = int(outputs["start_logits"][0].argmax())\n'
        'end = start + int(outputs["end_logits"][0, start:].argmax())\n'
        'print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))\n'
    )


def _vectors(*, pair: bool) -> str:
    """The mean over the tokens, as in the evaluation. One text after the other: in a batch, dynamic
    quantization would give each the ranges of all."""
    if pair:
        return (
            f'inputs = tokenizer({_texts(pair=True)}, return_tensors="pt")\n'
            'vector = model(**inputs)["last_hidden_state"][0].mean(0)\n'
            "print(vector.shape)\n"
        )
    return (
        f"texts = [{_texts(pair=True)}]\n"
        'inputs = [tokenizer(text, return_tensors="pt") for text in texts]\n'
        'one, other = (model(**each)["last_hidden_state"][0].mean(0) for each in inputs)\n'
        "print(float(one @ other / (one.norm() * other.norm())))\n"
    )


def pipeline_example(task: str, repo_id: str, *, kind: Format = "onnx", pair: bool = False) -> str:
    """A whole program: the model of a format in the pipeline of transformers, and an answer as
    `prediction` gives it, or with the words of an entity together. `installing` is that of the
    format."""
    answer = {
        "text-classification": _piped_labels,
        "token-classification": _piped_words,
        "question-answering": _piped_answer,
        "feature-extraction": _piped_vectors,
    }[task]
    return (
        f"{loading(kind, repo_id, task)}\n"
        "from transformers import AutoTokenizer, pipeline\n"
        "tokenizer = AutoTokenizer.from_pretrained(repo_id)\n"
        f"{answer(pair=pair)}"
    )


def _piped_labels(*, pair: bool) -> str:
    one, other = (literal(sentence) for sentence in SENTENCES)
    given = f'{{"text": {one}, "text_pair": {other}}}' if pair else one
    return (
        'classify = pipeline("text-classification", model=model, tokenizer=tokenizer)\n'
        f"text = {given}\n"
        "print(classify(text, top_k=None))\n"
    )


def _piped_words(*, pair: bool) -> str:
    # As in the evaluation, the first token of a word has its label.
    return (
        'find = pipeline("token-classification", model=model, tokenizer=tokenizer)\n'
        f"text = {literal(FACTS)}\n"
        'print(find(text, aggregation_strategy="first"))\n'
    )


def _piped_answer(*, pair: bool) -> str:
    return (
        'answer = pipeline("question-answering", model=model, tokenizer=tokenizer)\n'
        f"question = {literal(QUESTION)}\n"
        f"context = {literal(FACTS)}\n"
        "print(answer(question=question, context=context))\n"
    )


def _piped_vectors(*, pair: bool) -> str:
    """The mean over the tokens, as in the evaluation."""
    made = 'extract = pipeline("feature-extraction", model=model, tokenizer=tokenizer)\n'
    if pair:
        one, other = (literal(sentence) for sentence in SENTENCES)
        return (
            f"{made}"
            f'second = {{"text_pair": {other}}}\n'
            f"states = extract({one}, tokenize_kwargs=second, return_tensors=True)\n"
            "print(states[0].mean(0).shape)\n"
        )
    return (
        f"{made}"
        f"texts = [{_texts(pair=True)}]\n"
        "one, other = (extract(text, return_tensors=True)[0].mean(0) for text in texts)\n"
        "print(float(one @ other / (one.norm() * other.norm())))\n"
    )


def loading_fp32_onnx(
    repo_id: str, task: str = "text-classification", made: Embedding | None = None
) -> str:
    """Loads the FP32 ONNX model of a repository that has it."""
    module, name = _MODULES["onnx"], (PROJECTED if made else _CLASSES[task])["onnx"]
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


def installing_sentence_transformers(tools: dict[str, str]) -> str:
    """A `pip install` line for it: what is installed for ONNX, and the library."""
    return f"{installing('onnx', tools)} \\\n    sentence-transformers"
