"""Settings of all commands: every option of every command is walked, so that a new one cannot be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
import pytest
import yaml
from click.core import ParameterSource

from skipvid.cli.app import cli, run
from skipvid.cli.settings.command import SettingsCommand, command
from skipvid.cli.settings.fields import argument, build, flag, optional_argument, parameters, required, setting
from skipvid.cli.settings.groups import NetworkSettings, ReadSettings, TalkSettings, WriteSettings
from skipvid.cli.settings.precedence import long_flag
from skipvid.cli.settings.types import Fraction, InputSize, Levels, Names, PictureSize, Threshold, Triple, TupleType
from skipvid.core.errors import SkipvidError, UsageError
from skipvid.presets.preset import DEFAULT_DETECT, DEFAULT_POSE, load_preset


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], SettingsCommand[Any]]]:
    """All commands that do something, with the words that call them."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*words, name))
        else:
            assert isinstance(found, SettingsCommand), f"{name} has no settings class"
            yield (*words, name), found


COMMANDS = dict(commands(cli))
OPTIONS = [(words, parameter) for words, found in COMMANDS.items() for parameter in found.params if isinstance(parameter, click.Option)]
OPTION_IDS = [f"{' '.join(words)} --{long_flag(option)}" for words, option in OPTIONS]
WITH_CONFIG = [(words, option) for words, option in OPTIONS if any(p.name == "config" for p in COMMANDS[words].params)]
WITH_CONFIG = [(words, option) for words, option in WITH_CONFIG if option.name != "config"]
CONFIG_IDS = [f"{' '.join(words)} --{long_flag(option)}" for words, option in WITH_CONFIG]


def is_flag(option: click.Parameter) -> bool:
    return isinstance(option, click.Option) and option.is_flag


def values_of(kind: click.ParamType[Any]) -> tuple[object, object, object]:
    """Three values, each another than the one before, that a settings file may have for a type."""
    if isinstance(kind, click.Choice):
        return kind.choices[0], kind.choices[1], kind.choices[0]
    if isinstance(kind, Triple):
        return "0.1,0.2,0.3", "4,5,6", "0.7,0.8,0.9"
    if isinstance(kind, InputSize | PictureSize):
        return "64x32", "96x64", "128x96"
    if isinstance(kind, Names):
        return "a", "b,c", "d"
    if isinstance(kind, TupleType):
        return "32", "64,96", "96"
    if isinstance(kind, click.IntRange | click.FloatRange):
        least = kind.min or 0
        most = kind.max if kind.max is not None else least + 64
        if isinstance(kind, click.IntRange):
            step = 32 if kind.max is None else 1
            return least, least + step, least + 2 * step
        return least + (most - least) * 0.25, least + (most - least) * 0.5, least + (most - least) * 0.75
    if isinstance(kind, click.types.StringParamType | click.Path):
        return "one.x", "two.x", "three.x"
    if isinstance(kind, click.types.IntParamType):
        return 3, 4, 5
    return 0.25, 0.5, 0.75


def words_for(option: click.Parameter, value: object) -> list[str]:
    """The option with a value, as on a command line."""
    return [f"--{long_flag(option)}", *(str(value) for _ in range(option.nargs))]


def settings_of(words: tuple[str, ...], more: list[str]) -> tuple[Any, click.Context]:
    """The settings object that a command line gives, and its context."""
    found = COMMANDS[words]
    needed: list[str] = []
    for parameter in found.params:
        if isinstance(parameter, click.Argument) and parameter.required:
            needed.append("clip.mp4")
        elif parameter.required and f"--{long_flag(parameter)}" not in more:
            needed += words_for(parameter, "out.yaml")
    context = found.make_context(words[-1], [*more, *needed])
    return build(found.settings, context.params), context


hints_of = cache(get_type_hints)


