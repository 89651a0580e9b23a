"""Detections as a COCO document."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skipvid.core.errors import OutputError
from skipvid.core.files import output_errors
from skipvid.core.labels import skeleton
from skipvid.core.results import Detections, FrameResult, RunHeader, RunSummary
from skipvid.video.sinks.records import Record, dumps, header_record, number
from skipvid.video.sinks.text import TextSink


class CocoSink(TextSink):
    """A COCO data set of the run: {"info", "images", "annotations", "categories"}; `pycocotools.coco.COCO(file)` reads it.

    Every frame is an image: id = frame + 1, file_name the image's own, relative to the folder that was
    given, or "clip.mp4#17" (frame from 0), and its time in seconds. An annotation has the data
    set's fields and the results' `score`, so `json.load(open(file))["annotations"]` is a COCO results list, as `COCO.loadRes` takes it.
    bbox: [left, top, width, height]. keypoints: [x, y, v, …] with v = 2 where the score is above 0, the scores in keypoint_scores; their
    names, and the pairs of them to join, stand in the category.
    A detection with a number that is not finite is left out. Memory stays flat: annotations wait in a second file for the images' end.
    A killed run leaves two part files: the data set without its annotations, and those as a COCO results list (`COCO(one).loadRes(other)`).
    """

    def __init__(self, path: Path, header: RunHeader) -> None:
        self._categories = dict(header.categories)
        self._keypoints = header.keypoints
        self._images = self._annotations = 0
        super().__init__(path)
        try:
            self._tail = _Annotations(path.with_name(path.name + ".annotations"), lambda: self._flush(self._ending()))
        except OutputError:
            super().close()
            raise
        info = {"description": f"skipvid {header.command} {header.source.name}", **header_record(header)}
        self._put('{"info": ' + dumps(info) + ',\n"images": [', flush=True)

    def write(self, result: FrameResult) -> None:
        frame, found = result.frame, result.detections
        image_id = frame.index + 1
        image = {
            "id": image_id,
            "file_name": frame.name,
            "width": frame.width,
            "height": frame.height,
            "time": number(frame.time, 6),
        }
        self._put(_separator(self._images) + dumps(image))
        self._images += 1
        for i, label in enumerate(found.labels):
            annotation = _annotation(found, i)
            if annotation is None:
                continue
            self._categories.setdefault(int(found.category_ids[i]), label)
            self._tail.add({"id": self._annotations + 1, "image_id": image_id, **annotation})
            self._annotations += 1

    def _ending(self) -> str:
        return "\n],\n" + self._category_list()

    def _complete(self, summary: RunSummary) -> None:
        self._put('\n],\n"annotations": ', flush=True)
        self._tail.finish(summary)
        assert self._text is not None
        with output_errors(self.path), self._tail.part.open("rb") as tail:
            self._text.seek(self._end)
            shutil.copyfileobj(tail, self._text)
            self._end = self._text.tell()
        self._put(",\n" + self._category_list())

    def _commit(self) -> None:
        super()._commit()
        self._tail.remove()

    def _category_list(self) -> str:
        records = []
        for key, name in sorted(self._categories.items()):
            category: Record = {"id": key, "name": name, "supercategory": ""}
            if self._keypoints:
                category |= {"keypoints": list(self._keypoints), "skeleton": [list(pair) for pair in skeleton(self._keypoints)]}
            records.append("\n" + dumps(category))
        return '"categories": [' + ",".join(records) + "\n]}\n"

    def close(self) -> None:
        self._tail.close()
        super().close()


class _Annotations(TextSink):
    """The data set's annotations as a JSON list, until they can be appended to the images."""

    def __init__(self, path: Path, before_flush: Callable[[], None]) -> None:
        """before_flush: brings the images to the disk, so that a killed run leaves no annotation without its image."""
        super().__init__(path)
        self._before_flush = before_flush
        self._count = 0
        self._put("[", flush=True)

    @property
    def part(self) -> Path:
        assert self._file is not None
        return self._file.part

    def add(self, record: Record) -> None:
        """Append one annotation."""
        self._put(_separator(self._count) + dumps(record))
        self._count += 1

    def write(self, result: FrameResult) -> None:
        """Nothing: see `add`."""

    def _ending(self) -> str:
        return "\n]"

    def _flush(self, ending: str = "") -> None:
        if ending:
            self._before_flush()
        super()._flush(ending)

    def _complete(self, summary: RunSummary) -> None:
        self._put(self._ending())

    def _commit(self) -> None:
        """It never gets a name of its own."""

    def remove(self) -> None:
        """The annotations stand in the data set now."""
        assert self._file is not None
        self._file.discard()
        self._file.remove_left_behind()


def _annotation(found: Detections, i: int) -> Record | None:
    box, score = found.boxes[i].astype(np.float64), float(found.scores[i])
    points = None if found.keypoints is None else found.keypoints[i]
    if not np.isfinite([*box, score]).all() or (points is not None and not np.isfinite(points).all()):
        return None
    x1, y1, x2, y2 = (float(v) for v in box)
    record: Record = {
        "category_id": int(found.category_ids[i]),
        "bbox": [number(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
        "area": number((x2 - x1) * (y2 - y1), 2),
        "iscrowd": 0,
        "score": number(score, 4),
    }
    if found.ids is not None:
        record["track_id"] = int(found.ids[i])
    if points is not None:
        record["keypoints"] = [part for x, y, s in points for part in (number(x, 2), number(y, 2), 2 if s > 0 else 0)]
        record["keypoint_scores"] = [number(s, 4) for s in points[:, 2]]
        record["num_keypoints"] = int((points[:, 2] > 0).sum())
    return record


def _separator(written: int) -> str:
    return ",\n" if written else "\n"
