"""The load generator beside wrk, on nginx, and beside perf_analyzer, on `hubkit serve`.

nginx answers with a fixed answer of the protocol, on one core; whoever sends has the other. Three
addresses: `once` answers at once; `busy` compresses its answer first, which takes it some 70 µs;
`paced` lets a fixed number of requests a second through (limit_req with a burst). Of a server that
answers at once a latency is mostly what the generator itself takes. The generators take turns, in
many short rounds, and what one says is put over what the other says in the same round: the median
of these ratios is shown with their quartiles, so that a difference can be told from what the same
generator says from round to round.

perf_analyzer is in Linux wheels of tritonclient up to 2.58 (data/bin/perf_analyzer); it needs
libb64 and CUDA's libcudart.so.12, which uses no GPU here.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import HubkitError
from hubkit.formats_records import ServingPlan
from hubkit.serving.client import Client, request_bytes
from hubkit.serving.codec import encode_request
from hubkit.serving.load_process import LoadProcess
from hubkit.serving.load_worker import LoadCall, write_requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serving_soak import Inputs
    from hubkit.serving.codec import Body

_ANSWER = json.dumps(
    {
        "model_name": "m",
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 2], "data": [0.5, -0.5]}],
    }
)
# Compressed in about 70 µs by nginx here: numbers, as answers have.
_LONG = json.dumps({"data": [round(math.sin(n), 6) for n in range(300)]})
_TENSORS = ("input_ids", "attention_mask")
_CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
worker_processes 1; worker_cpu_affinity 01;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  limit_req_zone $server_name zone=paced:1m rate={rate}r/s;
  upstream self {{ server 127.0.0.1:{port}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port}; server_name _;
    location = /v2/models/once/infer {{ return 200 '{answer}'; }}
    location = /v2/models/busy/infer {{
      gzip on; gzip_types application/json; gzip_comp_level 6; return 200 '{long}';
    }}
    location = /v2/models/paced/infer {{
      limit_req zone=paced burst=1000;
      proxy_pass http://self/v2/models/once/infer; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_buffering on;
    }}
  }}
}}
"""
_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.headers["Accept-Encoding"] = "gzip"
wrk.headers["Inference-Header-Content-Length"] = "{length}"
local file = io.open("{body}", "rb"); wrk.body = file:read("*a"); file:close()
"""
PORT, RATE = 18765, 1000
_LENGTH = 27  # tokens of a sentence
_LONGEST_S = 30.0
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Said:
    """What a generator says of one level: requests a second, milliseconds."""

    per_s: float
    mean_ms: float
    p50_ms: float
    p99_ms: float


@contextmanager
def nginx(folder: Path) -> Iterator[None]:
    """nginx with the three addresses, on core 0."""
    config = folder / "nginx.conf"
    values = {"folder": folder, "port": PORT, "rate": RATE, "answer": _ANSWER, "long": _LONG}
    config.write_text(_CONFIG.format(**values))
    command = [_need("nginx"), "-c", str(config), "-e", str(folder / "error.log")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                Client(f"http://127.0.0.1:{PORT}").server()
            except HubkitError as error:
                if "404" in error.message:  # it runs, and has no such address
                    break
                time.sleep(0.05)
        os.sched_setaffinity(process.pid, {0})
        yield
    finally:
        process.terminate()
        process.wait()


def wrk(folder: Path, model: str, body: Body, clients: int, seconds: int) -> Said:
    """What wrk says of an address."""
    (folder / "body.bin").write_bytes(body.data)
    script = folder / "post.lua"
    script.write_text(_LUA.format(length=body.json_length, body=folder / "body.bin"))
    url = f"http://127.0.0.1:{PORT}/v2/models/{model}/infer"
    options = ["-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    said = _on_core_1([_need("wrk"), *options])
    assert said is not None
    mean = re.search(r"Latency\s+([\d.]+)(us|ms|s)", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert mean is not None
    assert rate is not None
    share = {
        int(p): float(v) * _UNITS[u] for p, v, u in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", said)
    }
    return Said(float(rate[1]), float(mean[1]) * _UNITS[mean[2]], share[50], share[99])


def perf_analyzer(folder: Path, model: str, clients: int, seconds: int, port: int) -> Said | None:
    """What perf_analyzer says of a model: its three last windows. None where it did not end: with
    many clients on one core it was seen to fill its memory for minutes."""
    data = {
        name: {"content": value.ravel().tolist(), "shape": list(value.shape[1:])}
        for name, value in sentence().items()
    }
    (folder / "inputs.json").write_text(json.dumps({"data": [data]}))
    options = ["-m", model, "-u", f"127.0.0.1:{port}", "-i", "http"]
    options += ["--concurrency-range", str(clients), "-p", str(seconds * 1000 // 3)]
    options += ["-s", "999"]  # whatever the windows say: ours is asked for three of them too
    options += ["--input-data", str(folder / "inputs.json")]
    said = _on_core_1([_need("perf_analyzer"), *options])
    if said is None:
        return None

    def found(pattern: str) -> float:
        match = re.search(pattern, said)
        assert match is not None, said
        return float(match[1])

    return Said(
        found(r"throughput: ([\d.]+) infer/sec, latency"),
        found(r"infer/sec, latency (\d+) usec") / 1e3,
        found(r"p50 latency: (\d+) usec") / 1e3,
        found(r"p99 latency: (\d+) usec") / 1e3,
    )


def ours(requests: Path, clients: int, seconds: float, port: int = PORT) -> Said:
    """The same by the load generator, on core 1. Raises HubkitError where an answer is an error."""
    plan = ServingPlan(window_s=seconds / 3, max_windows=3, warmup_requests=200)
    call = LoadCall(
        host="127.0.0.1", port=port, requests=str(requests), plan=plan, concurrency=clients, cpu=1
    )
    with LoadProcess() as process:
        level = process.level(call)
    if level.errors:
        raise HubkitError(f"{level.errors} answers were errors")
    return Said(level.throughput_per_s, level.mean_ms, level.p50_ms, level.p99_ms)


def _on_core_1(command: list[str]) -> str | None:
    """What a program says; None where it does not end."""
    try:
        done = subprocess.run(
            ["taskset", "-c", "1", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise HubkitError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def sentence() -> Inputs:
    """What each request asks: a row of so many tokens."""
    import numpy as np

    ids = np.arange(_LENGTH, dtype=np.int64)[None]
    return dict(zip(_TENSORS, (ids, np.ones_like(ids)), strict=True))


def main(seconds: int = 1, rounds: int = 15) -> None:
    """Print all of them at 1, 8 and 32 clients on the three addresses."""
    body = encode_request(sentence())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with nginx(folder):
            for model in ("once", "busy", "paced"):
                path = f"/v2/models/{model}/infer"
                request = request_bytes("127.0.0.1", PORT, path, body)
                gzip = b"\r\nAccept-Encoding: gzip\r\n"
                file = folder / f"{model}.bin"
                write_requests(file, [request.replace(b"\r\n", gzip, 1)])
                for clients in (1, 8, 32):
                    found: dict[str, list[Said | None]] = {"wrk": [], "hubkit": []}
                    for number in range(rounds):
                        for who in list(found) if number % 2 else reversed(found):
                            found[who].append(
                                ours(file, clients, seconds)
                                if who == "hubkit"
                                else wrk(folder, model, body, clients, seconds)
                            )
                    compare(f"{model:5} {clients:2}", found)


def beside_analyzer(model: str, port: int, seconds: int = 6, rounds: int = 5) -> None:
    """Print perf_analyzer's and hubkit's figures of a real server that runs."""
    body = encode_request(sentence())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        request = request_bytes("127.0.0.1", port, f"/v2/models/{model}/infer", body)
        write_requests(folder / "requests.bin", [request])
        for clients in (1, 8, 32):
            found: dict[str, list[Said | None]] = {"perf_analyzer": [], "hubkit": []}
            for _ in range(rounds):
                found["perf_analyzer"].append(perf_analyzer(folder, model, clients, seconds, port))
                found["hubkit"].append(ours(folder / "requests.bin", clients, seconds, port))
            compare(f"hubkit serve {clients:2}", found)


def compare(what: str, found: dict[str, list[Said | None]]) -> None:
    """Print a line for each generator: medians of its rounds, with the range of its means, and
    hubkit's over its own of the same round: median and quartiles."""
    for who, all_rounds in found.items():
        rounds = [one for one in all_rounds if one is not None]
        if len(rounds) < len(all_rounds):
            sys.stdout.write(f"{what} {who}: {len(rounds)} of {len(all_rounds)} runs ended\n")
        if not rounds:
            continue

        def median(key: str, of: list[Said] = rounds) -> float:
            return float(statistics.median(getattr(one, key) for one in of))

        means = sorted(one.mean_ms for one in rounds)
        line = f"{what} {who:13} {median('per_s'):8.0f}/s"
        line += f"  mean {median('mean_ms'):7.3f} ({means[0]:.3f} to {means[-1]:.3f})"
        line += f"  p50 {median('p50_ms'):7.3f}  p99 {median('p99_ms'):7.3f} ms"
        if who != "hubkit":
            pairs = [
                (mine, its)
                for mine, its in zip(found["hubkit"], all_rounds, strict=True)
                if mine is not None and its is not None
            ]
            mean = quartiles([mine.mean_ms / its.mean_ms for mine, its in pairs])
            p50 = quartiles([mine.p50_ms / its.p50_ms for mine, its in pairs])
            line += f"  hubkit / it: mean {mean}, p50 {p50}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def quartiles(values: list[float]) -> str:
    """The median of values, with the lower and the upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.3f} ({low:.2f} to {high:.2f})"


def _need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise HubkitError(f"{program} is not installed")
    return found


if __name__ == "__main__":
    main()
