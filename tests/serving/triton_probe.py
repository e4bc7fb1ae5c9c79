"""Run by the Python of an environment with tritonclient: asks a server what NVIDIA's own client
asks."""

from __future__ import annotations

import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException


def main(address: str, model: str) -> None:
    """Raises where the server does not do what Triton's client takes for granted."""
    client = InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(model)
    assert client.is_model_ready(model, "1")
    extensions = client.get_server_metadata()["extensions"]
    assert extensions == ["binary_tensor_data", "model_configuration"]
    configuration = client.get_model_config(model)
    assert configuration["max_batch_size"] >= 1
    assert configuration["input"][0] == {
        "name": "input_ids",
        "data_type": "TYPE_INT64",
        "dims": [-1],
    }
    metadata = client.get_model_metadata(model)
    assert [one["name"] for one in metadata["inputs"]] == ["input_ids", "attention_mask"]
    for binary in (True, False):
        inputs = []
        for name, rows in (("input_ids", [[5, 6], [7, 3]]), ("attention_mask", [[1, 1], [1, 0]])):
            one = InferInput(name, [2, 2], "INT64")
            one.set_data_from_numpy(np.array(rows, np.int64), binary_data=binary)
            inputs.append(one)
        outputs = [InferRequestedOutput("logits", binary_data=binary)]
        answer = client.infer(model, inputs, outputs=outputs, request_id="7")
        assert answer.as_numpy("logits").tolist() == [[11, -11], [7, -7]]
        assert answer.get_response()["id"] == "7"
        assert answer.as_numpy("tokens") is None
        whole = client.infer(model, inputs)
        assert whole.as_numpy("tokens").tolist() == [[[5], [6]], [[7], [0]]]
    handle = client.async_infer(model, inputs)
    assert handle.get_result().as_numpy("logits").tolist() == [[11, -11], [7, -7]]
    bad = InferInput("input_ids", [1, 1], "INT32")
    bad.set_data_from_numpy(np.zeros((1, 1), np.int32))
    said = ""
    try:
        client.infer(model, [bad, inputs[1]])
    except InferenceServerException as error:
        said = f"{error.status()} {error.message()}"
    assert said.startswith("400 ")
    assert "INT64" in said
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
