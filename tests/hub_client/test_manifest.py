from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hubkit.hub.manifest import format_sums, parse_sums
from hubkit.keys import digest_of_bytes


def test_sha256sum_reads_it(tmp_path: Path) -> None:
    sums = {}
    for name, data in {"b.txt": b"b", "a dir/ä.txt": b"a"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
        sums[name] = digest_of_bytes(data)
    (tmp_path / "SHA256SUMS").write_text(format_sums(sums), encoding="utf-8")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert parse_sums(format_sums(sums)) == sums


@pytest.mark.parametrize(
    "line",
    ["abc  x", f"{'0' * 64} x", f"{'0' * 64}  /etc/x", f"{'0' * 64}  a/../../x", "hello"],
)
def test_what_is_no_manifest(line: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        parse_sums(line)