def leaves(settings: Any) -> dict[str, tuple[Any, Any]]:
    """Annotation and value of every field, those of groups among them."""
    hints = hints_of(type(settings))
    found: dict[str, tuple[Any, Any]] = {}
    for item in fields(settings):
        value = getattr(settings, item.name)
        found |= leaves(value) if is_dataclass(value) else {item.name: (hints[item.name], value)}
    return found


def fits(value: object, hint: Any) -> bool:
    """Whether a value is what an annotation says."""
    members = get_args(hint)
    if get_origin(hint) is Literal:
        return value in members and type(value) in {type(member) for member in members}
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        inner = [members[0]] * len(value) if members[-1] is Ellipsis else members
        return len(value) == len(inner) and all(map(fits, value, inner))
    if members:
        return any(fits(value, member) for member in members)
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    return isinstance(value, Path) if hint is Path else type(value) is hint


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_config(place: Path, **values: object) -> str:
    (place / "settings.yaml").write_text(yaml.safe_dump({key.replace("_", "-"): value for key, value in values.items()}))
    return "settings.yaml"


def test_every_command_is_walked() -> None:
    assert {"detect", "pose", "heatmap", "report", "eval", "calibrate", "bench", "probe", "doctor"} <= {words[0] for words in COMMANDS}
    assert len(COMMANDS) == 21 and len(OPTIONS) > 200


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_fields_and_parameters_match_one_to_one_and_hold_what_they_say(words: tuple[str, ...], place: Path) -> None:
    settings, _ = settings_of(words, [])
    found = leaves(settings)
    assert list(found) == [parameter.name for parameter in COMMANDS[words].params]
    assert not [name for name, (hint, value) in found.items() if not fits(value, hint)]
    with pytest.raises(FrozenInstanceError):
        setattr(settings, fields(settings)[0].name, None)


@pytest.mark.parametrize(("words", "option"), OPTIONS, ids=OPTION_IDS)
def test_every_option_has_a_type_a_flag_a_variable_and_help(words: tuple[str, ...], option: click.Option, place: Path) -> None:
    assert option.help and option.help[0].isupper()
    assert option.envvar == "SKIPVID_" + long_flag(option).upper().replace("-", "_")
    value = None if is_flag(option) else values_of(option.type)[1]
    given = [f"--{long_flag(option)}"] if is_flag(option) else words_for(option, value)
    if option.name == "config":
        given[1] = write_config(place)
    assert option.name is not None
    before, _ = settings_of(words, [])
    settings, context = settings_of(words, given)
    hint, found = leaves(settings)[option.name]
    assert fits(found, hint) and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    changed = {name for name, (_, now) in leaves(settings).items() if now != leaves(before)[name][1]}
    assert changed <= {option.name} and (changed or option.required or found == leaves(before)[option.name][1])


