"""The Markdown report: the reference's structure, numbers of records, whole whatever the data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import yaml

from hubkit.recipe import Sweep
from hubkit.sweep_records import SweepReport
from hubkit.sweeps.report_markdown import markdown
from tests.cards.markdown import headings, html_tokens, links, table_lines, tables, visible
from tests.sweeps.examples import NAMES, PATTERNS, SWEEP, make_report, messy_report
from tests.sweeps.hostile import HOSTILE, hostile_report
from tests.sweeps.reference_numbers import METRICS, TIMES


def body_of(text: str) -> str:
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)


def front_of(text: str) -> dict[str, object]:
    found = re.match(r"---\n(.*?)\n---\n", text, flags=re.DOTALL)
    assert found
    loaded: dict[str, object] = yaml.safe_load(found[1])
    return loaded


def reference_part(text: str) -> str:
    return text.split("\n# Beyond the reference\n")[0]


def bold(text: str) -> list[tuple[int, str]]:
    """Indentation and name of what is said in bold at the beginning of a line or a bullet."""
    found = re.findall(r"^( *)(?:\* )?\*\*([^*]+?):?\*\*", text, flags=re.MULTILINE)
    return [(len(indent), name) for indent, name in found]


def whole_tables(text: str) -> None:
    found = tables(text)
    assert all(len(cells) == len(table[0]) for table in found for cells in table)
    assert len(table_lines(body_of(text))) == sum(len(table) + 1 for table in found)


def test_golden(report_golden: Callable[[str, str], None]) -> None:
    report_golden("sweep.conll2003.md", markdown(make_report()))


def test_golden_of_what_went_wrong(report_golden: Callable[[str, str], None]) -> None:
    text = markdown(messy_report(), plot="plot.png", page="report.html")
    report_golden("sweep.messy.md", text)


def test_it_opens_with_the_structure_of_the_reference() -> None:
    text = markdown(make_report())
    front = front_of(text)
    assert list(front)[:4] == ["pipeline_tag", "datasets", "metrics", "tags"]
    assert front["pipeline_tag"] == "token-classification"
    assert front["datasets"] == ["conll2003"]
    assert front["metrics"] == ["precision", "recall", "f1", "accuracy"]
    assert isinstance(front["tags"], list)
    assert front["tags"][0] == "distilbert"
    assert front["base_model"] == "elastic/distilbert-base-uncased-finetuned-conll03-english"

    opening = reference_part(text)
    assert bold(body_of(opening))[:4] == [
        (0, "task"),
        (0, "Backend"),
        (0, "Backend args"),
        (0, "Number of evaluation samples"),
    ]
    fixed = opening.split("Fixed parameters:\n")[1].split("\n\nBenchmarked")[0]
    assert bold(fixed)[:15] == [
        (0, "model_name_or_path"),
        (0, "dataset"),
        (4, "path"),
        (4, "eval_split"),
        (4, "data_keys"),
        (4, "ref_keys"),
        (4, "calibration_split"),
        (0, "per_channel"),
        (0, "calibration"),
        (4, "method"),
        (4, "num_calibration_samples"),
        (0, "framework"),
        (0, "framework_args"),
        (4, "opset"),
        (4, "optimization_level"),
    ]
    assert bold(fixed)[15] == (0, "aware_training")
    assert "**Number of evaluation samples:** `All dataset`  \n" in opening
    assert "    * **data_keys**: `{'primary': 'tokens'}`\n" in fixed
    benchmarked = opening.split("Benchmarked parameters:\n")[1].split("\n\n")[0]
    assert benchmarked.splitlines() == [
        "* **quantization_approach**: `dynamic`,  `static`",
        "* **operators_to_quantize**: `['Add']`,  `['Add', 'MatMul']`",
        f"* **node_exclusion**: `[]`,  `{list(PATTERNS)}`",
    ]
    assert headings(opening, "h1") == ["Evaluation"]
    assert headings(opening, "h2") == ["Non-time metrics", "Time metrics"]
    assert "Time benchmarks were run for 15 seconds per config.\n" in opening
    below = re.findall(r"^Below, time metrics for (.*)\.$", opening, flags=re.MULTILINE)
    assert below == [f"batch size = {b}, input length = {n}" for b, n in TIMES]


def test_the_columns_are_those_of_the_reference() -> None:
    first, *rest = tables(reference_part(markdown(make_report())))
    parameters = ["quantization_approach", "operators_to_quantize", "node_exclusion"]
    assert first[0] == [
        *parameters,
        *(c for n in NAMES for c in ("", f"{n} (original)", f"{n} (optimized)")),
    ]
    assert len(rest) == len(TIMES)
    for table in rest:
        assert table[0] == [
            *parameters,
            *("", "latency_mean (original, ms)", "latency_mean (optimized, ms)"),
            *("", "throughput (original, /s)", "throughput (optimized, /s)"),
        ]
    # Rows as declared, and the reference's own numbers in its own digits.
    keys = list(METRICS)[1:]
    assert len(first) == 1 + len(keys)
    for key, cells in zip(keys, first[1:], strict=True):
        assert cells[0] == f"`{key.split('-')[0]}`"
        original = [f"{v:.3f}" for v in METRICS["pytorch-fp32"]]
        optimized = [f"{v:.3f}" for v in METRICS[key]]
        pairs = [cells[i : i + 3] for i in range(3, len(cells), 3)]
        assert pairs == [["|", a, b] for a, b in zip(original, optimized, strict=True)]
    for point, table in zip(TIMES, rest, strict=True):
        latencies = [cells[5] for cells in table[1:]]
        assert latencies == [f"{TIMES[point][key][0]:.2f}" for key in keys]


def test_a_table_is_padded_as_the_reference_pads_it() -> None:
    """One line of the reference's source, whose middle is in the middle."""
    sweep = Sweep.model_validate(
        {**SWEEP, "quantization_approach": "static", "operators_to_quantize": ["Add", "MatMul"]}
    )
    report = make_report()
    text = markdown(report.model_copy(update={"sweep": sweep, "rows": report.rows[-2:]}))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[2] == (
        "|                           `[]`                           |  \\|  |"
        "        0.936         |         0.065         |  \\|  |"
        "       0.944       |       0.243        |  \\|  |"
        "     0.940     |     0.103      |  \\|  |        0.988        |        0.357         |"
    )


