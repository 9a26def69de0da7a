"""Pictures of predictions: what a person looks at; needs neither a display nor a graphics stack."""

from occdepth_ros.visualization.overview import FramePictures, draw_frame, frame_title

__all__ = ["FramePictures", "draw_frame", "frame_title"]
