"""`git clone` over smart HTTP, read only: what is written comes through the API."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from dulwich.errors import GitProtocolError
from starlette.responses import Response

from hubkit.hub.server.call import Call, Route
from hubkit.hub.server.problems import bad_request, forbidden

if TYPE_CHECKING:
    from dulwich.server import UploadPackHandler

    from hubkit.hub.server.git import GitRepo

_SERVICE = "git-upload-pack"


def _handler(git: GitRepo, sent: bytes, *, advertise: bool) -> tuple[UploadPackHandler, BytesIO]:
    from dulwich.protocol import ReceivableProtocol
    from dulwich.server import DictBackend, UploadPackHandler

    out = BytesIO()
    protocol = ReceivableProtocol(BytesIO(sent).read, out.write)
    backend = DictBackend({"/": git.dulwich})
    made = UploadPackHandler(backend, ["/"], protocol, stateless_rpc=True, advertise_refs=advertise)
    return made, out


def info_refs(call: Call) -> Response:
    """GET {id}.git/info/refs?service=git-upload-pack"""
    if call.text("service") == "git-receive-pack":
        raise forbidden("This Hub takes commits through its API, not through git push")
    if call.text("service") != _SERVICE:
        raise bad_request("Only git's smart protocol is spoken")
    with call.repository.git() as git:
        handler, out = _handler(git, b"", advertise=True)
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
    with call.repository.git() as git:
        handler, out = _handler(git, sent, advertise=False)
        try:
            handler.handle()
        except (GitProtocolError, AssertionError, ValueError) as error:
            # The last two are how dulwich meets commands and ids that are none.
            raise bad_request(f"git-upload-pack cannot answer this: {error}") from None
    return Response(
        out.getvalue(),
        media_type=f"application/x-{_SERVICE}-result",
        headers={"Cache-Control": "no-cache"},
    )


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "info/refs"): Route(info_refs, "files"),
    ("POST", _SERVICE): Route(upload_pack, "files"),
}
