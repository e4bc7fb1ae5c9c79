"""The Python that a card prints for a model with a projection: how to get its short embedding."""

from __future__ import annotations

from hubkit.cards.escape import literal
from hubkit.records import BaseModelInfo, Embedding, Format, Lock

# What programs are run on.
SENTENCES = ("A film that stays with you.", "It is worth seeing twice.")
# The classes that give its embedding; INCModel gives what it is made of.
PROJECTED: dict[Format, str] = {
    "pytorch": "INCModel",
    "onnx": "ORTModelForCustomTasks",
    "openvino": "OVModelForCustomTasks",
}


def embedding_of(lock: Lock, base: BaseModelInfo) -> Embedding | None:
    """What a publication's model makes of its tokens, whether hubkit made that or it came with the
    base; None where it has no projection."""
    found = lock.built.projected if lock.built else None
    if found is None:
        return base.embedding
    return Embedding(
        pooling=found.pooling, dimensions=found.dimensions, activation="Identity", normalized=False
    )


def embeddings(kind: Format, made: Embedding, *, pair: bool) -> str:
    """The embedding that the graph gives; of PyTorch, what the files of sentence-transformers make
    of the tokens."""
    if kind == "pytorch":
        head = _by_hand(made)
    else:
        head = 'def embed(inputs):\n    return model(**inputs)["sentence_embedding"][0]\n'
    if pair:
        return (
            f"{head}"
            f'inputs = tokenizer({_texts()}, return_tensors="pt")\n'
            "print(embed(inputs).shape)\n"
        )
    return (
        f"{head}"
        f"texts = [{_texts()}]\n"
        'one, other = (embed(tokenizer(text, return_tensors="pt")) for text in texts)\n'
        "print(float(one @ other / (one.norm() * other.norm())))\n"
    )


def _by_hand(made: Embedding) -> str:
    """What `made` says, of the states of the tokens."""
    pooled = "mean(0)" if made.pooling == "mean" else "select(0, 0)"
    vector, loaded = "pooled", ""
    if made.activation is not None:
        loaded = (
            "from transformers.utils import cached_file\n"
            "from safetensors.torch import load_file\n"
            'dense = load_file(cached_file(repo_id, "2_Dense/model.safetensors"))\n'
        )
        vector = 'dense["linear.weight"] @ pooled + dense["linear.bias"]'
    activated = made.activation not in (None, "Identity")
    steps = [f"torch.nn.{made.activation}()(vector)"] if activated else []
    steps += ["torch.nn.functional.normalize(vector, dim=0)"] if made.normalized else []
    *before, last = (vector, *steps)
    return (
        ("import torch\n" if steps else "")
        + loaded
        + "def embed(inputs):\n"
        + f'    pooled = model(**inputs)["last_hidden_state"][0].{pooled}.detach()\n'
        + "".join(f"    vector = {step}\n" for step in before)
        + f"    return {last}\n"
    )


def sentence_transformers_example(repo_id: str) -> str:
    """A whole program: the ONNX model of a repository with a projection in sentence-transformers,
    and how alike two texts are. One text after the other, as in `prediction`."""
    return (
        f"repo_id = {literal(repo_id)}\n"
        "from sentence_transformers import SentenceTransformer\n"
        # Of a repository it looks for ONNX in folders alone, and would export what is no FP32.
        'as_it_is = {"export": False}\n'
        'model = SentenceTransformer(repo_id, backend="onnx", model_kwargs=as_it_is)\n'
        f"texts = [{_texts()}]\n"
        "one, other = model.encode(texts, batch_size=1)\n"
        "print(float(model.similarity(one, other)))\n"
    )


def _texts() -> str:
    return ", ".join(map(literal, SENTENCES))
