"""Headless Chromium, told what to do over a pipe: device metrics, themes, scripts and pictures.

The pipe speaks the DevTools protocol, so that a phone's width and the dark theme are what a page
really sees; a window of headless Chromium is never narrower than 500 px.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

# What is wrong with a page's layout, found in the page itself. An element may be wider than the
# window where a box that scrolls holds it, unless that box is itself too wide.
CHECK = r"""
(async () => {
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map((i) => i.complete || new Promise((done) => {
    i.addEventListener("load", done); i.addEventListener("error", done);
    setTimeout(done, 5000);
  })));
  const wide = document.documentElement.clientWidth;
  const scrolls = (e) => ["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX);
  const inBox = (e) => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (scrolls(p)) return true;
    return false;
  };
  const name = (e) => e.tagName.toLowerCase() + (e.className ? "." + e.className : "") +
    " " + JSON.stringify((e.textContent || e.alt || "").trim().slice(0, 50));
  const overflow = [...document.body.querySelectorAll("*")].filter((e) => {
    const r = e.getBoundingClientRect();
    return r.width > 0 && (r.right > wide + 1 || r.left < -1) && !inBox(e);
  }).map(name);
  if (document.documentElement.scrollWidth > wide + 1)
    overflow.unshift("the page is " + document.documentElement.scrollWidth + " px wide");
  const ids = new Set([...document.querySelectorAll("[id]")].map((e) => e.id));
  const anchors = [...document.querySelectorAll('a[href^="#"]')]
    .map((a) => decodeURIComponent(a.getAttribute("href").slice(1)))
    .filter((id) => id && !ids.has(id));
  const broken = images.filter((i) => !i.naturalWidth && !/\.svg$/.test(i.src) ||
    !i.complete || i.naturalWidth === 0).map((i) => i.getAttribute("src") || i.alt);
  return JSON.stringify({overflow, images: broken, anchors,
    height: document.documentElement.scrollHeight});
})()
"""


@dataclass(frozen=True)
class Findings:
    """What is wrong with a page: elements that stick out, images and anchors that lead nowhere."""

    overflow: tuple[str, ...]
    images: tuple[str, ...]
    anchors: tuple[str, ...]
    height: int

    @property
    def clean(self) -> bool:
        return not (self.overflow or self.images or self.anchors)


class Chromium:
    """A browser with one page; leave the `with` block to end it."""

    def __init__(self) -> None:
        assert BROWSER, "there is no Chromium here"
        self._profile = tempfile.mkdtemp(prefix="hubkit-browser-")
        read, self._to = os.pipe()
        self._from, write = os.pipe()
        flags = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--hide-scrollbars", "--remote-debugging-pipe", "--allow-file-access-from-files"),
            f"--user-data-dir={self._profile}",
        ]
        actions = [
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            # By way of high numbers: either end may itself be 3 or 4.
            (os.POSIX_SPAWN_DUP2, read, 103),
            (os.POSIX_SPAWN_DUP2, write, 104),
            (os.POSIX_SPAWN_DUP2, 103, 3),
            (os.POSIX_SPAWN_DUP2, 104, 4),
            (os.POSIX_SPAWN_CLOSE, 103),
            (os.POSIX_SPAWN_CLOSE, 104),
        ]
        self._pid = os.posix_spawn(
            BROWSER, [BROWSER, *flags], os.environ, file_actions=actions, setpgroup=0
        )
        os.close(read)
        os.close(write)
        self._number, self._left = 0, b""
        self._session: str | None = None

    def __enter__(self) -> Chromium:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = str(attached["sessionId"])
        self._call("Page.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str, *, width: int, dark: bool = False) -> None:
        """Go to a page and wait until it is loaded."""
        phone = width < 600
        metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": phone}
        self._call("Emulation.setDeviceMetricsOverride", **metrics)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[theme])
        self._call("Page.navigate", url=url)
        ready = "document.readyState === 'complete' && location.href !== 'about:blank'"
        end = time.monotonic() + 30
        while not self.value(ready):
            assert time.monotonic() < end, f"{url} does not load"
            time.sleep(0.02)

    def value(self, expression: str) -> object:
        """What a script in the page gives back."""
        found = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        result = found["result"]
        assert isinstance(result, dict)
        return result.get("value")

    def check(self) -> Findings:
        """What is wrong with the page that is open."""
        found = json.loads(str(self.value(CHECK)))
        return Findings(
            tuple(found["overflow"]),
            tuple(found["images"]),
            tuple(found["anchors"]),
            int(found["height"]),
        )

    def picture(self, path: Path, *, top: int = 0, height: int = 8000) -> None:
        """A PNG of the page, from `top` down, at most `height` px of it."""
        box = json.loads(
            str(self.value("JSON.stringify([innerWidth, document.documentElement.scrollHeight])"))
        )
        clip = {"x": 0, "y": top, "width": box[0], "scale": 1}
        clip["height"] = max(1, min(height, box[1] - top))
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(str(shot["data"])))

    def _call(self, method: str, **params: object) -> dict[str, object]:
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        end = time.monotonic() + 60
        while True:
            answer = self._next(end)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result = answer["result"]
                assert isinstance(result, dict)
                return result

    def _next(self, end: float) -> dict[str, object]:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            read = os.read(self._from, 1 << 20)
            assert read, "Chromium has ended"
            self._left += read
        line, self._left = self._left.split(b"\0", 1)
        found: dict[str, object] = json.loads(line)
        return found
