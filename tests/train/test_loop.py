"""The loop: an interrupted run ends with the same parameters, the best weights are kept, stopping comes early where it should."""

import pytest
import torch
from torch import nn

from skipvid.core.errors import UsageError, WeightsError
from skipvid.train.loop import Schedule, Trainer


def small_net():
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 2, 1))


def loss_of_step(net, step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(4, 3, 8, 8, generator=generator)
    loss = (net(x) - x[:, :2, 1:-1, 1:-1]).square().mean()
    return loss, {}


def schedule(**changes):
    return Schedule(**{"steps": 12, "warmup": 3, "evaluate_every": 4, "checkpoint_every": 5, "rate": 1e-2, **changes})


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


class Stop(Exception):
    pass


def stopping_at(limit):
    def step_or_stop(net, step):
        if step == limit:
            raise Stop
        return loss_of_step(net, step)

    return step_or_stop


def test_a_resumed_run_ends_with_the_same_parameters_as_an_uninterrupted_one(tmp_path):
    whole = Trainer(small_net(), schedule(), tmp_path / "whole")
    whole.run(loss_of_step, quiet=True)
    broken = Trainer(small_net(), schedule(), tmp_path / "broken")
    with pytest.raises(Stop):
        broken.run(stopping_at(8), quiet=True)  # the last checkpoint is that of step 5
    resumed = Trainer(small_net(), schedule(), tmp_path / "broken", resume=True)
    assert resumed.step == 5
    resumed.run(loss_of_step, quiet=True)
    assert equal(whole.net, resumed.net)
    assert equal(whole.average.net, resumed.average.net)


def test_ctrl_c_leaves_a_checkpoint_of_the_last_step(tmp_path):
    def interrupted(net, step):
        if step == 7:
            raise KeyboardInterrupt
        return loss_of_step(net, step)

    with pytest.raises(KeyboardInterrupt):
        Trainer(small_net(), schedule(), tmp_path).run(interrupted, quiet=True)
    assert Trainer(small_net(), schedule(), tmp_path, resume=True).step == 7


def test_the_best_weights_are_kept_not_the_last_ones(tmp_path):
    grades = iter([0.3, 0.9, 0.5])
    seen = []

    def evaluate(net):
        seen.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        return {"AP50": next(grades)}

    path = Trainer(small_net(), schedule(), tmp_path).run(loss_of_step, evaluate, quiet=True)
    best = torch.load(path, weights_only=True)
    assert path.name == "best.pt"
    assert all(torch.equal(best[name], seen[1][name]) for name in best)
    assert not all(torch.equal(best[name], seen[2][name]) for name in best)


def test_training_stops_when_patience_is_used_up(tmp_path):
    grades = iter([0.5, 0.4, 0.3, 0.2, 0.1])
    trainer = Trainer(small_net(), schedule(steps=100, evaluate_every=2, patience=2), tmp_path)
    trainer.run(loss_of_step, lambda net: {"AP50": next(grades)}, quiet=True)
    assert trainer.step == 6
    assert [row["AP50"] for row in trainer.history] == [0.5, 0.4, 0.3]


def test_frozen_parts_do_not_move_nor_do_their_statistics(tmp_path):
    net = small_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    Trainer(net, schedule(frozen=("0.", "1.")), tmp_path).run(loss_of_step, quiet=True)
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"3.weight", "3.bias"}


def test_slow_parts_move_less(tmp_path):
    distances = []
    for slow in (1.0, 0.1):
        net = small_net()
        before = net[0].weight.detach().clone()
        Trainer(net, schedule(slow=slow, slow_prefixes=("0.",)), tmp_path / str(slow)).run(loss_of_step, quiet=True)
        distances.append((net[0].weight - before).norm().item())
    assert distances[1] < 0.4 * distances[0]


def test_training_lowers_the_loss(tmp_path):
    net = small_net()
    before = loss_of_step(net.eval(), 1000)[0].item()
    Trainer(net, schedule(steps=60), tmp_path).run(loss_of_step, quiet=True)
    assert loss_of_step(net.eval(), 1000)[0].item() < 0.7 * before


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    Trainer(small_net(), schedule(steps=1), tmp_path).run(loss_of_step, quiet=True)
    with pytest.raises(UsageError, match="already holds a run"):
        Trainer(small_net(), schedule(steps=1), tmp_path)


