"""Every fault with file, line, key, found value and nearest valid key; all of them at once."""

from __future__ import annotations

import pytest

from tests.recipe.conftest import Faults

KINDS = (
    "onnx-dynamic, onnx-static, onnx-blockwise, onnx-float16, inc-static, inc-dynamic,"
    " openvino-static"
)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "per_channel: true",
            "per_chanel: true",
            "r.yaml:14: variants[1].per_chanel: unknown key, did you mean per_channel?",
        ),
        (
            "  - kind: inc-static",
            "  - kind: inc-static\n    per_channel: true",
            "r.yaml:16: variants[2].per_channel: unknown key"
            " (known: kind, name, node_exclusion, calibration)",
        ),
        ("name: small", "Name: small\nname: x", "r.yaml:1: Name: unknown key, did you mean name?"),
        (
            "name: small\n",
            "",
            "r.yaml:1: name: missing key: Name of the recipe; that of its folder",
        ),
        (
            "  path: me/data\n",
            "",
            "r.yaml:4: dataset.path: missing key: Hub id, or a path relative to the recipe file",
        ),
        (
            "kind: inc-static",
            "kind: inc-statik",
            f'r.yaml:15: variants[2].kind: expected one of {KINDS}, found "inc-statik"'
            ", did you mean inc-static?",
        ),
        (
            "kind: inc-static",
            "name: x",
            f"r.yaml:15: variants[2].kind: missing key: one of {KINDS}",
        ),
        (
            "source: hub, ",
            "",
            "r.yaml:2: base.source: missing key: one of hub, local, built",
        ),
        (
            "source: hub, id: me/model",
            "source: hub, id: me/model, path: x",
            "r.yaml:2: base.path: unknown key (known: prune, finetune, project, source, id, ",
        ),
        (
            "id: me/model",
            "id: 7",
            'r.yaml:2: base.id: expected text, found 7: quote it, "7"',
        ),
        (
            "id: me/model",
            "id: a b",
            'r.yaml:2: base.id: expected a repository id, owner/name, found "a b"',
        ),
        (
            "text-classification",
            "text-clasification",
            "r.yaml:3: task: expected one of text-classification, token-classification,"
            ' question-answering, feature-extraction, found "text-clasification"'
            ", did you mean text-classification?",
        ),
        (
            "{primary: text}",
            "{primry: text}",
            "r.yaml:6: dataset.data_keys.primry: unknown key, did you mean primary?",
        ),
        (
            "ref_keys: [label]",
            "ref_keys: label",
            'r.yaml:7: dataset.ref_keys: expected a list, found "label": write [label]',
        ),
        (
            "ref_keys: [label]",
            "ref_keys: []",
            "r.yaml:7: dataset.ref_keys: text-classification takes 1",
        ),
        (
            "[en]",
            "[en, no]",
            "r.yaml:18: publication.languages[1]: expected text, found false"
            ' (which is how YAML reads no): quote it, "no"',
        ),
        (
            "[en]",
            "[English]",
            "r.yaml:18: publication.languages[0]: expected an ISO 639 code such as en, or"
            ' multilingual, found "English"',
        ),
        (
            "per_channel: true",
            "per_channel: 1",
            "r.yaml:14: variants[1].per_channel: expected true or false, found 1",
        ),
        (
            "per_channel: true",
            "calibration: {num_samples: 0}",
            "r.yaml:14: variants[1].calibration.num_samples: expected at least 1, found 0",
        ),
        (
            "per_channel: true",
            'calibration: {num_samples: "100"}',
            "r.yaml:14: variants[1].calibration.num_samples: expected a whole number"
            ', found "100": write 100 without quotes',
        ),
        (
            "per_channel: true",
            "calibration: minmax",
            'r.yaml:14: variants[1].calibration: expected a mapping of keys, found "minmax"',
        ),
        (
            "  0: NEGATIVE",
            "  no: NEGATIVE",
            'r.yaml:9: labels: the key no is read by YAML as true or false: quote it, "no"',
        ),
        (
            "  0: NEGATIVE",
            "  0: no",
            "r.yaml:9: labels.0: expected text, found false (which is how YAML reads no)"
            ': quote it, "no"',
        ),
        (
            "  license: apache-2.0",
            "  license: apache-2.0\n  license: mit",
            "r.yaml:18: publication.license: the key is given twice (first on line 17)",
        ),
        ("name: small", "name: !!binary aGk=", "r.yaml:1: name: the tag tag:yaml.org,2002:binary"),
        (
            "name: small",
            "<<: {task: x}\nname: small",
            "r.yaml:1: merge keys (<<) are not supported",
        ),
        ("name: small", "? [a]\n: b\nname: small", "r.yaml:1: a key must be text"),
    ],
)
def test_one_fault(faults: Faults, old: str, new: str, line: str) -> None:
    found = faults((old, new))
    assert found[0].startswith(line)
    if len(line) > 60:
        assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("schema: 2", "schema: expected 1, found 2"),
        (
            "benchmark: {min_seconds: 1e-1}",
            'benchmark.min_seconds: expected a number, found "1e-1": write 0.1 without quotes',
        ),
        ("benchmark: {min_seconds: .inf}", "benchmark.min_seconds: .inf is not a finite number"),
        ("benchmark: {min_seconds: 0}", "benchmark.min_seconds: expected more than 0.0, found 0"),
        ("benchmark: {rounds: 1.5}", "benchmark.rounds: expected a whole number, found 1.5"),
        (
            "gates: {max_relative_loss: 1}",
            "gates.max_relative_loss: expected less than 1.0, found 1",
        ),
        (
            "card: {details: {version: 1.0}}",
            'card.details.version: expected text, found 1.0: quote it, "1.0"',
        ),
        (
            "card: {details: {resources: [{title: x, url: example.org}]}}",
            "card.details.resources[0].url: expected an address that begins with https://, http://"
            ' or /, found "example.org"',
        ),
        ("gates:", "gates: expected a mapping of keys, found nothing"),
        (
            f"card: {{caveats: [{'x' * 99}]}}",
            "card.caveats: expected text, found a list",
        ),
    ],
)
def test_one_fault_at_the_end(faults: Faults, text: str, line: str) -> None:
    assert faults(more=text + "\n") == [f"r.yaml:19: {line}"]


def test_every_fault_is_listed_in_the_order_of_the_file(faults: Faults) -> None:
    found = faults(
        ("name: small", "nam: small"),
        ("per_channel: true", "per_chanel: 3"),
        ("[en]", "en"),
        more="gates: {prefer: quickest}\ngates: {}\n",
    )
    assert found == [
        "r.yaml:1: nam: unknown key, did you mean name?",
        "r.yaml:1: name: missing key: Name of the recipe; that of its folder",
        "r.yaml:14: variants[1].per_chanel: unknown key, did you mean per_channel?",
        'r.yaml:18: publication.languages: expected a list, found "en": write [en]',
        "r.yaml:19: gates.prefer: expected one of fastest, smallest, most-faithful, found"
        ' "quickest"',
        "r.yaml:20: gates: the key is given twice (first on line 19)",
    ]
