"""Silence around libraries that print, log and warn about their own insides."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is printed to stdout, logged below ERROR, or warned about inside.

    With HUBKIT_DEBUG set nothing is hushed, and prints go to stderr: stdout holds hubkit's data.
    """
    if os.environ.get("HUBKIT_DEBUG"):
        with redirect_stdout(sys.stderr):
            yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
