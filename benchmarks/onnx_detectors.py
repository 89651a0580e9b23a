"""Published detectors as ONNX files, gated: the boxes of ONNX Runtime, accuracy, MACs, and time beside ONNX Runtime and OpenVINO.

    python benchmarks/onnx_detectors.py --data DIR [--threads N] [--frames N] [--timed N] [--write]

For YOLOX-nano and NanoDet-m, on PETS 2009 and TownCentre (persons), a row each:
* "F1 at 0": what the engine finds at threshold 0 in all timed frames, against ONNX Runtime and the reference's decoding
  (reference_decodes.py), at an IoU of 0.99; 1 is every box.
* AP50 and MACs dense and with thresholds for each map, which were calibrated on clips of other cameras (CALIBRATION), without labels.
* milliseconds a frame, all by turns on the same frames: our network gated and dense, in f32 and bf16, ONNX Runtime and OpenVINO. Processor
  time with one thread, the clock's with more; the first three frames are left out. OpenVINO is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from passes import measure
from reference_decodes import chosen, nanodet, yolox
from sequences import SEQUENCES, Sequence, load_frames
from tables import ResultTable, add_write_option

from skipvid.core.results import Detections, Frame
from skipvid.pipeline.calibrate import calibrate
from skipvid.presets.preset import Preset
from skipvid.report import Agreement, agreement
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.tasks.network_files import FileChoice, preset_of_file
from skipvid.video.sources.open import open_source
from skipvid.video.sources.options import ReadOptions

NETWORKS = {"YOLOX-nano": ("weights/yolox_bigisland/yolox_nano.onnx", 0.45), "NanoDet-m": ("weights/nanodet/nanodet_m.onnx", 0.6)}
"""File, and overlap above which the worse of two boxes goes."""
CALIBRATION = ("videos/fixed/pedestrian_survaillance.mp4", "videos/intel/one-by-one-person-detection.mp4")
INPUTS = 48
"""Of the network that are calibrated on."""
SHOWN = 0.3
FAINTEST = 0.02
WARM = 3
COLUMNS = ("network", "sequence", "F1 at 0", "AP50 dense", "AP50 gated", "MACs, times fewer", "gated ms", "gated bf16 ms", "dense ms",
           "dense bf16 ms", "ONNX Runtime ms", "OpenVINO ms", "OpenVINO bf16 ms")  # fmt: skip
Run = Callable[[Any], object]


def main() -> None:
    options = _arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    clock = "processor time" if options.threads == 1 else "wall-clock time"
    note = f"{options.frames} frames, {options.timed} of them timed: {clock}, threads: {options.threads}"
    with ResultTable("onnx_detectors", COLUMNS, options.write, note) as table:
        for name, (file, overlap) in NETWORKS.items():
            path = options.data / file
            preset = preset_of_file(path, "detect", FileChoice())
            gates = _calibrated(preset, path, options)
            for sequence in SEQUENCES[:2]:
                images, truths = load_frames(options.data, sequence, options.frames)
                same = _against_reference(preset, path, overlap, images[: options.timed])
                dense, gated = (
                    measure(_engine(preset, path, config, FAINTEST), images, truths, sequence)
                    for config in (SkipConfig(gate="none", threads=options.threads), gates)
                )
                times = _times(preset, path, gates, images[: options.timed], sequence, options.threads)
                row = [f"{dense.ap50:.1f}", f"{gated.ap50:.1f}", f"{gated.fewer:.2f}"]
                cells = [f"{times[column]:.1f}" if column in times else "–" for column in COLUMNS[6:]]
                table.row(name, sequence.name, f"{same.f1:.4f}", *row, *cells)


def _engine(preset: Preset, path: Path, config: SkipConfig, score: float = SHOWN) -> DetectEngine:
    return DetectEngine(preset, config, path, score_threshold=score, scene_cuts=False)


def _calibrated(preset: Preset, path: Path, options: argparse.Namespace) -> SkipConfig:
    """Gates with thresholds that save on the calibration's clips what the preset's one threshold saves there."""
    config = SkipConfig.of(preset, threads=options.threads)
    engine = _engine(preset, path, config)
    clips = [_read(options.data / clip) for clip in CALIBRATION]
    found = calibrate(engine, clips, INPUTS)
    return replace(config, threshold=found.threshold, thresholds=dict(found.thresholds))


def _read(path: Path) -> list[Frame]:
    with open_source(str(path), ReadOptions(start=2.0)) as source:
        return list(islice(source, INPUTS))


def _against_reference(preset: Preset, path: Path, overlap: float, images: list[Any]) -> Agreement:
    """What is found at threshold 0 against ONNX Runtime and the reference's decoding."""
    session, total = _onnxruntime(path, 1), Agreement()
    engine = _engine(preset, path, SkipConfig(threshold=0.0, threads=1))
    stream, task = engine.stream(), engine.task()
    for number, image in enumerate(images):
        found = stream.process(Frame(image, number, number / 25, "clip")).detections
        prepared = task.prepare(image).tensor().numpy()
        size, outputs = prepared.shape[2:], session(prepared)
        decoded = yolox(outputs[0][0], size) if preset.head == "yolox" else nanodet(outputs, size)
        rows = chosen(decoded, size, SHOWN, overlap)
        boxes = task.letterbox(image.shape[:2]).boxes_to_frame(np.array([row[2] for row in rows], np.float32).reshape(-1, 4))
        seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # not those in the filling
        scores, classes = (np.array([row[part] for row in rows])[seen] for part in (1, 0))
        categories = preset.label_set.category_ids(classes.astype(np.int64))
        expected = Detections(boxes[seen], scores.astype(np.float32), categories, ("",) * int(seen.sum()))
        total += agreement(expected, found, 0.99)
    return total


def _times(preset: Preset, path: Path, gates: SkipConfig, images: list[Any], sequence: Sequence, threads: int) -> Mapping[str, float]:
    """Mean milliseconds of a frame by column, taken by turns."""
    now = time.process_time if threads == 1 else time.perf_counter
    task = _engine(preset, path, gates).task()
    ours: dict[str, Run] = {}
    for precision, word in (("f32", ""), ("bf16", " bf16")):
        model = _engine(preset, path, replace(gates, precision=precision)).model
        ours[f"gated{word} ms"] = model.session().maps
        ours[f"dense{word} ms"] = model.regated(replace(gates, precision=precision, gate="none", thresholds={})).session().maps
    theirs: dict[str, Run] = {"ONNX Runtime ms": _onnxruntime(path, threads)}
    try:
        theirs.update({"OpenVINO ms": _openvino(path, threads, "f32"), "OpenVINO bf16 ms": _openvino(path, threads, "bf16")})
    except ImportError:
        print("OpenVINO is not installed", flush=True)
    spent: dict[str, float] = dict.fromkeys((*ours, *theirs), 0.0)
    for number, image in enumerate(images):
        prepared = task.prepare(image)
        array = np.ascontiguousarray(prepared.tensor().numpy())
        for column, run in (*ours.items(), *theirs.items()):
            begin = now()
            run(prepared if column in ours else array)
            if number >= WARM:
                spent[column] += now() - begin
    return {column: 1e3 * seconds / (len(images) - WARM) for column, seconds in spent.items()}


def _onnxruntime(path: Path, threads: int) -> Callable[[Any], list[Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})  # type: ignore[no-any-return]


def _openvino(path: Path, threads: int, precision: str) -> Run:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
    return lambda x: request.infer([x], share_inputs=True, share_outputs=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--timed", type=int, default=60)
    add_write_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
