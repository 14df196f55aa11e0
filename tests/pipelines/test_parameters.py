from pathlib import Path

import pytest

from core.base.errors import UserError
from pipelines.parameters import (
    Parameter,
    from_text,
    from_yaml,
    load_parameters,
    parse_assignment,
    read_parameters,
    texts_of,
)

ROOT = Path(__file__).parents[2]
PARAMETERS = {name: Parameter(name, kind, None, "") for name, kind in {
    "data": "STRING", "seed": "NUMBER_INTEGER", "max_map_drop": "NUMBER_DOUBLE", "trust": "BOOLEAN",
    "classes": "LIST", "model_options": "STRUCT"}.items()}


@pytest.mark.parametrize(("text", "value"), [
    ("data=a=b, c", "a=b, c"), ("data=", ""), ("data=3", "3"),
    ("seed=-3", -3), ("max_map_drop=1e-2", 0.01), ("max_map_drop=1", 1.0), ("trust=True", True), ("trust=false", False),
    ("classes=RBC, WBC,", ["RBC", "WBC"]), ("classes=", []), ('classes=["a, b", "c"]', ["a, b", "c"]),
    ('model_options={"a.b": [1, 2.5]}', {"a.b": [1, 2.5]})])
def test_assignment_has_the_parameters_type(text, value):
    name = text.partition("=")[0]
    parsed = parse_assignment(text, PARAMETERS)
    assert parsed == {name: value}
    assert type(parsed[name]) is type(value)


@pytest.mark.parametrize(("text", "kind"), [
    ("seed=1.5", "a whole number"), ("seed=", "a whole number"), ("seed=one", "a whole number"),
    ("max_map_drop=much", "a number"), ("max_map_drop=nan", "a number"), ("max_map_drop=inf", "a number"),
    ("trust=yes", "true or false"), ("classes=[1", "a list"), ("classes=[NaN]", "a list"),
    ("model_options=[]", "a JSON object"), ("model_options=a=1", "a JSON object"),
    ("model_options=" + "[" * 100_000, "a JSON object")])
def test_malformed_value_is_refused_by_its_type(text, kind):
    name = text.partition("=")[0]
    with pytest.raises(UserError, match=f"parameter {name}: .*It must be {kind}, such as"):
        parse_assignment(text, PARAMETERS)


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="parameter: 'max_map_dorp'.*Did you mean `max_map_drop`"):
        parse_assignment("max_map_dorp=1", PARAMETERS)


def test_assignment_without_a_value_is_refused():
    with pytest.raises(UserError, match="-p: 'seed'"):
        parse_assignment("seed", PARAMETERS)


@pytest.mark.parametrize(("name", "given", "value"), [
    ("seed", 3, 3), ("seed", "3", 3), ("max_map_drop", 1, 1.0), ("max_map_drop", "1e-2", 0.01), ("trust", True, True),
    ("classes", ["a"], ["a"]), ("classes", "a,b", ["a", "b"]), ("model_options", {"a": 1}, {"a": 1})])
def test_yaml_value_has_the_parameters_type(name, given, value):
    assert from_yaml(PARAMETERS[name], given) == value


@pytest.mark.parametrize(("name", "given"), [
    ("seed", True), ("seed", 1.5), ("seed", None), ("data", 3), ("max_map_drop", float("nan")), ("trust", 1),
    ("classes", {"a": 1}), ("model_options", ["a"]), ("model_options", {1: "a"}), ("model_options", {"a": {1, 2}})])
def test_yaml_value_of_another_type_is_refused(name, given):
    with pytest.raises(UserError, match=f"parameter {name}: "):
        from_yaml(PARAMETERS[name], given)


def test_file_sets_parameters(tmp_path):
    (tmp_path / "p.yaml").write_text("data: ../größe\nseed: 4\nclasses: [RBC, WBC]\n", encoding="utf-8")
    assert load_parameters(tmp_path / "p.yaml", PARAMETERS) == {"data": "../größe", "seed": 4,
                                                                "classes": ["RBC", "WBC"]}


def test_empty_file_sets_nothing(tmp_path):
    (tmp_path / "p.yaml").write_text("# nothing\n")
    assert load_parameters(tmp_path / "p.yaml", PARAMETERS) == {}


@pytest.mark.parametrize(("content", "message"), [
    (b"seed: [1", "must be valid YAML"), (b"seed: \xff\xfe", "must be text in UTF-8"), (b"- seed", "It holds a list"),
    (b"a: !!python/object/apply:os.system [ls]", "must be valid YAML"), (b"[" * 5000, "nested too deeply"),
    (b"sed: 1", "Did you mean `seed`"), (b"3: 1", "the key 3 is not text")])
def test_unusable_file_is_refused(tmp_path, content, message):
    (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_parameters(tmp_path / "p.yaml", PARAMETERS)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="parameter file: .*absent.yaml .No such file"):
        load_parameters(tmp_path / "absent.yaml", PARAMETERS)


@pytest.fixture(scope="module")
def parameters():
    from pipelines.compress import define_pipeline

    return read_parameters(define_pipeline().pipeline_spec)


def test_types_and_defaults_come_from_the_compiled_pipeline(parameters):
    assert parameters["seed"] == Parameter("seed", "NUMBER_INTEGER", 0, "Seed of weights, shuffling and augmentation.")
    assert type(parameters["seed"].default) is int
    assert (parameters["classes"].default, parameters["model_options"].default) == ([], {})
    # Every default is a value that could be given.
    for parameter in parameters.values():
        assert from_yaml(parameter, parameter.default) == parameter.default
    assert from_text(parameters["max_map_drop"], "0.01") == parameters["max_map_drop"].default


@pytest.mark.parametrize("file", sorted((ROOT / "configs" / "pipelines").glob("*.yaml")), ids=lambda file: file.stem)
def test_our_files_name_configs_that_are_there_and_candidates_that_can_be_made(file, parameters):
    from core.config.loading import load_config
    from core.training.ready_made import expand, options_of, overridden

    values = load_parameters(file, parameters)
    model = load_config(ROOT / values["model_config"])
    made = [options_of(candidate, model) for candidate in expand(values.get("candidates", []))]
    compressed = [load_config(ROOT / values["model_config"], overridden(options, values.get("compression_options", {})))
                  for options in made]
    compressed += [load_config(ROOT / name) for name in texts_of(values, "compression_config")]
    assert compressed
    assert all("nncf_config" in config and config.model == model.model for config in compressed)