@pytest.mark.parametrize(("words", "option"), WITH_CONFIG, ids=CONFIG_IDS)
def test_flag_then_environment_then_file_then_default(
    words: tuple[str, ...], option: click.Option, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert option.name is not None and isinstance(option.envvar, str)

    def value(*more: str) -> object:
        return leaves(settings_of(words, [*more])[0])[option.name or ""][1]

    default = None if option.required else value()
    if is_flag(option):
        levels: tuple[object, ...] = (False, True, None)  # a flag cannot take back what a variable says
    else:
        levels = values_of(option.type)
    config = write_config(place, **{long_flag(option): levels[0] if not is_flag(option) else True})
    named = ["--config", config]
    if is_flag(option):
        assert default is False and value(*named) is True
        monkeypatch.setenv(option.envvar, "false")
        assert value(*named) is False
        assert value(*named, f"--{long_flag(option)}") is True
        return
    as_flags = [value(*words_for(option, level)) for level in levels]
    assert as_flags[0] != as_flags[1] != as_flags[2]
    if not option.required:
        assert value(*named) == as_flags[0]
    monkeypatch.setenv(option.envvar, str(levels[1]))
    assert value(*named, *(words_for(option, levels[2]))) == as_flags[2]
    if not option.required:
        assert value(*named) == as_flags[1]
        monkeypatch.delenv(option.envvar)
        (place / "settings.yaml").write_text("")
        assert value(*named) == default


@pytest.mark.parametrize(
    ("field", "of_preset", "given"),
    [("gate", "gate", "norm-output"), ("reference", "reference", "previous"), ("block", "block", 4), ("score_threshold", "conf", 0.75)],
)
def test_what_nobody_gives_comes_from_the_preset(field: str, of_preset: str, given: Any) -> None:
    preset = load_preset(DEFAULT_DETECT)
    assert getattr(NetworkSettings().over(preset), field) == getattr(preset, field)
    assert getattr(NetworkSettings(**{of_preset: given}).over(preset), field) == given


def test_zero_is_a_value_and_not_the_absence_of_one() -> None:
    assert NetworkSettings(conf=0.0).over(load_preset(DEFAULT_DETECT)).score_threshold == 0.0


@pytest.mark.parametrize(("words", "option"), WITH_CONFIG, ids=CONFIG_IDS)
def test_a_value_of_the_wrong_type_is_one_line_with_file_and_key(
    words: tuple[str, ...], option: click.Option, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    several = option.multiple or option.nargs != 1 or isinstance(option.type, TupleType)
    wrong: tuple[object, ...] = ({"a": 1}, [[1]] if several else ["x"], None, 1 if is_flag(option) else True)
    for value in wrong:
        write_config(place, **{long_flag(option): value})
        assert run([*words, "clip.mp4", "--config", "settings.yaml"]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith(f"skipvid: settings file settings.yaml: {long_flag(option)} is ") and "; give " in captured.err
        assert captured.err.count("\n") == 1 and captured.out == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("threads: many", "settings.yaml: threads is 'many'; give a whole number of 1 or more"),
        ("threads: 0", "threads is 0; give a whole number of 1 or more"),
        ("threads: 2.5", "threads is 2.5; give a whole number of 1 or more"),
        ("threads: true", "threads is true; give a whole number of 1 or more"),
        ("output: 3", "output is 3; give a text; quotes make one of a number, or a list of such"),
        ("output: [a.mp4, 3]", "output is ['a.mp4', 3]; give a text"),
        ("preset: [a, b]", "preset is ['a', 'b']; give a text"),
        ("weights: 2024-01-02", "weights is '2024-01-02'; give a text"),
        ("overwrite: 1", "overwrite is 1; give true or false"),
        ("overwrite: maybe", "overwrite is 'maybe'; give true or false"),
        ("gate: no", "gate is false; give one of norm, norm-smooth, norm-output, gumbel, none"),
        ("gate: norms", "gate is 'norms'; give one of norm"),
        ("block: 3", "block is 3; give one of 1, 2, 4, 8, 16"),
        ("threshold: -1", "threshold is -1; give a number of 0 or more"),
        ("conf: 2", "conf is 2; give a number from 0 to 1"),
        ("duration: 0", "duration is 0; give a number above 0"),
        ("start: soon", "start is 'soon'; give a number"),
        ("stride:", "stride is empty; give a whole number of 1 or more"),
        ("treshold: 1", "unknown key 'treshold'; did you mean 'threshold'?"),
        ("max_frame: 1", "unknown key 'max_frame'; did you mean 'max-frames'?"),
        ("as_json: true", "unknown key 'as_json'; did you mean 'json'?"),
        ("config: other.yaml", "unknown key 'config'"),
        ("zzzzzz: 1", "unknown key 'zzzzzz'; allowed: backend, block, channels, conf, "),
        ("max-frames: 1\nmax_frames: 2", "'max-frames' stands there twice; leave one of them out"),
        ("- threads", "is not a list of 'key: value' lines"),
        ("0", "is not a list of 'key: value' lines"),
        ("threads: [", "is not valid YAML"),
        ("start: 2024-13-45", "is not valid YAML"),
        ("threads: \udcff", "is not valid YAML"),
        ("[" * 3000, "is not valid YAML"),
    ],
)
def test_a_bad_settings_file_is_one_line(text: str, says: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "settings.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert run(["detect", "clip.mp4", "--config", "settings.yaml"]) == 2
    error = capsys.readouterr().err
    assert says in error and "settings.yaml" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "text", "name", "value"),
    [
        (("detect",), "output: a.mp4", "output", ("a.mp4",)),
        (("detect",), "output: [a.mp4, b.csv]", "output", ("a.mp4", "b.csv")),
        (("detect",), "block: 8", "block", 8),
        (("detect",), "block: '8'", "block", 8),
        (("detect",), "threads: '2'", "threads", 2),
        (("detect",), "start: 2", "start", 2.0),
        (("detect",), "max_frames: 7", "max_frames", 7),
        (("detect",), "json: yes", "as_json", True),
        (("detect",), "webcam: 1", "webcam", 1),
        (("report",), "thresholds: [0, 0.02]", "thresholds", (0.0, 0.02)),
        (("report",), "thresholds: 0.02", "thresholds", (0.02,)),
        (("bench",), "preset: [efficientdet-nano, hrnet-nano]", "presets", ("efficientdet-nano", "hrnet-nano")),
        (("bench",), "activity: none", "activity", ()),
        (("bench",), "runtime: torch", "runtimes", ("torch",)),
        (("bench",), "clips: [a.mp4]", "clips", ("a.mp4",)),
    ],
)
def test_a_settings_file_says_what_a_flag_would(words: tuple[str, ...], text: str, name: str, value: object, place: Path) -> None:
    (place / "settings.yaml").write_text(text)
    found = leaves(settings_of(words, ["--config", "settings.yaml"])[0])[name][1]
    assert found == value and type(found) is type(value)