def test_tables_are_whole() -> None:
    for report in (make_report(), messy_report()):
        whole_tables(markdown(report))


def test_what_is_partial_says_so_first() -> None:
    text = body_of(markdown(messy_report())).lstrip()
    assert text.startswith("> **⚠️ PARTIAL RESULTS.")
    assert "--limit 200: 200 of 3,250 rows were scored" in text.split("**task**")[0]
    assert "**Number of evaluation samples:** `200` of 3,250: **PARTIAL**" in text
    assert "PARTIAL" not in markdown(make_report())


def test_a_part_of_the_rows_is_partial_even_if_nobody_says_so() -> None:
    report = messy_report(partial=())
    assert "PARTIAL RESULTS" in markdown(report)


def test_equal_empty_and_failed_configurations() -> None:
    text = markdown(messy_report())
    named = {cells[0]: cells for table in tables(text) for cells in table}
    rows = next(t for t in tables(text) if t[0][0] == "configuration" and "outcome" in t[0])
    assert [cells[-2] for cells in rows[1:]] == [
        "nothing quantized: same graph as `onnx-fp32`",
        "measured",
        "same graph as 2",
        "measured",
        "measured",
        "failed",
    ]
    assert "`onnx-fp32` = 1 dynamic · Add" in named
    assert "2 dynamic · Add+MatMul = 3 dynamic · Add+MatMul · 5 excluded" in named
    assert "matches no node at opset 11. Here are: Add (38), MatMul (36)" in visible(text)
    first = tables(text)[0]
    equal = [cells[-1] for cells in first[2:4]]
    assert equal[0] == equal[1]
    assert first[-1][-1] == "failed"
    assert "kept 6 nodes float" in text
    assert "off" in [cells[5] for table in tables(text) for cells in table if len(cells) > 5]


def test_a_difference_within_the_noise_is_marked() -> None:
    report = make_report()
    loud = [n.model_copy(update={"relative": 0.6}) for n in report.noise]
    assert " ≈" not in "".join(table_lines(_without_noise(report)))
    table = _times(markdown(report.model_copy(update={"noise": tuple(loud)})))
    ratios = {cells[0]: cells[-1] for cells in table[1:]}
    # A half of the baseline's time is within 60 % of it, a quarter is not.
    assert ratios["5 static · Add"].endswith("× ≈")
    assert not ratios["3 dynamic · Add+MatMul"].endswith("≈")
    assert ratios["`onnx-fp32`"] == "–"


def _without_noise(report: SweepReport) -> str:
    text = markdown(report.model_copy(update={"noise": ()}))
    assert "No noise floor was measured" in text
    return text


def _times(text: str) -> list[list[str]]:
    return next(t for t in tables(text) if t[0][-1].startswith("times as fast as onnx-fp32"))


def test_nothing_timed_and_nothing_scored_reads_well() -> None:
    report = make_report(timings=None, noise=())
    text = markdown(report)
    whole_tables(text)
    assert "No time benchmarks were run." in text
    assert "Pareto" not in text
    bare = markdown(report.model_copy(update={"scores": ()}))
    whole_tables(bare)


