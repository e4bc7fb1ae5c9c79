"""`hubkit hub`: the embedded Hub, a server that speaks the Hugging Face Hub's protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(help="Run an embedded Hub on this machine.", no_args_is_help=True)

USERS_HELP = (
    "YAML or JSON file of users, {NAME: {token: hf_..., role: write}}. role is write (default) or "
    "read; token_sha256 may stand in place of token; orgs lists further namespaces to write to; "
    "tokens lists several, fine-grained ones too (see the server's README). "
    "Without it there is one user, demo, whose random token is in ROOT/token."
)


@app.callback()
def _group() -> None:
    """Run an embedded Hub on this machine."""


@app.command()
def serve(
    root: Annotated[Path, typer.Option(help="Folder that holds the repositories.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8090,
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine reaches the default.")
    ] = "127.0.0.1",
    users: Annotated[Optional[Path], typer.Option(help=USERS_HELP)] = None,  # noqa: UP045
    prefer_xet: Annotated[
        bool,
        typer.Option("--prefer-xet", help="Tell clients to move files by Xet, as the Hub does."),
    ] = False,
    bare_commit_urls: Annotated[
        bool,
        typer.Option(
            "--bare-commit-urls",
            help="Answer huggingface_hub 0.x with commit URLs that it can parse even where it was "
            "given this address as endpoint= and not in HF_ENDPOINT.",
        ),
    ] = False,
) -> None:
    """Serve repositories to any Hugging Face client until Ctrl-C.

    Point a client here with HF_ENDPOINT, and open the same address in a browser for the cards.
    """
    from hubkit.hub.server.embedded import serve as serve_here

    def started(endpoint: str) -> None:
        typer.echo(f"serving {root} at {endpoint}", err=True)
        typer.echo(f"  export HF_ENDPOINT={endpoint}", err=True)
        if users is None:
            typer.echo(f"  export HF_TOKEN=$(cat {root / 'token'})", err=True)
        if host not in ("127.0.0.1", "localhost", "::1"):
            typer.echo("  anyone who reaches this address can read public repositories", err=True)

    serve_here(
        root,
        host=host,
        port=port,
        users=users,
        prefer_xet=prefer_xet,
        bare_urls=bare_commit_urls,
        on_start=started,
    )