def test_sources_may_stand_in_the_file(place: Path) -> None:
    (place / "settings.yaml").write_text("sources: [a.mp4, b.mp4]")
    found = COMMANDS["heatmap",]
    context = found.make_context("heatmap", ["--config", "settings.yaml"])
    assert context.params["sources"] == ("a.mp4", "b.mp4")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("THREADS", "many", "environment variable SKIPVID_THREADS: 'many' is not a valid integer range"),
        ("GATE", "norms", "environment variable SKIPVID_GATE: 'norms' is not one of"),
        ("OVERWRITE", "maybe", "environment variable SKIPVID_OVERWRITE: 'maybe' is not a valid boolean"),
        ("CONFIG", "none.yaml", "settings file none.yaml cannot be read"),
    ],
)
def test_a_bad_variable_is_named(
    variable: str, value: str, says: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"SKIPVID_{variable}", value)
    assert run(["detect", "clip.mp4"]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_an_empty_variable_is_no_variable(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("THREADS", "OUTPUT", "GATE", "OVERWRITE", "CONFIG"):
        monkeypatch.setenv(f"SKIPVID_{name}", "")
    settings, _ = settings_of(("detect",), [])
    assert settings.network == NetworkSettings() and settings.output == () and not settings.write.overwrite


@pytest.mark.parametrize(
    "build",
    [
        lambda: TalkSettings(quiet=True, verbose=True),
        lambda: WriteSettings(overwrite=True, skip_existing=True),
        lambda: ReadSettings(start=3.0, end=2.0),
        lambda: ReadSettings(fps=float("nan")),
    ],
)
def test_settings_that_contradict_each_other_are_refused_where_they_are_made(build: Any) -> None:
    with pytest.raises(SkipvidError) as caught:
        build()
    assert isinstance(caught.value, UsageError)


def test_a_contradiction_between_flag_and_file_is_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(place, quiet=True)
    assert run(["bench", "--config", "settings.yaml", "-v"]) == 2
    assert "-q and -v contradict each other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "preset"),
    [(("detect",), DEFAULT_DETECT), (("pose",), DEFAULT_POSE), (("heatmap",), DEFAULT_DETECT), (("bench",), DEFAULT_DETECT)],
)
def test_help_names_the_default_preset(words: tuple[str, ...], preset: str) -> None:
    (option,) = (parameter for parameter in COMMANDS[words].params if long_flag(parameter) == "preset")
    assert isinstance(option, click.Option) and option.help is not None
    assert re.search(r"\[default: (.*)\]", option.help)[1] == preset  # type: ignore[index]


def test_an_input_size_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "pose", "people.yaml", "-o", "run", "--input", "big"]) == 2
    error = capsys.readouterr().err
    assert "'big' is not HEIGHTxWIDTH, for example 256x192" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Fraction(), "0", 0.0),
        (Fraction(), "1", 1.0),
        (Threshold(), "0", 0.0),
        (Threshold(), "7.5", 7.5),
        (Levels(), "0,100", (0.0, 100.0)),
        (InputSize(), "256x192", (256, 192)),
    ],
)
def test_the_ends_of_a_range_belong_to_it(kind: click.ParamType[Any], text: str, value: object) -> None:
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((Fraction(), text) for text in ("-0.001", "1.001", "nan", "inf", "half")),
        *((Threshold(), text) for text in ("-0.001", "inf", "nan", "low")),
        *((Levels(), text) for text in ("100.5", "50,101", "-1", "inf")),
        *((InputSize(), text) for text in ("256", "256x", "256x192x3", "-1x5", "1.5x2")),
    ],
)
def test_what_lies_outside_of_a_range_is_refused(kind: click.ParamType[Any], text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)


