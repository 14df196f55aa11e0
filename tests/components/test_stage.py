"""Deriving from a declaration, on one that is nobody's."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.stage import (
    Presence,
    Role,
    Stage,
    check_groups,
    check_values,
    elements,
    input_artifact,
    output_artifact,
    parameter,
    result,
)
from core.base.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Limit:
    limit: float = parameter("A limit of 50 %.", 0.5)

    def check(self):
        if self.limit > 1:
            raise UserError("parameter limit", self.limit, "It must be at most 1.", "Lower it.")


@dataclass(frozen=True, kw_only=True)
class Toy:
    """Makes a toy.

    More than that is said to programmers alone.
    """

    text: str = parameter("Text.", metavar="NAME")
    whole: int = parameter("A whole number.", 3)
    group: Limit
    switch: bool = parameter("A switch.", False, presence=Presence.OPTIONAL)
    options: dict[str, Any] = parameter("Options.", {})
    names: list[str] = parameter("Names.", [], presence=Presence.BY_HAND)
    model: Path = input_artifact("Model", "A model.", folder=True)
    hint: Path | None = input_artifact("Artifact", "A hint.", optional=True)
    toy: Path = output_artifact("Artifact", "The toy.")
    weight: Path = result(str, "Its weight.")


REQUIRED_OPTIONS = ["--text", "a", "--model", "m", "--toy", "t", "--weight", "w"]


def run(*options, work=lambda toy, output: None):
    seen = []

    def keep(toy, output):
        seen.append((toy, output))
        return work(toy, output)

    return Stage("toy", "train", Toy, keep).main([*REQUIRED_OPTIONS, *options]), seen


def test_the_command_line_makes_an_instance():
    code, [(toy, output)] = run()
    assert (code, output.by_hand) == (0, True)
    assert toy == Toy(text="a", group=Limit(), model=Path("m"), toy=Path("t"), weight=Path("w"))
    _, [(toy, _)] = run("--whole", "-1", "--limit", "0.25", "--switch", "--options", '{"a": 1}', "--names", "b,c",
                        "--hint", "h")
    assert toy == Toy(text="a", whole=-1, group=Limit(limit=0.25), switch=True, options={"a": 1}, names=["b", "c"],
                      model=Path("m"), hint=Path("h"), toy=Path("t"), weight=Path("w"))


def test_defaults_are_nobody_elses():
    first, second = (Toy(text="a", group=Limit(), model=Path("m"), toy=Path("t"), weight=Path("w")) for _ in range(2))
    first.options["a"] = 1
    assert second.options == {}


def test_the_work_gives_the_exit_code_and_writes_what_kfp_asked_for(tmp_path):
    artifacts = {"toy": {"artifacts": [{"name": "toy", "uri": "/toy"}]}}
    executor_input = {"outputs": {"outputFile": str(tmp_path / "output.json"), "artifacts": artifacts}}

    def work(toy, output):
        assert not output.by_hand
        output.artifact("toy", {"weight": toy.whole})
        return 7

    code, _ = run("--executor-input", json.dumps(executor_input), work=work)
    written = json.loads((tmp_path / "output.json").read_text())["artifacts"]["toy"]["artifacts"]
    assert (code, written) == (7, [{"name": "toy", "uri": "/toy", "metadata": {"weight": 3}}])


@pytest.mark.parametrize("missing", ["--text", "--model", "--toy", "--weight"])
def test_what_has_no_default_is_asked_for(missing, capsys):
    at = REQUIRED_OPTIONS.index(missing)
    with pytest.raises(SystemExit) as ended:
        Stage("toy", "train", Toy, print).main([*REQUIRED_OPTIONS[:at], *REQUIRED_OPTIONS[at + 2:]])
    assert ended.value.code == 2 and missing in capsys.readouterr().err


def test_help_says_what_each_option_is():
    shown = " ".join(Stage("toy", "train", Toy, print).build_parser().format_help().split())
    assert "Makes a toy." in shown and "programmers" not in shown
    for text in ("--text NAME Text.", "--whole N A whole number. (default: 3)", "--limit X A limit of 50 %.",
                 "--switch [BOOL]", "--options JSON|@FILE", "--names NAMES", "--model FOLDER", "--hint FILE",
                 "--toy FILE", "--weight FILE"):
        assert text in shown


def test_groups_stand_where_they_are_declared():
    assert [element.name for element in elements(Toy)] == [
        "text", "whole", "limit", "switch", "options", "names", "model", "hint", "toy", "weight"]
    assert {element.name: element.type for element in elements(Toy) if element.role is Role.PARAMETER} == {
        "text": str, "whole": int, "limit": float, "switch": bool, "options": dict, "names": list}


def test_groups_are_checked():
    _, [(toy, _)] = run()
    check_groups(toy)
    _, [(toy, _)] = run("--limit", "2")
    with pytest.raises(UserError, match="parameter limit: 2.0"):
        check_groups(toy)


def test_groups_are_checked_by_values_before_there_is_a_stage():
    check_values(Toy, {"limit": 0.5})
    check_values(Toy, {})
    with pytest.raises(UserError, match="parameter limit: 2.0"):
        check_values(Toy, {"limit": 2.0, "whole": 3})


def test_checks_of_values_want_nothing_heavy():
    code = ("import sys\nfrom components.resolve.stage import Resolve\nfrom components.stage import check_values\n"
            "check_values(Resolve, {'candidates': ['auto']})\n"
            "sys.exit(bool({'torch', 'mmcv', 'nncf'} & sys.modules.keys()))")
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_the_component_has_what_the_graph_gives():
    from google.protobuf import json_format
    from kfp import dsl

    from pipelines.component import container_component

    component = container_component(Stage("toy", "openvino", Toy, print))
    (spec,) = component.pipeline_spec.components.values()
    declared = json_format.MessageToDict(spec)
    assert declared["inputDefinitions"]["parameters"] == {
        "text": {"parameterType": "STRING", "description": "Text."},
        "whole": {"parameterType": "NUMBER_INTEGER", "description": "A whole number."},
        "limit": {"parameterType": "NUMBER_DOUBLE", "description": "A limit of 50 %."},
        "switch": {"parameterType": "BOOLEAN", "description": "A switch.", "isOptional": True,
                   "defaultValue": False},
        "options": {"parameterType": "STRUCT", "description": "Options."}}
    assert declared["inputDefinitions"]["artifacts"].keys() == {"model", "hint"}
    assert declared["outputDefinitions"]["parameters"] == {"weight": {"parameterType": "STRING"}}
    assert declared["outputDefinitions"]["artifacts"]["toy"]["artifactType"]["schemaTitle"] == "system.Artifact"
    container = component.component_spec.implementation.container
    assert container.command == ["python", "-m", "components.toy"]
    assert container.args[-2:] == ["--executor-input", dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]
    assert [text for text in container.args if isinstance(text, str) and text.startswith("--")] == [
        "--text", "--whole", "--limit", "--switch", "--options", "--model", "--hint", "--toy", "--weight",
        "--executor-input"]
