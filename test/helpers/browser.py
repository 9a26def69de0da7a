"""Screenshots of pages in headless Chromium, which is driven over a pair of pipes (DevTools protocol)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# WebGL by the software renderer, so that no GPU is needed; the sandbox does not start as root
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--window-size=1600,1000"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"),
)
Image = npt.NDArray[np.uint8]


class Browser:
    """A running browser: one page at a time."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, os.fdopen(answers, "rb")
        self._number = 0
        self._session: str | None = None

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            text = bytearray()
            while (byte := self._answers.read(1)) != b"\0":
                assert byte, "the browser has ended"
                text += byte
            answer = json.loads(text)
            if answer.get("id") == self._number:
                assert "result" in answer, answer
                return dict(answer["result"])

    def close(self) -> None:
        """Close the pipe of the answers."""
        self._answers.close()

    def open(self, url: str) -> None:
        """Open a page instead of the present one."""
        self._session = None
        target = self._call("Target.createTarget", url=url)["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def screenshot(self) -> Image:
        """Return the image of the page, `[H, W, 3]` RGB."""
        data = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)

    def wait_for(self, condition: Callable[[Image], bool], seconds: float) -> Image:
        """Return the first screenshot that fulfils a condition, or the last one after so many seconds."""
        end = time.monotonic() + seconds
        while not condition(image := self.screenshot()) and time.monotonic() < end:
            time.sleep(1.0)
        return image


@contextmanager
def opened_browser(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an own profile in a folder, and end it."""
    assert CHROMIUM is not None
    read_commands, commands = os.pipe()
    answers, write_answers = os.pipe()
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    # the protocol is spoken on the descriptors 3 and 4
    shell = ["bash", "-c", f'exec "$@" 3<&{read_commands} 4>&{write_answers}', "bash", *command]
    with subprocess.Popen(
        shell, pass_fds=(read_commands, write_answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(read_commands)
        os.close(write_answers)
        browser = Browser(commands, answers)
        try:
            yield browser
        finally:
            os.close(commands)
            process.terminate()
            browser.close()
