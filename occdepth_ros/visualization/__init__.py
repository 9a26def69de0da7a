"""Figures and videos of predictions; needs neither a display nor a graphics stack."""

from occdepth_ros.visualization.overview import FrameImages, draw_frame, frame_title

__all__ = ["FrameImages", "draw_frame", "frame_title"]
