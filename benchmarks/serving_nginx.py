"""The load generator against nginx, with wrk beside it on the same server.

nginx answers at once with a fixed answer of the protocol, on one core; whoever sends has the other.
Then it lets a fixed number of requests a second through (limit_req with a burst), so that both
generators meet the same latency, which is then the server's and not their own: of a server that
answers at once a latency is mostly what the generator itself takes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import HubkitError
from hubkit.formats_records import Level, ServingPlan
from hubkit.serving.client import Client, request_bytes
from hubkit.serving.codec import encode_request
from hubkit.serving.load_process import LoadProcess
from hubkit.serving.load_worker import LoadCall, write_requests

if TYPE_CHECKING:
    from collections.abc import Iterator

_ANSWER = json.dumps(
    {
        "model_name": "m",
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 2], "data": [0.5, -0.5]}],
    }
)
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
    location = /v2/models/m/infer {{ return 200 '{answer}'; }}
    location = /v2/models/paced/infer {{
      limit_req zone=paced burst=1000;
      proxy_pass http://self/v2/models/m/infer; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_buffering on;
    }}
  }}
}}
"""
_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.headers["Inference-Header-Content-Length"] = "{length}"
local file = io.open("{body}", "rb"); wrk.body = file:read("*a"); file:close()
"""
PORT, RATE = 18765, 1000
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@contextmanager
def nginx(folder: Path) -> Iterator[None]:
    """nginx with the two addresses, on core 0."""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=PORT, rate=RATE, answer=_ANSWER))
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


def wrk(folder: Path, path: str, body: tuple[bytes, int], clients: int, seconds: int) -> Level:
    """What wrk says of an address: throughput, mean, p50, p99."""
    (folder / "body.bin").write_bytes(body[0])
    script = folder / "post.lua"
    script.write_text(_LUA.format(length=body[1], body=folder / "body.bin"))
    url = f"http://127.0.0.1:{PORT}{path}"
    options = ["-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    done = subprocess.run(
        ["taskset", "-c", "1", _need("wrk"), *options], capture_output=True, text=True, check=True
    )
    latency = re.search(r"Latency\s+([\d.]+)(us|ms|s)", done.stdout)
    share = {
        int(p): float(v) * _UNITS[u]
        for p, v, u in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", done.stdout)
    }
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    count = re.search(r"(\d+) requests in", done.stdout)
    assert latency is not None
    assert rate is not None
    assert count is not None
    return Level(
        loop="closed",
        concurrency=clients,
        requests=int(count[1]),
        seconds=seconds,
        throughput_per_s=float(rate[1]),
        mean_ms=float(latency[1]) * _UNITS[latency[2]],
        p50_ms=share[50],
        p90_ms=share[90],
        p95_ms=share[90],
        p99_ms=share[99],
        stable=True,
        windows=(),
    )


def ours(folder: Path, requests: Path, clients: int, seconds: float) -> Level:
    """The same by the load generator, on core 1."""
    plan = ServingPlan(window_s=seconds / 3, max_windows=3, warmup_requests=200)
    call = LoadCall(
        host="127.0.0.1", port=PORT, requests=str(requests), plan=plan, concurrency=clients, cpu=1
    )
    with LoadProcess() as process:
        return process.level(call)


def main(seconds: int = 6) -> None:
    """Print both, at 1, 8 and 32 clients, at full speed and paced."""
    import numpy as np

    ids = np.arange(27, dtype=np.int64)[None]
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    body = encode_request(inputs)
    assert body.json_length is not None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with nginx(folder):
            for model in ("m", "paced"):
                path = f"/v2/models/{model}/infer"
                file = folder / f"{model}.bin"
                write_requests(file, [request_bytes("127.0.0.1", PORT, path, body)])
                for clients in (1, 8, 32):
                    _row(
                        model,
                        "wrk",
                        wrk(folder, path, (body.data, body.json_length), clients, seconds),
                    )
                    _row(model, "hubkit", ours(folder, file, clients, seconds))


def _row(model: str, who: str, level: Level) -> None:
    sys.stdout.write(
        f"{model:6} {who:7} clients {level.concurrency:3}  {level.throughput_per_s:9.0f}/s"
        f"  mean {level.mean_ms:8.3f} ms  p50 {level.p50_ms:8.3f}  p99 {level.p99_ms:8.3f}"
        f"  errors {level.errors}\n"
    )
    sys.stdout.flush()


def _need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise HubkitError(f"{program} is not installed")
    return found


if __name__ == "__main__":
    main()
