"""hub_probe.py of the shared folder, with each client and each way of moving files.

Clients below 2 check a card at a built-in address before two of the operations; only there a proxy
stands in for it (see stand_in.py), and what fails without one is asserted too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.environments import CLIENTS
from tests.conformance.run import MODES, OPERATIONS, WITH_STAND_IN, Mode, probe_path, run_probe

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not probe_path().is_file(), reason="no hub_probe.py; see HUB_PROBE"),
]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name.replace(" ", "-"))
@pytest.mark.parametrize("client", CLIENTS)
def test_all_operations_pass(client: str, mode: Mode, tmp_path: Path) -> None:
    result = run_probe(client, mode, tmp_path, stand_in=client in WITH_STAND_IN)

    assert (result.passed, result.failed) == (OPERATIONS, ()), result.output


@pytest.mark.parametrize("client", WITH_STAND_IN)
def test_only_what_goes_to_the_built_in_address_needs_the_proxy(
    client: str, tmp_path: Path
) -> None:
    result = run_probe(client, MODES[0], tmp_path)

    assert result.failed == ("ModelCard.push_to_hub / load", "metadata_update"), result.output
    assert result.passed == OPERATIONS - 2
