"""Learning gates: clips with labels, losses that vanish where nothing differs, and a run that ends in a preset."""

import json
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from skipvid.cli.train import train
from skipvid.core.errors import SourceError, UsageError
from skipvid.nn import macs, run_clip, skip_layers, sparsity_loss
from skipvid.presets.preset import DEFAULT_DETECT, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.learned import LearnedGate, load_gates
from skipvid.train.clips import Piece, cut_pieces, draw_clip, read_labels, split_pieces, whole_clip
from skipvid.train.gate_losses import detector_distance, heatmap_distance
from skipvid.train.gates import GateExam, GateRecipe, gates_of, keep_bounds, learned_gates_of, make_student, piece_length
from skipvid.train.loop import Schedule
from skipvid.train.samples import Targets
from skipvid.train.subjects import DetectSubject


def write_clip(path, frames=40, size=(96, 64)):
    """A square that goes to the right by two pixels a frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            image = np.full((size[1], size[0], 3), 90, np.uint8)
            image[10:30, 2 * index : 2 * index + 10] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def subject():
    preset = load_preset(DEFAULT_DETECT)
    return DetectSubject(preset, resolve_weights(preset).path)


def moving_piece(length=9, labelled=True):
    frames = np.full((length, 64, 96, 3), 90, np.uint8)
    for index in range(length):
        frames[index, 10:30, 2 * index : 2 * index + 10] = 220
    targets = tuple(Targets.of([[2 * i, 10, 2 * i + 10, 30]], [0]) for i in range(length)) if labelled else None
    return Piece("a", frames, targets)


def test_labels_are_read_from_mot_text_and_from_coco(tmp_path):
    mot = tmp_path / "x.mot.txt"
    mot.write_text("1,4,10,20,30,40,1,1,1\n3,4,11,20,30,40,1,1,1\n")
    found = read_labels(mot)
    assert sorted(found) == [0, 2] and found[2].boxes.tolist() == [[11, 20, 41, 60]]
    coco = tmp_path / "x.coco.json"
    data = {
        "images": [{"id": 0}, {"id": 1}],
        "categories": [{"id": 7, "name": "Car"}, {"id": 8, "name": "tree"}],
        "annotations": [
            {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]},
            {"image_id": 1, "category_id": 8, "bbox": [1, 2, 3, 4]},
        ],
    }
    coco.write_text(json.dumps(data))
    found = read_labels(coco)
    assert found[1].joints is None  # a file without keypoints says nothing of them
    assert len(found[0]) == 0 and found[1].boxes.tolist() == [[1, 2, 4, 6]] and found[1].classes.tolist() == [2]
    coco.write_text("{}")
    with pytest.raises(SourceError, match="neither MOT text nor a COCO"):
        read_labels(coco)


def test_pieces_hold_the_frames_and_labels_that_belong_together(tmp_path):
    clip = write_clip(tmp_path / "c.mp4")
    mot = tmp_path / "c.txt"
    mot.write_text("".join(f"{i + 1},1,{2 * i},10,10,20,1,1,1\n" for i in range(40)))
    pieces = cut_pieces([clip], [mot], tmp_path / "kept", longest=192, length=5, most_frames=20)
    assert len(pieces) == 4 and all(piece.frames.shape == (5, 128, 192, 3) for piece in pieces)
    for piece in pieces:
        for frame, targets in zip(piece.frames, piece.targets, strict=True):
            x1, y1, x2, y2 = (int(edge) for edge in targets.boxes[0])
            assert frame[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3].min() > 200 and frame[y1:y2, x2 + 4 : x2 + 8].max() < 130
    again = cut_pieces([clip], [None], tmp_path / "kept", longest=192, length=5, most_frames=20)
    assert all(np.array_equal(a.frames, b.frames) and b.targets is None for a, b in zip(pieces, again, strict=True))
    learned, held = split_pieces(pieces, 0.25)
    assert len(learned) == 3 and held[0].frames is pieces[3].frames
    with pytest.raises(UsageError, match="no clip has 50 frames"):
        cut_pieces([clip], [None], tmp_path / "other", longest=96, length=50, most_frames=100)


def test_a_window_is_the_same_in_all_frames_and_takes_the_labels_along():
    piece = moving_piece(17)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        clip = draw_clip([piece], 3, 64, rng)
        assert clip.images.shape == (3, 64, 64, 3)
        for image, targets in zip(clip.images, clip.targets, strict=True):
            bright = image[..., 0] > 150
            rows, columns = np.nonzero(bright)
            if not len(rows):
                assert not len(targets)
                continue
            seen.add(bool(targets.ignore[0]))
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(np.array(box) - targets.boxes[0]).max() <= 1
    assert seen  # some windows show the square


def test_distances_are_zero_between_equal_outputs_and_grow_with_the_difference():
    torch.manual_seed(0)
    heads = ([torch.randn(2, 54, 4, 4) - 2, torch.randn(2, 54, 2, 2) - 2], [torch.randn(2, 36, 4, 4), torch.randn(2, 36, 2, 2)])
    near, far = (([a + step for a in heads[0]], [b + step for b in heads[1]]) for step in (0.01, 0.5))
    assert float(detector_distance(heads, heads)) < 1e-6
    assert float(detector_distance(heads, heads)) < float(detector_distance(near, heads)) < float(detector_distance(far, heads))
    maps = torch.rand(2, 17, 8, 6)
    assert float(heatmap_distance(maps, maps)) == 0 and float(heatmap_distance(1.1 * maps, maps)) == pytest.approx(0.01, rel=1e-4)


def test_a_student_begins_as_norm_gates_and_runs_alike_in_training_and_in_use(subject):
    piece = moving_piece()
    images = whole_clip(piece, 6)
    assert images.shape == (6, 64, 96, 3)
    recipe = GateRecipe(Schedule(10), start=0.05)
    frames = subject.prepare(images)
    student = make_student(subject, recipe, frames)
    gates = dict(gates_of(student))
    assert gates and all(layer.groups == 1 for _, layer in skip_layers(student))
    for _, gate in gates.items():  # open where the mean change exceeds the threshold times the mean magnitude
        assert float(gate.bias.detach()) == -6 and float(gate.weight.detach().min()) == float(gate.weight.detach().max()) > 0
    student.eval()
    with torch.no_grad():
        outputs = run_clip(student, frames.unsqueeze(0))
    config = SkipConfig(gate="gumbel", learned_gates=learned_gates_of(student))
    session = convert(subject.teacher, frames[:1], config)[0].session()
    shares = []
    for number, frame in enumerate(frames):
        got = session(frame[None])
        shares.append(1 - session.cost.saving)
        for one, all_frames in zip(got[0] + got[1], outputs[0] + outputs[1], strict=True):
            torch.testing.assert_close(one, all_frames[:, number], rtol=1e-3, atol=1e-3)
    assert shares[0] == 1 and 0 < max(shares[1:]) < 1
    cost = macs(student).total
    assert float(cost.saving[0, 1:].min()) > 0


def test_gradients_close_gates_and_weights_stay_above_zero(subject):
    recipe = GateRecipe(Schedule(10), size=64, beta=1.0)
    frames = subject.prepare(whole_clip(moving_piece(), 3))
    student = make_student(subject, recipe, frames).train()
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    torch.manual_seed(0)
    run_clip(student, frames.unsqueeze(0))
    recipe.pressure(sparsity_loss(student), 10).backward()
    biases = [float(gate.bias.grad) for _, gate in gates_of(student) if gate.bias.grad is not None]
    # Descent lowers them; a few rise, because what a gate holds back is a change for the gates behind it.
    assert sum(biases) > 0 and sum(gradient >= 0 for gradient in biases) > 0.8 * len(biases) > 10
    with torch.no_grad():
        for _, gate in gates_of(student):
            gate.weight.sub_(1e5)
            gate.bias.add_(1e5)
    keep_bounds(student)
    assert all(float(gate.weight.detach().min()) == 0 and float(gate.bias.detach()) < 0 for _, gate in gates_of(student))


def test_pressure_rises_in_the_warm_up_and_ends_at_the_target():
    recipe = GateRecipe(Schedule(100), beta=2.0, warmup=0.5)
    share = torch.tensor(0.5)
    assert [float(recipe.pressure(share, step)) for step in (24, 49, 99)] == pytest.approx([0.5, 1.0, 1.0])
    aimed = GateRecipe(Schedule(100), target_saving=0.75)
    assert float(aimed.pressure(torch.tensor(0.25), 99)) == 0 < float(aimed.pressure(torch.tensor(0.3), 99))
    assert [recipe.temperature(step) for step in (0, 99)] == [1.0, 0.5]
    with pytest.raises(UsageError):
        GateRecipe(Schedule(100), target_saving=1.5)
    with pytest.raises(UsageError):
        GateRecipe(Schedule(100), frames=1)


def test_the_exam_of_gates_that_always_open_finds_no_distance(subject):
    recipe = GateRecipe(Schedule(10), start=0.0)
    student = make_student(subject, recipe, subject.prepare(whole_clip(moving_piece(), 2)))
    with torch.no_grad():
        for _, gate in gates_of(student):
            gate.bias.fill_(0)
    grades = GateExam(subject, recipe, [moving_piece()])(student)
    assert (
        grades["distance"] < 1e-4 and grades["share"] >= 1 and grades["goal"] == pytest.approx(-grades["distance"] - 0.1 * grades["share"])
    )


def call(*arguments):
    return CliRunner().invoke(train, ["gates", *(str(argument) for argument in arguments)], catch_exceptions=False)


SMALL = ["--steps", "2", "--batch", "1", "--frames", "2", "--crop", "64", "--evaluate-every", "1", "--threads", "1", "-q"]


@pytest.mark.slow
def test_clips_become_a_preset_whose_gates_run_and_can_be_gone_on_with(tmp_path):
    clip, output = write_clip(tmp_path / "c.mp4"), tmp_path / "run"
    arguments = [clip, "-o", output, *SMALL, "--form", "channels", "--block", "4", "--held-out", "0.5", "--most-frames", "18"]
    call(*arguments, "--target-saving", "0.5")
    preset = load_preset(output / "my-gates.yaml")
    assert preset.gate == "gumbel" and preset.block == 4 and "of the MACs" in preset.description
    gates = load_gates(output / preset.gate_weights)
    assert isinstance(gates["backbone.conv_stem"], LearnedGate) and not any("conv_dw" in name for name in gates)
    DetectSubject(preset, resolve_weights(preset).path)  # the weights fit the network
    assert torch.load(output / "run" / "checkpoint.pt", weights_only=True)["history"][0]["step"] == 0
    assert (output / "log.csv").read_text().startswith("step,loss,task,share,open,temperature\n0,")
    call(*arguments, "--target-saving", "0.5", "--resume")
    with pytest.raises(UsageError, match="already holds a run"):
        call(*arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.mp4"], "does not exist"),
        (["c.mp4", "--crop", "100"], "multiple of 32"),
        (["c.mp4", "--labels", "a", "--labels", "b"], "1 clips and 2 --labels"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "c.mp4", 3)
    with pytest.raises(UsageError, match=says):
        call(*arguments, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_clip_of_one_length_of_pieces_is_enough():
    assert piece_length(2) == 9 and piece_length(4) == 25


def test_labels_of_all_frames_add_the_detection_loss_for_the_classes_that_they_name(subject):
    rng = np.random.default_rng(0)
    labelled = [draw_clip([moving_piece()], 2, 64, rng) for _ in range(2)]
    plain = [replace(clip, targets=None) for clip in labelled]
    with torch.no_grad():
        wanted = subject.teacher(torch.cat([subject.prepare(clip.images) for clip in labelled]))
    heads = tuple([level.clone().requires_grad_() for level in head] for head in wanted)
    assert all(float(subject.loss(heads, wanted, clips).detach()) < 1e-6 for clips in (plain, [labelled[0], plain[1]]))
    loss = subject.loss(heads, wanted, labelled)
    assert float(loss.detach()) > 0.01
    loss.backward()
    classes = sum(level.grad.reshape(4, 9, 6, -1).abs().sum((0, 1, 3)) for level in heads[0])
    assert float(classes[0]) > 0 and float(classes[1:].max()) == 0  # the labels name persons only
