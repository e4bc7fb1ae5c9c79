"""What the words of Neural Compressor's configurations mean to `hubkit tune`, and why some mean
nothing."""

from __future__ import annotations

FRAMEWORKS = {
    "pytorch": ("pytorch", None),
    "pytorch_fx": ("pytorch", None),
    "onnxrt_integerops": ("onnxruntime", "dynamic"),
    "onnxrt_qlinearops": ("onnxruntime", "static"),
    "onnxrt_qdq": ("onnxruntime", "static"),
    "onnxruntime": ("onnxruntime", None),
}
APPROACHES = {
    "post_training_dynamic_quant": "dynamic",
    "post_training_static_quant": "static",
    "post_training_auto_quant": "auto",
    "dynamic": "dynamic",
    "static": "static",
    "auto": "auto",
}
OBJECTIVES = {"performance": "fastest", "modelsize": "smallest"}
# Why something has no meaning here: what is said of a key or a word.
UNKNOWN = "hubkit has nothing of the kind"
REASONS = {
    "evaluation": "the recipe says what is scored, and on which rows",
    "metric": "the metric is that of the recipe's gates",
    "dataloader": "the recipe says which rows",
    "inputs": "the model's own inputs are taken",
    "outputs": "the model's own outputs are taken",
    "example_inputs": "the recipe's rows are taken",
    "workspace": "files go to the folder of --output and to hubkit's store",
    "tensorboard": "the trials are in the report",
    "diagnosis": "the groups' sensitivities are in the report",
    "strategy": "hubkit's search is its own (docs/tune.md)",
    "op_wise": "groups of nodes are what the search decides; node_exclusion is for a variant",
    "model_wise": "granularity and ranges are what the search decides",
    "op_name_dict": "groups of nodes are what the search decides",
    "op_type_dict": "groups of nodes are what the search decides",
    "recipes": "the techniques are what the search decides",
    "multi_objectives": "one objective is looked for",
    "pruning": "a recipe's base can be pruned: base.prune",
    "distillation": "hubkit does not distil",
    "quant_aware_training": "hubkit quantizes after training",
    "tensorflow": "hubkit's models are PyTorch and ONNX",
    "mxnet": "hubkit's models are PyTorch and ONNX",
    "keras": "hubkit's models are PyTorch and ONNX",
    "pytorch_ipex": "the Intel extension for PyTorch is not used",
    "ipex": "the Intel extension for PyTorch is not used",
    "gpu": "hubkit quantizes for CPUs",
    "footprint": "memory is not an objective; smallest is that of the file",
}