def test_resuming_with_another_schedule_is_refused(tmp_path):
    Trainer(small_net(), schedule(), tmp_path).run(loss_of_step, quiet=True)
    with pytest.raises(UsageError, match="another schedule"):
        Trainer(small_net(), schedule(rate=0.5), tmp_path, resume=True)


def measure(net):
    """Statistics that no training batch has."""
    net[1].running_mean.fill_(0.25)
    net[1].running_var.fill_(2.0)


def test_the_last_steps_run_on_statistics_that_were_measured_once(tmp_path):
    modes, measured = [], []

    def watched(net, step):
        modes.append(net[1].training)
        return loss_of_step(net, step)

    def settle(net):
        measured.append(len(modes))
        measure(net)

    trainer = Trainer(small_net(), schedule(fixed_norms=0.5), tmp_path)
    path = trainer.run(watched, settle=settle, quiet=True)
    assert modes == [True] * 6 + [False] * 6 and measured == [6]
    for state in (trainer.net.state_dict(), torch.load(path, weights_only=True)):
        assert (state["1.running_mean"] == 0.25).all() and (state["1.running_var"] == 2.0).all()


def test_what_is_measured_before_that_gets_statistics_of_its_own(tmp_path):
    seen = []

    def evaluate(net):
        seen.append(float(net[1].running_mean[0]))
        return {"AP50": 0.0}

    trainer = Trainer(small_net(), schedule(fixed_norms=0.5, evaluate_every=3), tmp_path)
    trainer.run(loss_of_step, evaluate, settle=measure, quiet=True)
    assert seen == [0.25] * 4
    own = Trainer(small_net(), schedule(evaluate_every=3), tmp_path / "own")
    own.run(loss_of_step, evaluate, quiet=True)  # without it, training's own averages are measured
    assert 0.25 not in seen[4:]


@pytest.mark.parametrize("limit", [5, 6, 9])
def test_a_run_that_stops_around_the_change_to_fixed_statistics_goes_on_alike(tmp_path, limit):
    options = {"fixed_norms": 0.5, "checkpoint_every": 1}
    whole = Trainer(small_net(), schedule(**options), tmp_path / "whole")
    whole.run(loss_of_step, settle=measure, quiet=True)
    with pytest.raises(Stop):
        Trainer(small_net(), schedule(**options), tmp_path / "broken").run(stopping_at(limit), settle=measure, quiet=True)
    resumed = Trainer(small_net(), schedule(**options), tmp_path / "broken", resume=True)
    resumed.run(loss_of_step, settle=measure, quiet=True)
    assert equal(whole.net, resumed.net) and equal(whole.average.net, resumed.average.net)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_named(tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(WeightsError, match="checkpoint.pt"):
        Trainer(small_net(), schedule(), tmp_path, resume=True)


@pytest.mark.parametrize(("step", "factor"), [(0, 0.1), (9, 1.0), (10, 1.0), (55, 0.51), (100, 0.02)])
def test_the_rate_warms_up_and_falls_along_a_cosine(step, factor):
    assert Schedule(steps=100, warmup=10, final_rate=0.02).factor(step) == pytest.approx(factor)


@pytest.mark.parametrize("field", ["steps", "batch", "evaluate_every", "checkpoint_every"])
def test_a_schedule_of_nothing_is_refused(field):
    with pytest.raises(UsageError):
        schedule(**{field: 0})


@pytest.mark.parametrize(("share", "first"), [(0.0, 100), (0.25, 75), (1.0, 0)])
def test_fixed_statistics_begin_where_their_share_of_the_steps_does(share, first):
    assert Schedule(steps=100, fixed_norms=share).fixed_from == first
    with pytest.raises(UsageError, match="fixed_norms"):
        Schedule(steps=100, fixed_norms=share + 1.1)
