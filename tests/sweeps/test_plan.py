"""The configurations of a sweep, and the filter over them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.errors import UsageError
from hubkit.recipe import OnnxDynamic, OnnxStatic, Sweep
from hubkit.sweep_plan import configurations, every_configuration, parameters, time_plan
from hubkit.sweep_where import condition

EXCLUDED = ["layernorm", "gelu", "residual", "gather", "softmax"]
# The declaration of the reference report.
REFERENCE = {
    "quantization_approach": ["dynamic", "static"],
    "operators_to_quantize": [["Add"], ["Add", "MatMul"]],
    "node_exclusion": [[], EXCLUDED],
    "per_channel": False,
    "calibration": {"method": "minmax", "num_calibration_samples": 100},
    "framework_args": {"optimization_level": 1},
    "aware_training": False,
    "time_benchmark_args": {"duration": 15},
    "batch_sizes": [1, 4, 8],
    "input_lengths": [32, 64, 128],
}
NAMES = tuple(parameters(OnnxStatic(kind="onnx-static")))


def sweep_of(**changes: object) -> Sweep:
    return Sweep.model_validate({**REFERENCE, **changes})


def test_the_reference_has_eight_configurations() -> None:
    specs = every_configuration(sweep_of())
    assert [(s.kind, s.operators_to_quantize, len(s.node_exclusion)) for s in specs] == [
        (kind, operators, excluded)
        for kind in ("onnx-dynamic", "onnx-static")
        for operators in (("Add",), ("Add", "MatMul"))
        for excluded in (0, 5)
    ]
    assert all(s.framework_args.optimization_level == 1 and not s.per_channel for s in specs)


def test_a_value_is_fixed_and_a_list_is_benchmarked() -> None:
    assert sweep_of(per_channel=True).per_channel == (True,)
    assert len(every_configuration(sweep_of(per_channel=[True, False]))) == 16


def test_what_has_no_meaning_makes_no_more_configurations() -> None:
    learning = {
        "method": ["minmax", "entropy", "percentile"],
        "calibration_histogram_percentile": [99.9, 99.99],
        "num_calibration_samples": [50, 100],
    }
    specs = every_configuration(sweep_of(calibration=learning, guards=[True, False]))
    dynamic = [s for s in specs if isinstance(s, OnnxDynamic)]
    static = [s for s in specs if isinstance(s, OnnxStatic)]
    # minmax and entropy once, percentile twice; each on two samples, with and without guards.
    assert (len(dynamic), len(static)) == (4, 4 * 4 * 2 * 2)
    assert len({s.name for s in specs}) == len(specs)


def test_a_configuration_has_one_name_in_every_sweep() -> None:
    few = {s.name for s in every_configuration(sweep_of())}
    more = {s.name for s in every_configuration(sweep_of(per_channel=[True, False]))}
    assert few < more


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("static", 4),
        ("not static", 4),
        ("static and 'MatMul' in operators_to_quantize", 2),
        ("static and node_exclusion == []", 2),
        ("node_exclusion == ['layernorm', 'gelu', 'residual', 'gather', 'softmax']", 4),
        ("dynamic or method == minmax", 8),
        ("minmax", 4),
        ("num_calibration_samples >= 100", 4),
        ("num_calibration_samples > 100 or (static and not per_channel)", 4),
        ("optimization_level in (0, 1)", 0),  # numbers are compared with == and <
        ("optimization_level == 1", 8),
        ("opset is None", 8),
        ("'layernorm' not in node_exclusion and -1 < optimization_level < 2", 4),
    ],
)
def test_filters(where: str, count: int) -> None:
    if count:
        assert len(configurations(sweep_of(), where)) == count
    else:
        with pytest.raises(UsageError, match="none of the 8 configurations"):
            configurations(sweep_of(), where)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("sttic", "did you mean static"),
        ("per_chanel", "did you mean per_channel"),
        ("static and", "it is no condition"),
        ("", "it is no condition"),
        ("__import__('os').system('true')", "nothing that a filter may hold"),
        ("(lambda: 1)()", "nothing that a filter may hold"),
        ("static.__class__", "nothing that a filter may hold"),
        ("[x for x in (1,)]", "nothing that a filter may hold"),
        ("1 + 1", "nothing that a filter may hold"),
        ("b'x' == method", "no value of a parameter"),
        ("x" * 5000, "no parameter"),
        ("(" * 500 + "static" + ")" * 500, "it is no condition"),
    ],
)
def test_what_a_filter_may_not_hold(where: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        configurations(sweep_of(), where)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_a_usage_error(text: str) -> None:
    try:
        wanted = condition(text, NAMES)
    except UsageError:
        return
    for spec in every_configuration(sweep_of()):
        assert wanted(parameters(spec)) in (True, False)


def test_the_time_plan() -> None:
    plan = time_plan(sweep_of())
    assert (plan.batch_sizes, plan.input_lengths) == ((1, 4, 8), (32, 64, 128))
    assert (plan.min_seconds, plan.warmup) == (15, 5)
