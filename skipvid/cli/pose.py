"""`skipvid pose`: find the keypoints of people, computing only what changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from skipvid.cli.detect import output_options, sinks_of, stream_of
from skipvid.cli.live import live_options, plan, settle, watcher
from skipvid.cli.options import combine, network_options, option, read_options, talk_options, write_options
from skipvid.errors import UsageError

if TYPE_CHECKING:
    from skipvid.cli.talk import Talk
    from skipvid.pose_engine import PoseEngine
    from skipvid.presets import Preset

people_options = combine(
    option("--detector", metavar="NAME|FILE", help="Detection preset that finds the persons.  [default: efficientdet-nano]"),
    option("--detector-weights", metavar="FILE", help="Load this file instead of that preset's weights."),
    option("--detect-every", type=click.IntRange(min=1), default=1, metavar="N", help="Run the detector in every N-th frame."),
    option("--max-persons", type=click.IntRange(min=1), default=12, metavar="N", help="Look at N persons at most.  [default: 12]"),
    option("--full-frame", is_flag=True, help="No detector: one person who fills the picture."),
)


@click.command()
@live_options
@output_options
@network_options("hrnet-nano")
@people_options
@read_options
@write_options
@option("--layers", is_flag=True, help="Show every layer in the report.")
@option("--dry-run", is_flag=True, help="Say what would be done and what it costs at most; write nothing.")
@talk_options
def pose(**options: Any) -> int:
    """Find people's keypoints in videos or before a camera and write annotated videos or data.

    SOURCE is a video file, a quoted glob, a folder of images, an http(s) URL, or - for a video on standard input. A detector finds the
    persons; each is then watched through a window of the frame that stays for as long as the person stays inside.
    --threshold, --gate and --block are for both networks.
    """
    from skipvid.cli.analyse import print_dry_run, run_jobs, tell
    from skipvid.cli.setup import check_options, chosen_preset
    from skipvid.cli.talk import Talk
    from skipvid.presets import DEFAULT_POSE

    settle(options)
    check_options(options)
    if options["full_frame"] and (options["detector"] or options["detector_weights"] or options["detect_every"] > 1):
        raise UsageError("--full-frame uses no detector", "leave out the detector's options")
    with Talk(options["quiet"], options["verbose"], options["log_file"]) as talk:
        jobs = plan(options)
        to_stdout = any("-" in job.targets for job in jobs)
        if to_stdout and options["as_json"]:
            raise UsageError("-o - and --json both want stdout", "write one of them to a file")
        engine = load_pose_engine(options, chosen_preset(options, DEFAULT_POSE), talk)
        if options["dry_run"]:
            return print_dry_run(jobs, engine, options)
        done = run_jobs(
            "pose",
            jobs,
            engine,
            options,
            talk,
            lambda job, header: sinks_of(job, header, options),
            stream_of,
            lambda source, header: watcher(options, source, header),
        )
        return tell(done, options, talk, stdout_taken=to_stdout)


def load_pose_engine(options: Mapping[str, Any], preset: Preset, talk: Talk) -> PoseEngine:
    """Both networks, weights found (or downloaded) and loaded."""
    from skipvid.cli.setup import DownloadBar, chosen_preset, load_detect_engine, skip_config
    from skipvid.pose_engine import WEAK, PoseEngine, PoseOptions
    from skipvid.presets import DEFAULT_DETECT
    from skipvid.weights import resolve_weights

    score = preset.score_threshold if options["conf"] is None else options["conf"]
    detector = None
    if not options["full_frame"]:
        own = {"preset": options["detector"], "weights": options["detector_weights"], "conf": WEAK * score, "gate_weights": None}
        if options["gate"] == "gumbel":
            own["gate"] = None  # learned gates are those of the pose network; the detector has its preset's
        theirs = {**options, **own}
        detector = load_detect_engine(theirs, chosen_preset(theirs, DEFAULT_DETECT), talk)
    weights = resolve_weights(preset, options["weights"], options["offline"], DownloadBar(talk, preset.name))
    talk.say(f"preset {preset.name}, weights {weights.path}", detail=True)
    people = PoseOptions(score, options["detect_every"], options["max_persons"])
    return PoseEngine(preset, skip_config(options, preset, talk), weights.path, weights.sha256, detector, people)
