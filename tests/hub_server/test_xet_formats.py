"""Hashes, xorbs and shards: against the protocol's own figures, and against what is broken."""

from __future__ import annotations

import contextlib
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.hub.server.problems import Problem
from hubkit.hub.server.xet_formats import (
    MOST_CHUNK_BYTES,
    ShardFile,
    chunks_of_xorb,
    files_of_shard,
)
from hubkit.hub.server.xet_hashes import file_hash, to_bytes, to_text, xorb_hash
from tests.hub_server.xet import LZ4, LZ4_OF_PLANES, STORED, Term, packed, shard_of, xorb_of

# Of the reference implementation's tests: chunks (hash, length), their xorb, their file.
A = "cfc5d07f6f03c29bbf424132963fe08d19a37d5757aaf520bf08119f05cd56d6"
B = "c3e67584b5c4fc2a89837ec39e40f2c8a6bb0b2987ac94cd4b31e5fbdd210a72"
C = "0d2beb91b9196929a5ddec9f6e306924ddf4a24268e3e59fd8464738d525af37"
D = "adf8773496a9b7319b2e50dc98093f344053b17d8ad37100b9c07d9805988784"
VECTORS = [
    ([(A, 100)], A, "8e16257caa3fe079d484d872a8975264b2ff683b0d6db9028cc7c0f968a45661"),
    (
        [(A, 100), (B, 200), (C, 300)],
        "71ec1275fca074724e2dd666921b3277c7cee603e4d025bcab2d4050015be2bc",
        "54e55dccc6653c612bdb5576c5d3cb34bb31bc4e100248abccf4c908b3ef7715",
    ),
    (
        [(A, 100), (B, 200), (A, 100), (B, 200), (C, 300), (D, 400)],
        "52c826f99507aa05d0b45e9837fa1709e0485425cfbcb1e80db3905cf98b3ee9",
        "91d21684db364c8883ab8209fa5eb2e781cf07f37e1fa43e731c30839afe422f",
    ),
]


@pytest.mark.parametrize(("chunks", "xorb", "file"), VECTORS, ids=["1", "3", "6"])
def test_hashes_are_those_of_the_protocol(
    chunks: list[tuple[str, int]], xorb: str, file: str
) -> None:
    given_chunks = [(to_bytes(text), size) for text, size in chunks]

    assert to_text(xorb_hash(given_chunks)) == xorb
    assert to_text(file_hash(given_chunks)) == file


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_hash_is_a_hash(text: str) -> None:
    with pytest.raises(Problem, match="64 lower-case"):
        to_bytes(text)


@pytest.mark.parametrize("scheme", [STORED, LZ4, LZ4_OF_PLANES])
def test_chunks_come_out_as_they_went_in(scheme: int) -> None:
    source = random.Random(5)
    parts = [source.randbytes(4 * n + n % 4) * 3 for n in (1, 2, 3, 5000)]
    _, body = xorb_of(parts, scheme)

    assert list(chunks_of_xorb(io.BytesIO(body))) == parts
    assert list(chunks_of_xorb(io.BytesIO(body + b"XETBLOB\1 an index"))) == parts


def _resized(chunk: bytes, size: int) -> bytes:
    return chunk[:5] + size.to_bytes(3, "little") + chunk[8:]


@pytest.mark.parametrize(
    "body",
    {
        "cut": packed(b"x" * 1000, LZ4)[:-3],
        "short": _resized(packed(b"x" * 1000, LZ4), 999),
        "long": _resized(packed(b"x" * 1000, LZ4), 1001),
        "long and stored": _resized(packed(b"x" * 1000, STORED), 1001),
        "large": packed(b"x" * (MOST_CHUNK_BYTES + 1), LZ4),
        "half a header": packed(b"x", STORED)[:4],
        "version": b"\1" + packed(b"x", STORED)[1:],
        "scheme": packed(b"x", STORED)[:4] + b"\7" + packed(b"x", STORED)[5:],
        "not lz4": packed(b"x" * 9, STORED)[:4] + b"\1" + packed(b"x" * 9, STORED)[5:],
        "empty": _resized(packed(b"", STORED), 0),
    }.values(),
)
def test_a_broken_xorb_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        list(chunks_of_xorb(io.BytesIO(body)))
    assert refused.value.status == 400


def test_a_xorb_may_not_be_larger_when_unpacked_than_the_protocol_allows() -> None:
    bomb = packed(bytes(MOST_CHUNK_BYTES), LZ4) * 513

    with pytest.raises(Problem, match="too large"):
        for _ in chunks_of_xorb(io.BytesIO(bomb)):
            pass


def test_a_shard_names_its_files() -> None:
    parts = [b"a" * 10, b"b" * 20, b"c" * 30]
    name, shard = shard_of([Term(parts, 1, 3), Term(parts, 0, 1)])

    (file,) = _parse_shard(shard)

    assert to_text(file.hash) == name
    assert [(t.start, t.end, t.size_bytes) for t in file.terms] == [(1, 3, 50), (0, 1, 10)]
    assert file.size_bytes == 60


def test_a_shard_without_proofs_is_refused() -> None:
    _, shard = shard_of([Term([b"a"], 0, 1)])
    without = shard[:80] + (1 << 30).to_bytes(4, "little") + shard[84:]

    with pytest.raises(Problem, match="lacks its verification"):
        _parse_shard(without)


def test_a_shard_of_too_many_terms_is_refused_before_they_are_read() -> None:
    _, shard = shard_of([Term([b"a"], 0, 1)])
    many = shard[:84] + (0xFFFFFFFF).to_bytes(4, "little") + shard[88:]

    with pytest.raises(Problem) as refused:
        _parse_shard(many)
    assert refused.value.status == 413


@given(st.data())
def test_no_bytes_make_the_parsers_do_anything_but_refuse(data: st.DataObject) -> None:
    _, shard = shard_of([Term([b"a" * 10, b"b"], 0, 2)])
    _, xorb = xorb_of([b"a" * 100, b"b" * 50], LZ4)
    for whole, parse in ((shard, _parse_shard), (xorb, _parse_xorb)):
        broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
        for _ in range(data.draw(st.integers(0, 4)) if broken else 0):
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(Problem):
            parse(bytes(broken))


def _parse_shard(body: bytes) -> list[ShardFile]:
    return files_of_shard(io.BytesIO(body))


def _parse_xorb(body: bytes) -> object:
    return list(chunks_of_xorb(io.BytesIO(body)))
