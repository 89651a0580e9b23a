"""Pictures of results: overlays, heatmaps and skeletons, drawn with OpenCV on BGR frames."""

from skipvid.draw.heat import HeatmapRenderer, TimeAverage
from skipvid.draw.overlay import Overlay, draw_result
from skipvid.draw.skeleton import draw_skeleton
from skipvid.draw.status import Status

__all__ = ["HeatmapRenderer", "Overlay", "Status", "TimeAverage", "draw_result", "draw_skeleton"]