def test_types_write_what_they_read() -> None:
    cases: list[tuple[Any, tuple[Any, ...]]] = [
        (Levels(), (0.0, 12.5)),
        (Levels(), ()),
        (InputSize(), (64, 32)),
        (Names(), ("a", "b")),
        (Names(), ()),
    ]
    for kind, values in cases:
        assert kind.convert(kind.text(values), None, None) == values


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int = setting("--size", default=1, help="A size.")


def test_a_class_that_makes_no_options_is_refused_when_it_is_declared() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Twice:
        size: int = argument()
        inner: Inner

    @dataclass(frozen=True, kw_only=True)
    class NoDefault:
        size: int = setting("--size", default=None, help="A size.")  # type: ignore[assignment]

    @dataclass(frozen=True, kw_only=True)
    class NeverNone:
        size: int | None = setting("--size", default=3, help="A size.")

    @dataclass(frozen=True, kw_only=True)
    class Undeclared:
        size: int = 3

    @dataclass(frozen=True, kw_only=True)
    class NoType:
        size: complex = setting("--size", default=1j, help="A size.")

    for settings in (Twice, NoDefault, NeverNone, Undeclared, NoType):
        with pytest.raises(TypeError):
            command(settings)(lambda settings: None)


def test_every_way_of_declaring_a_setting_arrives(place: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Everything:
        name: str = argument()
        rest: tuple[int, ...] = optional_argument(default=())
        must: str = required("--must", help="Needed.")
        pair: tuple[int, int] = setting("--pair", default=(1, 2), help="Two.")
        kind: Literal["a", "b"] = setting("--kind", default="a", help="A choice.")
        on: bool = flag("-x", "--on", help="A flag.")

    seen: list[Everything] = []
    made = SettingsCommand("everything", Everything, seen.append)
    made.main(["n", "1", "2", "--must", "m", "--pair", "3", "4", "--kind", "b", "-x"], standalone_mode=False)
    assert seen == [Everything(name="n", rest=(1, 2), must="m", pair=(3, 4), kind="b", on=True)]
    assert [parameter.name for parameter in parameters(Everything)] == ["name", "rest", "must", "pair", "kind", "on"]
