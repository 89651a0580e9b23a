"""How well identities stay: HOTA, IDF1 and MOTA of `detect --track`, beside supervision's ByteTrack on the same boxes.

    pip install trackeval supervision==0.25.1; python benchmarks/tracking.py DATA [--activation 0.2,0.25,0.3] [--write]

The bundled detector's boxes, every frame, pedestrians alone, by TrackEval (IoU 0.5 for IDF1 and MOTA, HOTA over its own thresholds). Ours
begins a track from the preset's score on, ByteTrack from its activation threshold on; weaker boxes of half the score continue one in both.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sequences import SEQUENCES, Sequence
from tables import ResultTable, add_write_option

from skipvid.core.results import Detections, Frame
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.identities import FollowOptions
from skipvid.tasks.track import WEAK, iou_matrix

Tracked = list[tuple[NDArray[np.int64], NDArray[np.float32]]]
"""By frame: identities, and boxes (K, 4) xyxy."""


def read_truth(path: Path, first: int, count: int) -> Tracked:
    """Of a MOT file with identities."""
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    result = []
    for number in range(first, first + count):
        own = rows[rows[:, 0] == number]
        corners = np.concatenate([own[:, 2:4], own[:, 2:4] + own[:, 4:6]], 1).astype(np.float32)
        result.append((own[:, 1].astype(np.int64), corners))
    return result


def pictures(clip: Path) -> Iterator[NDArray[np.uint8]]:
    reader = cv2.VideoCapture(str(clip))
    while (read := reader.read())[0]:
        yield np.asarray(read[1], np.uint8)


def only(found: Detections, sequence: Sequence) -> NDArray[np.bool_]:
    return np.isin(found.category_ids, sequence.categories)


def by_byte_track(boxes: list[Detections], activation: float, rate: float) -> Tracked:
    """supervision's ByteTrack on detections of one class."""
    import supervision

    tracker = supervision.ByteTrack(track_activation_threshold=activation, frame_rate=round(rate))
    result = []
    for found in boxes:
        given = supervision.Detections(found.boxes, confidence=found.scores, class_id=np.zeros(len(found), int))
        followed = tracker.update_with_detections(given)
        ids = np.zeros(0, np.int64) if followed.tracker_id is None else followed.tracker_id.astype(np.int64)
        result.append((ids, followed.xyxy.astype(np.float32).reshape(-1, 4)))
    return result


def measures(found: Tracked, truth: Tracked) -> tuple[float, float, float]:
    """HOTA, IDF1, MOTA in percent."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    def numbered(tracks: Tracked) -> tuple[list[NDArray[np.int64]], int, int]:
        names = {name: number for number, name in enumerate(sorted({int(i) for ids, _ in tracks for i in ids}))}
        return [np.array([names[int(i)] for i in ids], int) for ids, _ in tracks], len(names), sum(len(ids) for ids, _ in tracks)

    true_ids, true_count, true_boxes = numbered(truth)
    found_ids, found_count, found_boxes = numbered(found)
    data = {
        "gt_ids": true_ids,
        "tracker_ids": found_ids,
        "num_gt_ids": true_count,
        "num_tracker_ids": found_count,
        "num_gt_dets": true_boxes,
        "num_tracker_dets": found_boxes,
        "num_timesteps": len(truth),
        "similarity_scores": [iou_matrix(t, f) for (_, t), (_, f) in zip(truth, found, strict=True)],
    }
    hota = float(np.mean(HOTA().eval_sequence(data)["HOTA"]))
    quiet = {"PRINT_CONFIG": False}
    identity, clear = Identity(quiet).eval_sequence(data), CLEAR(quiet).eval_sequence(data)
    return 100 * hota, 100 * float(identity["IDF1"]), 100 * float(clear["MOTA"])


def main() -> None:
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--activation", default="0.2,0.25,0.3", help="ByteTrack's thresholds")
    parser.add_argument("--frames", type=int, default=1000)
    add_write_option(parser)
    arguments = parser.parse_args()
    preset = load_preset(DEFAULT_DETECT)
    weights = resolve_weights(preset)
    engine = DetectEngine(preset, SkipConfig.of(preset), weights.path, weights.sha256)
    weak = DetectEngine(preset, SkipConfig.of(preset), weights.path, weights.sha256, WEAK * engine.score_threshold)
    with ResultTable("tracking", ("sequence", "tracker", "HOTA", "IDF1", "MOTA"), arguments.write) as table:
        for sequence in SEQUENCES[:2]:
            engine.follow = FollowOptions()
            ours, plain, tracked, boxes = engine.stream(), weak.stream(), [], []
            rate = cv2.VideoCapture(str(arguments.data / sequence.clip)).get(cv2.CAP_PROP_FPS)
            for index, image in enumerate(pictures(arguments.data / sequence.clip)):
                if index == arguments.frames:
                    break
                frame = Frame(image, index, index / rate, sequence.name)
                found = ours.process(frame).detections
                assert found.ids is not None
                tracked.append((found.ids[only(found, sequence)], found.boxes[only(found, sequence)]))
                found = plain.process(frame).detections
                kept = only(found, sequence)
                labels = ("person",) * int(kept.sum())
                boxes.append(Detections(found.boxes[kept], found.scores[kept], found.category_ids[kept], labels))
            truth = read_truth(arguments.data / sequence.truth, sequence.first, len(tracked))
            known = [number for number, (ids, _) in enumerate(truth) if len(ids)]  # some frames have no truth

            def row(name: str, found: Tracked) -> None:
                values = measures([found[number] for number in known], [truth[number] for number in known])  # noqa: B023
                table.row(sequence.name, name, *(f"{value:.1f}" for value in values))  # noqa: B023

            row("skipvid", tracked)
            for activation in map(float, arguments.activation.split(",")):
                row(f"ByteTrack, {activation:g}", by_byte_track(boxes, activation, rate))


if __name__ == "__main__":
    main()
