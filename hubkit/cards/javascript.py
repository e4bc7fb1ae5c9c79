"""The JavaScript that a card prints: a program that predicts with the published ONNX model, by
transformers.js, in Node.js and in a browser; and whether the published files fit that library.

The tests run the programs.
"""

from __future__ import annotations

from collections.abc import Callable

from hubkit.cards.embedding_snippets import SENTENCES
from hubkit.cards.escape import literal
from hubkit.cards.layout import published_variants
from hubkit.cards.snippets import FACTS, QUESTION
from hubkit.recipe import Recipe
from hubkit.records import Report

PACKAGE = "@huggingface/transformers"
_WIDTH = 80  # code blocks do not wrap
MAJOR = 4  # the API differs between majors; tests/javascript/package.json has what was run
# It looks for onnx/model_quantized.onnx in a browser; "fp32" is the only dtype that adds nothing to
# the name of the file, and says nothing of what is in it.
_ROOT_MODEL_ONNX = 'const options = { subfolder: "", dtype: "fp32" };\n'
# Without the first it makes no tokens, without the second it does not look for the first.
_NEEDED_FILES = {"tokenizer.json", "tokenizer_config.json"}
# Types whose scores were, for a quantized model of 2 layers, those of ORTModel. It knows more.
_FOR_EVERY_TASK = frozenset(
    {
        "bert",
        "camembert",
        "convbert",
        "deberta",
        "deberta-v2",
        "distilbert",
        "electra",
        "mpnet",
        "roberta",
        "xlm-roberta",
    }
)
MODEL_TYPES: dict[str, frozenset[str]] = {
    "text-classification": _FOR_EVERY_TASK | {"mobilebert", "modernbert", "squeezebert"},
    "token-classification": _FOR_EVERY_TASK | {"modernbert"},
    "question-answering": _FOR_EVERY_TASK | {"mobilebert", "squeezebert"},
    "feature-extraction": _FOR_EVERY_TASK | {"mobilebert", "modernbert", "squeezebert"},
}


def transformersjs_fits(recipe: Recipe, report: Report) -> bool:
    """Whether transformers.js runs what is published: an ONNX model in one file, of a task and a
    type of model that it knows, with its tokenizer in the form that it reads.

    The operators are no question: all that hubkit writes runs on onnxruntime-web.
    """
    published = published_variants(recipe, report).get("onnx")
    # Half precision has not been seen to run in a browser, whose CPU does not compute with it.
    if published is None or published.precision == "fp16":
        return False
    if report.base.model_type not in MODEL_TYPES.get(report.task, ()):
        return False
    tokenizer = {file.path for file in report.base.artifact.files}
    # Weights that are too large for the file lie in another, whose name begins with its name.
    weights = [f for f in published.artifact.files if f.path.startswith(published.model_file)]
    return tokenizer >= _NEEDED_FILES and len(weights) == 1


def javascript_install() -> str:
    """The `npm` line for `javascript_example`."""
    return f"npm install {PACKAGE}@{MAJOR}"


def javascript_example(
    task: str,
    repo_id: str,
    *,
    pair: bool = False,
    own_hub: bool = False,
    projected: bool = False,
) -> str:
    """A whole program, an ES module: it loads the ONNX model at the root of the repository and
    prints what the model says of an example, the probability of each label, the label of each token
    but "O", the answer to a question, or how alike two texts are (of a `pair`: the size of its
    vector). `own_hub`: of the Hub that HF_ENDPOINT names, which needs Node.js. `projected`: the
    graph ends in a projection."""
    made = (_PAIRS if pair and task in _PAIRS else _SINGLES)[task]
    names, body = _embeddings(pair=pair) if projected else made()
    imported = sorted((*names, "env") if own_hub else names)
    head = f"import {{ {', '.join(imported)} }} from {literal(PACKAGE)};\n"
    if len(head) > _WIDTH:
        head = "".join(
            ("import {\n", *(f"  {name},\n" for name in imported), f"}} from {literal(PACKAGE)};\n")
        )
    return (
        head
        + ("env.remoteHost = process.env.HF_ENDPOINT;\n" if own_hub else "")
        + f"\nconst repoId = {literal(repo_id)};\n{_ROOT_MODEL_ONNX}{body}"
    )


