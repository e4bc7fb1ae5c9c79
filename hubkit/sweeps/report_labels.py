"""Short names of configurations for people: "3 dynamic · Add+MatMul · 5 excluded".

Names in results.json are digests, the same in every sweep; a label has the number of the row as
declared, which `hubkit sweep` prints as well, and what tells it from the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from hubkit.sweep_records import OnnxSpec
from hubkit.sweeps.report_parameters import NOTHING, Parameter

_LONGEST = 24  # characters of a list that is written out


def label(number: int, spec: OnnxSpec, parameters: Sequence[Parameter]) -> str:
    """The label of a configuration by those parameters, the benchmarked ones."""
    words = (_word(parameter, spec) for parameter in parameters)
    said = " · ".join(word for word in words if word)
    return f"{number} {said or spec.kind.removeprefix('onnx-')}"


def _word(parameter: Parameter, spec: OnnxSpec) -> str:
    key, value = parameter.key.rsplit(".", 1)[-1], parameter.of(spec)
    if value == NOTHING:
        return ""
    if key == "operators_to_quantize":
        return _listed(spec.operators_to_quantize, "+", "operators")
    if key == "node_exclusion":
        return _excluded(spec.node_exclusion)
    if value in ("True", "False"):
        return key if value == "True" else f"no {key}"
    if key in ("quantization_approach", "method"):
        return value
    return f"{key.removeprefix('calibration_histogram_').removesuffix('_type')} {value}"


def _listed(values: Sequence[str], between: str, what: str) -> str:
    joined = between.join(values)
    return joined if len(joined) <= _LONGEST else f"{len(values)} {what}"


def _excluded(patterns: Sequence[str]) -> str:
    if not patterns:
        return ""
    one = len(patterns) == 1 and len(patterns[0]) <= _LONGEST
    return f"{patterns[0]} excluded" if one else f"{len(patterns)} excluded"
