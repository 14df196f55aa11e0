"""What is derived from the stages' declarations: container components, command lines, tables."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from components import tables
from components.stage import Presence, Role, elements

PROJECT = Path(__file__).parents[2]
ENVIRONMENTS = {"resolve": "train", "train": "train", "evaluate": "train", "compress": "train", "export": "train",
                "convert": "openvino", "validate": "openvino", "report": "openvino", "gate": "openvino",
                "publish": "openvino"}
STAGES = sorted(ENVIRONMENTS)
VALUES = {"STRING": "some text", "NUMBER_INTEGER": 7, "NUMBER_DOUBLE": 0.25, "BOOLEAN": True,
          "STRUCT": {"key": "value"}, "LIST": ["one, two", "three"]}


def stage_of(name):
    return import_module(f"components.{name}.stage").STAGE


@pytest.fixture(name="component", params=STAGES)
def fixture_component(request):
    from pipelines.component import container_component

    return container_component(stage_of(request.param))


def container_and_arguments(component, folder):
    """Return the container with placeholders replaced by kfp.local, the inputs given and where outputs go."""
    from google.protobuf import json_format
    from kfp import dsl
    from kfp.local import executor_input_utils, placeholder_utils, utils

    spec = component.pipeline_spec
    (component_spec,) = spec.components.values()
    parameters = json_format.MessageToDict(component_spec.input_definitions).get("parameters", {})
    given = {name: VALUES[declared["parameterType"]] for name, declared in parameters.items()}
    given.update({name: dsl.Artifact(name=name, uri=f"{folder}/in/{name}")
                  for name in component_spec.input_definitions.artifacts})
    message = executor_input_utils.construct_executor_input(component_spec, given, str(folder), False)
    executor_input = executor_input_utils.executor_input_to_dict(message, component_spec)
    container = utils.struct_to_executor_spec(
        spec.deployment_spec["executors"][component_spec.executor_label]).container
    argv = placeholder_utils.replace_placeholders([*container.command, *container.args], executor_input, "run", "task",
                                                  str(folder), "1")
    outputs = [*component_spec.output_definitions.parameters, *component_spec.output_definitions.artifacts]
    return container, argv, given, outputs


def test_arguments_reach_the_command_line(component, tmp_path):
    container, argv, given, outputs = container_and_arguments(component, tmp_path)

    assert argv[:3] == ["python", "-m", f"components.{component.name}"]
    stage = stage_of(component.name)
    parsed = vars(stage.build_parser().parse_args(argv[3:]))
    executor_input = json.loads(parsed.pop("executor_input"))
    expected = {name: value if not hasattr(value, "uri") else Path(value.uri) for name, value in given.items()}
    expected.update({name: tmp_path / name for name in outputs})
    # An argument would hold the first artifact of a list alone; the executor input has them all.
    expected.update({element.name: [] for element in elements(stage.declaration) if element.role is Role.COLLECTED})
    expected.update({element.name: element.default for element in elements(stage.declaration)
                     if element.presence is Presence.BY_HAND})
    assert parsed == expected
    assert executor_input["outputs"]["outputFile"] == f"{tmp_path}/executor_output.json"


def test_inputs_are_described(component):
    from google.protobuf import json_format

    (component_spec,) = component.pipeline_spec.components.values()
    described = json_format.MessageToDict(component_spec).get("inputDefinitions", {})
    assert [name for kind in described.values() for name, declared in kind.items()
            if not declared.get("description")] == []


def test_stage_runs_in_its_image(component, tmp_path):
    from components import images

    container, *_ = container_and_arguments(component, tmp_path)
    assert images.environments()[container.image] == ENVIRONMENTS[component.name]


def test_every_stage_is_here():
    assert [stage.name for stage in tables.stages()] == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_stage_has_a_page(stage):
    assert f"python -m components.{stage}" in (PROJECT / "components" / stage / "README.md").read_text()


def test_help_imports_nothing_heavy():
    program = f"""
import sys
for stage in {STAGES!r}:
    __import__(f"components.{{stage}}.stage")
    sys.modules[f"components.{{stage}}.stage"].STAGE.build_parser().format_help()
heavy = {{"torch", "mmcv", "mmdet", "nncf", "openvino", "kfp", "cv2", "matplotlib", "sklearn", "numpy", "yaml"}}
print(sorted(heavy & sys.modules.keys()))
"""
    shown = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert shown.stdout == "[]\n"


@pytest.mark.parametrize("name", STAGES)
def test_a_parameter_that_stages_share_is_declared_once(name):
    """Parameters of one name are of one declaration, but for those that mean something else in each stage."""
    own = {"data", "model", "compression", "parent", "checkpoint", "seed", "summary", "html", "validation",
           "max_map_drop"}
    for element in elements(stage_of(name).declaration):
        if element.role is Role.PARAMETER and element.name not in own:
            same = [other for stage in tables.stages() for other in elements(stage.declaration)
                    if other.name == element.name]
            assert all(other == element for other in same), element.name


@pytest.mark.parametrize("name", STAGES)
def test_the_pages_table_is_what_is_declared(name):
    text = tables.readme(stage_of(name)).read_text()
    assert text.count(tables.BEGIN) == text.count(tables.END) == 1
    assert text == tables.with_table(text, stage_of(name)), "run: python -m components.tables"