_Program = tuple[tuple[str, ...], str]  # what it imports, and the rest


def _pipeline(name: str, task: str) -> str:
    return f'const {name} = await pipeline("{task}", repoId, options);\n'


def _labels() -> _Program:
    return ("pipeline",), (
        f"{_pipeline('classify', 'text-classification')}"
        f"const text = {literal(SENTENCES[0])};\n"
        "console.log(await classify(text, { top_k: null }));\n"
    )


def _words() -> _Program:
    # Not aggregation_strategy: "simple": it joins words of one kind with others between them.
    return ("pipeline",), (
        f"{_pipeline('find', 'token-classification')}"
        f"const text = {literal(FACTS)};\n"
        "console.log(await find(text));\n"
    )


def _answer() -> _Program:
    return ("pipeline",), (
        f"{_pipeline('answer', 'question-answering')}"
        f"const question = {literal(QUESTION)};\n"
        f"const context = {literal(FACTS)};\n"
        "console.log(await answer(question, context));\n"
    )


def _vectors() -> _Program:
    """The mean over the tokens, of one text after the other, as in Python."""
    one, other = (literal(sentence) for sentence in SENTENCES)
    return ("cos_sim", "pipeline"), (
        f"{_pipeline('extract', 'feature-extraction')}"
        f'const one = await extract({one}, {{ pooling: "mean" }});\n'
        f'const other = await extract({other}, {{ pooling: "mean" }});\n'
        "console.log(cos_sim(one.data, other.data));\n"
    )


def _embeddings(*, pair: bool) -> _Program:
    """What the graph itself gives of a text, with its projection."""
    loaded = (
        "const tokenizer = await AutoTokenizer.from_pretrained(repoId);\n"
        "const model = await AutoModel.from_pretrained(repoId, options);\n"
    )
    if pair:
        return ("AutoModel", "AutoTokenizer"), (
            f"{_pair('AutoModel')}"
            "const { sentence_embedding } = await model(inputs);\n"
            "console.log(sentence_embedding.dims);\n"
        )
    one, other = (literal(sentence) for sentence in SENTENCES)
    return ("AutoModel", "AutoTokenizer", "cos_sim"), (
        f"{loaded}"
        "const embed = async (text) => (await model(tokenizer(text))).sentence_embedding.data;\n"
        f"const one = await embed({one});\n"
        f"const other = await embed({other});\n"
        "console.log(cos_sim(one, other));\n"
    )


def _pair(model: str) -> str:
    """Its pipelines take one text."""
    one, other = (literal(sentence) for sentence in SENTENCES)
    return (
        "const tokenizer = await AutoTokenizer.from_pretrained(repoId);\n"
        f"const model = await {model}.from_pretrained(repoId, options);\n"
        f"const texts = [{one}, {other}];\n"
        "const inputs = tokenizer(texts[0], { text_pair: texts[1] });\n"
    )


def _labels_of_pair() -> _Program:
    model = "AutoModelForSequenceClassification"
    return (model, "AutoTokenizer", "softmax"), (
        f"{_pair(model)}"
        "const { logits } = await model(inputs);\n"
        "const scores = softmax(logits.tolist()[0]);\n"
        "console.log(scores.map((score, i) => ({ label: model.config.id2label[i], score })));\n"
    )


def _vector_of_pair() -> _Program:
    return ("AutoModel", "AutoTokenizer", "mean_pooling"), (
        f"{_pair('AutoModel')}"
        "const { last_hidden_state } = await model(inputs);\n"
        "console.log(mean_pooling(last_hidden_state, inputs.attention_mask).dims);\n"
    )


_SINGLES: dict[str, Callable[[], _Program]] = {
    "text-classification": _labels,
    "token-classification": _words,
    "question-answering": _answer,
    "feature-extraction": _vectors,
}
_PAIRS: dict[str, Callable[[], _Program]] = {
    "text-classification": _labels_of_pair,
    "feature-extraction": _vector_of_pair,
}
