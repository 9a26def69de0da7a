"""Stereo sequences for replay: `open_source(path)` recognises the layout."""

from occdepth_ros.sources.base import SceneTruth, StereoFrame, StereoSource
from occdepth_ros.sources.factory import open_source

__all__ = ["SceneTruth", "StereoFrame", "StereoSource", "open_source"]
