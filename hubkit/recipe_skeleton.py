"""The texts that `hubkit recipe new` fills in (str.format)."""

from __future__ import annotations

NOTES_TEXT = """\
The quantized form of {model}. Say here, in prose, what it is for and what a reader should know
before the tables: this text opens the card.
"""

RECIPE_TEXT = """\
# Publish with: hubkit publish <this folder> --repo-id USER/NAME
# Look for {todo}; check with: hubkit recipe validate <this folder>. Keys: docs/recipe.md.
{asked}schema: 1
name: {name}

base:
{base}
task: text-classification

# The labelled data: a Hub id, or `source: local` with a path relative to this file.
dataset:
  source: hub
  path: {dataset}{dataset_note}
  # config: default            # the dataset's configuration, where it has several
  eval_split: validation       # every variant is scored on the whole of it
  calibration_split: train     # static quantization learns ranges here; never eval_split
  data_keys:
    primary: text              # column of the text
    # secondary: text_pair     # and of its pair, for models that take two
  ref_keys: [label]            # column of the reference label

# Value of the reference column -> label of the model ({labels_note}).
labels:
{labels}

# What is made. Every variant is measured; the gate chooses which ONNX one is published.
variants:
  - kind: onnx-dynamic
    framework_args: {{optimization_level: 3}}  # the fastest operators beside integers
    smooth_quant: auto
    calibration: {{num_samples: 100}}
  - kind: onnx-static
    calibration: {{method: minmax, num_samples: 100}}
  - kind: inc-static
    calibration: {{method: minmax, num_samples: 100}}

evaluation:
  metrics: [accuracy, f1]
  max_length: 128

benchmark:
  batch_sizes: [1, 8]
  input_lengths: [32, 128]

gates:
  metric: accuracy
  max_relative_loss: 0.01      # 1 % of the FP32 value
  prefer: fastest              # or smallest, most-faithful

publication:
  # repo_id: USER/{plain_name}-int8
  formats: [pytorch, onnx]
  license: {license}{license_note}
  languages: [{languages}]

# What only you know. A key left out reads "not provided by the author" on the card.
# card:
#   details:
#     title: INT8 ...
#     authors: [who made the base model, who quantized it]
#     resources: [{{title: Paper, url: https://...}}]
#   intended_use:
#     primary_uses: ...
#     primary_users: ...
#     out_of_scope: ...
#   factors:
#     groups: ...
#     instrumentation: ...
#     environment: ...
#   data:
#     datasets: ...
#     motivation: ...
#   ethics:
#     data: ...
#     risks_and_harms: ...
#     mitigations: ...
#   caveats: ...
#   bibtex: |
#     @misc{{key, title = {{...}}}}
"""
