"""The compiled pipeline as the backend will read it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
COMPILED = PROJECT / "pipelines" / "compress.yaml"
TASKS = {  # task name in the compiled pipeline: (display name, cached)
    "resolve": ("resolve", False), "train": ("train", True), "evaluate": ("evaluate-fp32", True),
    "export": ("export-fp32", True), "convert": ("convert-fp32", True), "validate": ("validate", True),
    "report": ("report", True), "gate": ("gate", False), "publish": ("publish", False)}
LOOP = "for-loop-1"
OF_EACH_CANDIDATE = {"compress": ("compress", True), "evaluate-2": ("evaluate", True), "export-2": ("export", True),
                     "convert-2": ("convert", True)}


@pytest.fixture(name="documents")
def fixture_documents():
    import yaml

    return list(yaml.safe_load_all(COMPILED.read_text(encoding="ascii")))


@pytest.fixture(name="document")
def fixture_document(documents):
    return documents[0]


def test_committed_pipeline_is_what_the_source_compiles_to(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MMDET_COMPRESS_")}
    for seed in ("0", "1"):
        path = tmp_path / f"{seed}.yaml"
        subprocess.run([sys.executable, "pipelines/compress.py", "--compile", str(path)], cwd=PROJECT, check=True,
                       env={**environment, "PYTHONHASHSEED": seed})
        assert path.read_bytes() == COMPILED.read_bytes(), "run: python pipelines/compress.py --compile " \
            "pipelines/compress.yaml"


def test_both_documents_are_what_the_protos_know_and_nothing_else(documents):
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    pipeline, platform = documents
    spec = json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
    assert (spec.pipeline_info.name, spec.schema_version) == ("compress", "2.1.0")
    platform_spec = json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    assert list(platform_spec.platforms) == ["kubernetes"]
    configs = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for config in configs.values():
        json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    assert configs.keys() == pipeline["deploymentSpec"]["executors"].keys()


@pytest.mark.parametrize("spoil", [
    lambda pipeline, platform: pipeline["root"].update(unknown=1),
    lambda pipeline, platform: platform["platforms"].update(kubernetes={"unknown": 1}),
    lambda pipeline, platform: platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"].update(
        unknown=1)])
def test_strict_check_notices_an_unknown_field(spoil, documents):
    from google.protobuf import json_format

    spoil(*documents)
    with pytest.raises(json_format.ParseError, match="unknown"):
        test_both_documents_are_what_the_protos_know_and_nothing_else(documents)


def test_api_server_accepts_the_pipeline(documents):
    # The rules of backend/src/apiserver/template/v2_template.go that the protos do not hold.
    pipeline, platform = documents
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", pipeline["pipelineInfo"]["name"])
    assert [("pipelineInfo" in document, "platforms" in document) for document in documents] == [
        (True, False), (False, True)]
    assert pipeline["root"]["dag"]["tasks"]


def test_form_has_a_type_a_description_and_a_default_for_every_parameter(document):
    parameters = document["root"]["inputDefinitions"]["parameters"]
    for name, declared in parameters.items():
        assert re.fullmatch("[a-z][a-z0-9_]*", name)
        assert declared["parameterType"] in ("STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN", "LIST", "STRUCT")
        assert declared["description"].endswith("."), name
        # The UI's form takes only a field with a default as filled in (NewRunParametersV2.tsx).
        assert "defaultValue" in declared, name


def test_form_holds_no_secret(document):
    parameters = document["root"]["inputDefinitions"]["parameters"]
    assert [name for name in parameters if re.search("password|token|credential|access|key", name)] == []
    # What is called a secret is the name of one.
    assert {name for name in parameters if "secret" in name} == {"s3_secret", "image_pull_secret"}


def test_what_a_run_of_ones_own_needs_comes_first():
    from pipelines.graph import define_pipeline

    assert list(define_pipeline().component_spec.inputs)[:5] == [
        "model_config", "compression_config", "data", "destination", "model_name"]


def test_everything_between_tasks_goes_through_the_pipeline_root(document):
    configs = document["deploymentSpec"]["executors"].values()
    written = [argument for config in configs for argument in config["container"]["args"]
               if isinstance(argument, str) and argument.startswith("{{$.outputs.artifacts")]
    assert written and all(argument.endswith(".path}}") for argument in written)


def test_ui_shows_metrics_report_and_verdict(document):
    outputs = {name: {key: value["artifactType"]["schemaTitle"] for key, value in component.get(
        "outputDefinitions", {}).get("artifacts", {}).items()} for name, component in document["components"].items()}
    assert outputs["comp-report"] == {
        "summary": "system.Artifact", "metrics": "system.Metrics", "confusion": "system.ClassificationMetrics",
        "html": "system.HTML", "markdown": "system.Markdown"}
    assert [name for name, artifacts in outputs.items() if "system.Metrics" in artifacts.values()] == ["comp-report"]


def test_nothing_starts_before_the_first_task_has_checked_everything(document):
    tasks = document["root"]["dag"]["tasks"]
    assert [name for name, task in tasks.items() if not task.get("dependentTasks")] == ["resolve"]


def test_compiled_pipeline_names_the_public_images_by_tag(document):
    images = {executor["container"]["image"] for executor in document["deploymentSpec"]["executors"].values()}
    assert images == {"mmdet-compress/train:0.1.0", "mmdet-compress/openvino:0.1.0"}


def test_tasks_have_their_names_components_and_caching(document):
    found = {name: task for name, task in document["root"]["dag"]["tasks"].items() if name != LOOP}
    inner = document["components"][f"comp-{LOOP}"]["dag"]["tasks"]
    for tasks, expected in ((found, TASKS), (inner, OF_EACH_CANDIDATE)):
        assert {name: (task["taskInfo"]["name"], task["cachingOptions"].get("enableCache", False))
                for name, task in tasks.items()} == expected
    components = [task["componentRef"]["name"] for task in (*found.values(), *inner.values())]
    # kfp.local names a task's folder after its component: one used twice would overwrite the other's artifacts.
    assert sorted(components) == sorted(f"comp-{name}" for name in (*TASKS, *OF_EACH_CANDIDATE))


def test_candidates_are_made_side_by_side(document):
    from pipelines.graph import PARALLEL

    loop = document["root"]["dag"]["tasks"][LOOP]
    items = loop["parameterIterator"]["items"]["inputParameter"]
    assert loop["inputs"]["parameters"][items]["taskOutputParameter"] == {
        "producerTask": "resolve", "outputParameterKey": "resolved_candidates"}
    assert loop["iteratorPolicy"] == {"parallelismLimit": PARALLEL}
    item = document["components"][f"comp-{LOOP}"]["inputDefinitions"]["parameters"][
        loop["parameterIterator"]["itemInput"]]
    assert item == {"parameterType": "STRUCT"}


@pytest.mark.parametrize("stage", ["validate", "report"])
def test_stages_of_all_candidates_take_their_digests_since_a_cache_key_holds_the_first_artifact_of_a_list(
        stage, document):
    task = document["root"]["dag"]["tasks"][stage]
    collected = {name: given["taskOutputArtifact"]["producerTask"] == LOOP
                 for name, given in task["inputs"]["artifacts"].items()}
    lists = document["components"][f"comp-{stage}"]["inputDefinitions"]["artifacts"]
    assert collected == {name: declared.get("isArtifactList", False) for name, declared in lists.items()}
    assert any(collected.values())
    assert task["inputs"]["parameters"]["digests"]["taskOutputParameter"] == {
        "producerTask": LOOP, "outputParameterKey": "pipelinechannel--compress-digest"}


def test_what_a_loop_s_tasks_ask_for_reaches_the_loop(document):
    """The compiler hands on no accelerator of a task in a loop by itself."""
    component = document["components"][f"comp-{LOOP}"]
    inputs = component["inputDefinitions"]["parameters"]
    asked = {given["componentInputParameter"] for task in component["dag"]["tasks"].values()
             for given in task["inputs"]["parameters"].values() if "componentInputParameter" in given}
    assert {"pipelinechannel--accelerator", "pipelinechannel--resolve-gpu_count"} <= asked <= inputs.keys()
    assert inputs.keys() <= {*document["root"]["dag"]["tasks"][LOOP]["inputs"]["parameters"],
                             "pipelinechannel--resolve-resolved_candidates-loop-item"}


def test_publish_waits_for_the_gate(document):
    assert "gate" in document["root"]["dag"]["tasks"]["publish"]["dependentTasks"]
