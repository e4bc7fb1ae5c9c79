"""Old names of repositories: whoever asks for one is sent to where it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from hubkit.hub.server.call import sees
from hubkit.hub.server.problems import Problem

if TYPE_CHECKING:
    from hubkit.hub.server.call import Call
    from hubkit.hub.server.names import RepoId


def send_on(call: Call, old: RepoId, raw_path: str) -> None:
    """Raise a 307 to the same path below the new name, if there is one that the user may see.

    The address is a relative one: a client follows those for HEAD too, and keeps its token.
    """
    found = call.hub.store.moved(old)
    if found is None or not sees(call.user, found) or f"/{old.id}" not in raw_path:
        return
    path = raw_path.replace(f"/{old.id}", f"/{found.id.id}", 1)
    query = f"?{urlencode(call.query, doseq=True)}" if call.query else ""
    raise Problem(307, f"Moved to {found.id.id}", extra={"Location": path + query})
