"""Recorded stereo sequences: `open_source(path)` recognises the layout."""

from occdepth_ros.sources.base import SceneGroundTruth, SourceOptions, StereoFrame, StereoSource
from occdepth_ros.sources.factory import open_source

__all__ = ["SceneGroundTruth", "SourceOptions", "StereoFrame", "StereoSource", "open_source"]
