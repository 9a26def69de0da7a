"""The page of `occdepth view` in a browser: images, legend, and voxels in the colours of their classes."""

from __future__ import annotations

import importlib.util
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.browser import CHROMIUM, Image, opened_browser

from occdepth_ros.classes import SEMANTIC_KITTI

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("rerun") is None, reason="rerun-sdk is not installed: pip install 'rerun-sdk>=0.34'"
    ),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt install chromium"),
]
SHOWN = ("road", "building", "vegetation")
"""Classes of the bundled drive whose hues differ from each other and from those of the page."""
SECONDS = 240.0
"""Longest time until the page shows everything; the software renderer takes a minute on a loaded machine."""


@pytest.fixture
def page() -> Iterator[str]:
    """Address of the page of a running `occdepth view`, which Ctrl-C ends afterwards as it ends every command."""
    options = ["--model", "stereo-geometry", "--count", "2", "--port", str(free_port())]
    command = [sys.executable, "-m", "occdepth_ros.cli", "view", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            address = None
            for line in process.stdout:
                address = address or re.match(r"viewer: (http://\S+)", line)
                if "Ctrl-C" in line:
                    break
            assert address is not None
            yield address[1]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130


def free_port() -> int:
    """Return a port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("", port + 1))
            except OSError:
                continue
            return port


def classes_in(image: Image) -> set[str]:
    """Return the classes of `SHOWN` whose hue fills more than 1000 pixels; shading changes the brightness only."""
    hue, saturation, _ = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    found = set()
    for name in SHOWN:
        color = np.array(SEMANTIC_KITTI.colors[SEMANTIC_KITTI.id_of(name)], np.uint8).reshape(1, 1, 3)
        own = int(cv2.cvtColor(color, cv2.COLOR_RGB2HSV)[0, 0, 0])
        if np.count_nonzero((np.abs(hue.astype(int) - own) <= 4) & (saturation > 150)) > 1000:
            found.add(name)
    return found


def parts(image: Image) -> tuple[Image, Image]:
    """Return the column of images and legend, and the 3-D view beside it."""
    border = 2 * image.shape[1] // 7
    return image[:, :border], image[:, border + 20 :]


def shows_everything(image: Image) -> bool:
    """Whether the 3-D view has the colours of the classes, and the column of images the colours of a camera."""
    column, view = parts(image)
    return classes_in(view) == set(SHOWN) and len(np.unique(column.reshape(-1, 3), axis=0)) > 5000


def test_the_page_shows_images_and_voxels_by_class(page: str, tmp_path: Path) -> None:
    with opened_browser(tmp_path / "profile") as browser:
        browser.open("about:blank")
        assert not shows_everything(browser.screenshot())
        browser.open(page)
        image = browser.wait_for(shows_everything, SECONDS)
    column, view = parts(image)
    assert classes_in(view) == set(SHOWN)
    assert len(np.unique(column.reshape(-1, 3), axis=0)) > 5000
