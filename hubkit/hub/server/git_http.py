"""`git clone` over smart HTTP, read only: what is written comes through the API."""

from __future__ import annotations

from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING

from dulwich.errors import GitProtocolError
from starlette.responses import Response, StreamingResponse

from hubkit.hub.server.call import Call, Route
from hubkit.hub.server.problems import bad_request, forbidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dulwich.server import UploadPackHandler

    from hubkit.hub.server.git import GitRepo

_SERVICE = "git-upload-pack"
_HELD_BYTES = 8 << 20
_BLOCK_BYTES = 1 << 20


def _handler(git: GitRepo, sent: bytes, out: IO[bytes], *, advertise: bool) -> UploadPackHandler:
    from dulwich.protocol import ReceivableProtocol
    from dulwich.server import DictBackend, UploadPackHandler

    protocol = ReceivableProtocol(BytesIO(sent).read, out.write)
    backend = DictBackend({"/": git.dulwich})
    return UploadPackHandler(backend, ["/"], protocol, stateless_rpc=True, advertise_refs=advertise)


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while data := stream.read(_BLOCK_BYTES):
            yield data


def info_refs(call: Call) -> Response:
    """GET {id}.git/info/refs?service=git-upload-pack"""
    if call.text("service") == "git-receive-pack":
        raise forbidden("This Hub takes commits through its API, not through git push")
    if call.text("service") != _SERVICE:
        raise bad_request("Only git's smart protocol is spoken")
    out = BytesIO()
    with call.repository.git() as git:
        handler = _handler(git, b"", out, advertise=True)
        handler.proto.write_pkt_line(f"# service={_SERVICE}\n".encode())
        handler.proto.write_pkt_line(None)
        handler.handle()
    return Response(
        out.getvalue(),
        media_type=f"application/x-{_SERVICE}-advertisement",
        headers={"Cache-Control": "no-cache"},
    )


def upload_pack(call: Call) -> Response:
    """POST {id}.git/git-upload-pack"""
    sent = call.body
    if call.headers.get("content-encoding") == "gzip":
        import zlib

        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            sent = unpacker.decompress(sent, 32 * 1024 * 1024)
        except zlib.error:
            raise bad_request("The request is not gzip, as it says") from None
        if unpacker.unconsumed_tail:
            raise bad_request("The request is too large")
    # A pack may be as large as all of the repository.
    folder = str(call.hub.store.temporary)
    out = SpooledTemporaryFile(_HELD_BYTES, dir=folder)  # noqa: SIM115  `_blocks` closes it
    with call.repository.git() as git:
        try:
            _handler(git, sent, out, advertise=False).handle()
        except (GitProtocolError, AssertionError, ValueError) as error:
            # The last two are how dulwich meets commands and ids that are none.
            raise bad_request(f"git-upload-pack cannot answer this: {error}") from None
    size = out.tell()
    out.seek(0)
    return StreamingResponse(
        _blocks(out),
        media_type=f"application/x-{_SERVICE}-result",
        headers={"Cache-Control": "no-cache", "Content-Length": str(size)},
    )


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "info/refs"): Route(info_refs, "files"),
    ("POST", _SERVICE): Route(upload_pack, "files"),
}