def test_one_configuration_with_nothing_benchmarked() -> None:
    one = {
        "quantization_approach": "static",
        "operators_to_quantize": ["Add", "MatMul"],
        "node_exclusion": [],
    }
    report = make_report()
    sweep = Sweep.model_validate({**SWEEP, **one})
    text = markdown(report.model_copy(update={"sweep": sweep, "rows": report.rows[-2:-1]}))
    whole_tables(text)
    assert "* none: every parameter has one value\n" in text
    assert "* **quantization_approach**: `static`\n* **operators_to_quantize**:" in text


def test_hostile_strings_break_nothing() -> None:
    report = hostile_report()
    text = markdown(report)
    whole_tables(text)
    plain = markdown(make_report())
    for tag in ("h1", "h2", "h3"):
        assert headings(text, tag) == headings(plain, tag)
    assert set(html_tokens(text)) <= {"<code>", "</code>"}
    assert links(text) == []
    assert "49" not in reference_part(text).split("**task**")[0]
    front = front_of(text)
    assert front["pipeline_tag"] == " ".join(HOSTILE.split())


def test_the_same_bytes_every_time() -> None:
    report = messy_report()
    again = SweepReport.model_validate_json(report.model_dump_json(by_alias=True))
    assert markdown(again) == markdown(report)


# What holds numbers that are not for a reader of the report, or that another number says as well:
# `spec` what the benchmarked parameters say, `rows` and `confidence` of scores what the evaluation
# says.
UNSEEN = {
    *("schema", "artifact", "spec", "base", "label_counts", "calibration_rows", "input_names"),
    *("pad_id", "iterations", "seconds", "round_means_ms", "max_abs_logit_diff"),
    *("mean_abs_logit_diff",),
}
UNSEEN_ENDS = (
    ("scores", "rows"),
    ("scores", "metrics", "confidence"),
    ("encoded", "rows"),
    ("evaluation", "batch_size"),
    ("evaluation", "max_length"),  # encoded.max_length is what was done
)


def _leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all numbers in plain data."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def _bumped(value: object, path: tuple[str | int, ...]) -> object:
    """The data with another number at that path."""
    if isinstance(value, list):
        return [_bumped(v, path[1:]) if i == path[0] else v for i, v in enumerate(value)]
    if isinstance(value, dict):
        return {k: _bumped(v, path[1:]) if k == path[0] else v for k, v in value.items()}
    assert isinstance(value, int | float)
    assert not path
    if isinstance(value, float):
        return value * 0.97 + 0.05
    return 99 if value == 1 else value * 2 + 1  # 99 is an optimization level, 3 is none


def _places(report: SweepReport) -> list[tuple[str | int, ...]]:
    """A number of each kind that a reader should see; of the first points and scores, all."""
    whole = report.timings
    assert whole
    grid = {(b, n) for b in report.sweep.batch_sizes for n in report.sweep.input_lengths}
    shown = [
        i for i, p in enumerate(whole.timings[0].points) if (p.batch_size, p.input_length) in grid
    ]
    kinds: dict[tuple[str | int, ...], tuple[str | int, ...]] = {}
    for path in _leaves(report.model_dump(mode="json", by_alias=True)):
        words = tuple(part for part in path if isinstance(part, str))
        if set(words) & UNSEEN or words in UNSEEN_ENDS or words[:2] == ("timings", "machine"):
            continue
        if words[:3] == ("timings", "timings", "points"):
            if path[4] in shown and path[-1] not in ("batch_size", "input_length"):
                kinds.setdefault((path[2], *words), path)
        elif words[0] == "scores":
            kinds[path] = path
        else:
            kinds.setdefault(words, path)
    return list(kinds.values())


def test_every_number_comes_from_the_report() -> None:
    """Another number in the records is another text."""
    report = messy_report()
    before = markdown(report)
    places = _places(report)
    assert len(places) > 60
    data = report.model_dump(mode="json", by_alias=True)
    same = [
        path
        for path in places
        if markdown(SweepReport.model_validate(_bumped(data, path))) == before
    ]
    # The number of words is that of any comparison: they are all on the same rows.
    assert [path for path in same if path[-1] != "units" or path[1] == 1] == []


def test_the_machine_comes_from_the_report() -> None:
    report = make_report()
    assert report.timings
    machine = report.timings.machine.model_copy(
        update={"cpu": "Other CPU", "logical_cpus": 77, "physical_cores": 66, "memory_gib": 5.5}
    )
    timings = report.timings.model_copy(update={"machine": machine})
    said = visible(markdown(report.model_copy(update={"timings": timings})))
    assert "Other CPU (avx2" in said
    assert "77 logical CPUs on 66 cores, 5.5 GiB" in said
