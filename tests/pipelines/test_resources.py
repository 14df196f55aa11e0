"""The compiled pipeline holds what the table of resources says, task by task."""

from pathlib import Path

import pytest

from pipelines.resources import (
    BACKOFF_FACTOR,
    BACKOFF_SECONDS,
    GPU_TOLERATION,
    IMAGE_PULL_POLICY,
    SECRET_PATH,
    SECRET_VARIABLES,
    SHARED_MEMORY_PATH,
    STAGES,
)

COMPILED = Path(__file__).parents[2] / "pipelines" / "compress.yaml"


def documents():
    import yaml

    return list(yaml.safe_load_all(COMPILED.read_text(encoding="ascii")))


PIPELINE, PLATFORM = documents()
TASKS = PIPELINE["root"]["dag"]["tasks"]
GPU_STAGES = {"train", "compress", "evaluate"}


def parameter(name):
    return {"componentInputParameter": name}


@pytest.fixture(name="name", params=sorted(TASKS))
def fixture_name(request):
    return request.param


@pytest.fixture(name="task")
def fixture_task(name):
    return TASKS[name]


@pytest.fixture(name="row")
def fixture_row(name):
    return STAGES[name.split("-")[0]]


@pytest.fixture(name="container")
def fixture_container(task):
    label = PIPELINE["components"][task["componentRef"]["name"]]["executorLabel"]
    return PIPELINE["deploymentSpec"]["executors"][label]["container"]


@pytest.fixture(name="config")
def fixture_config(task):
    label = PIPELINE["components"][task["componentRef"]["name"]]["executorLabel"]
    return PLATFORM["platforms"]["kubernetes"]["deploymentSpec"]["executors"][label]


def quantity(text):
    """Return a Kubernetes quantity as a number."""
    units = {"m": 1e-3, "Ki": 2 ** 10, "Mi": 2 ** 20, "Gi": 2 ** 30}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    return float(text[:-len(unit)] if unit else text) * units.get(unit, 1)


def test_every_stage_of_the_table_is_a_task_and_the_other_way_round():
    assert {name.split("-")[0] for name in TASKS} == STAGES.keys()


def test_cpu_and_memory(row, container):
    resources = container["resources"]
    assert (resources["resourceCpuRequest"], resources["resourceCpuLimit"], resources["resourceMemoryRequest"],
            resources["resourceMemoryLimit"]) == (row.cpu_request, row.cpu_limit, row.memory_request,
                                                  row.memory_limit)
    assert quantity(row.cpu_request) <= quantity(row.cpu_limit)
    assert quantity(row.memory_request) <= quantity(row.memory_limit)


def test_accelerators_are_asked_for_by_train_compress_and_evaluate_alone(name, task, row, container):
    accelerator = container["resources"].get("accelerator")
    assert row.gpu == (name.split("-")[0] in GPU_STAGES) == (accelerator is not None)
    if accelerator:
        assert accelerator == {
            "resourceCount": "{{$.inputs.parameters['pipelinechannel--resolve-gpu_count']}}",
            "resourceType": "{{$.inputs.parameters['pipelinechannel--accelerator']}}"}
        inputs = task["inputs"]["parameters"]
        assert inputs["pipelinechannel--accelerator"] == parameter("accelerator")
        assert inputs["pipelinechannel--resolve-gpu_count"] == {
            "taskOutputParameter": {"outputParameterKey": "gpu_count", "producerTask": "resolve"}}


def test_accelerator_count_is_text_since_the_driver_takes_a_number_for_none():
    outputs = PIPELINE["components"]["comp-resolve"]["outputDefinitions"]["parameters"]
    assert outputs["gpu_count"]["parameterType"] == "STRING"


def test_nodes_are_chosen_by_run_parameters(row, config):
    kind = "gpu" if row.gpu else "cpu"
    assert config["nodeSelector"] == {"nodeSelectorJson": parameter(f"{kind}_node_selector")}
    assert config["tolerations"] == [*([GPU_TOLERATION] if row.gpu else []),
                                     {"tolerationJson": parameter(f"{kind}_tolerations")}]
    parameters = PIPELINE["root"]["inputDefinitions"]["parameters"]
    assert (parameters[f"{kind}_node_selector"]["parameterType"], parameters[f"{kind}_tolerations"][
        "parameterType"]) == ("STRUCT", "LIST")


def test_shared_memory_is_a_part_of_the_memory_limit(row, config):
    mounts = config.get("emptyDirMounts", [])
    assert mounts == ([{"volumeName": "dshm", "mountPath": SHARED_MEMORY_PATH, "medium": "Memory",
                        "sizeLimit": row.shared_memory}] if row.shared_memory else [])
    assert bool(row.shared_memory) == row.gpu
    if mounts:
        assert quantity(row.shared_memory) < quantity(row.memory_limit)


def test_every_pod_has_a_deadline(row, config):
    assert int(config["activeDeadlineSeconds"]) == row.timeout > 0


def test_retries_fit_into_the_window_that_counts_from_the_first_attempt(row, task):
    policy = task.get("retryPolicy")
    assert (policy["maxRetryCount"] if policy else 0) == row.retries
    if policy:
        assert (policy["backoffDuration"], policy["backoffFactor"]) == (f"{BACKOFF_SECONDS}s", BACKOFF_FACTOR)
        pause, needed = BACKOFF_SECONDS, row.timeout
        for _ in range(policy["maxRetryCount"]):
            needed += pause + row.timeout
            pause *= BACKOFF_FACTOR
        assert int(policy["backoffMaxDuration"].rstrip("s")) >= needed


def test_image_is_pulled_by_policy_and_with_the_named_secret(config):
    assert config["imagePullPolicy"] == IMAGE_PULL_POLICY == "IfNotPresent"
    assert config["imagePullSecret"] == [{"secretNameParameter": parameter("image_pull_secret")}]


def test_storage_secret_reaches_those_that_use_storage_and_no_key_has_to_be_there(row, config):
    if not row.storage:
        assert not config.keys() & {"secretAsEnv", "secretAsVolume"}
        return
    assert config["secretAsEnv"] == [{
        "secretNameParameter": parameter("s3_secret"), "optional": True,
        "keyToEnv": [{"secretKey": name, "envVar": name} for name in SECRET_VARIABLES]}]
    assert config["secretAsVolume"] == [{"secretNameParameter": parameter("s3_secret"), "optional": True,
                                         "mountPath": SECRET_PATH}]


def test_caching_is_on_where_a_stage_is_pure(name, row, task):
    assert task["cachingOptions"].get("enableCache", False) == row.cached
    assert row.cached == (name not in {"resolve", "gate", "publish"})


def test_pods_carry_labels_that_costs_are_told_apart_by(name, row, config):
    assert config["podMetadata"] == {"labels": {
        "app.kubernetes.io/name": "mmdet-compress", "app.kubernetes.io/component": name.split("-")[0],
        "mmdet-compress/cost-class": "gpu" if row.gpu else "cpu"}}


def duration(seconds):
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{seconds // 60} min"


def test_documentation_has_the_same_table():
    page = (COMPILED.parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
    for name, row in STAGES.items():
        assert (f"| {name} | {row.cpu_request} - {row.cpu_limit} | {row.memory_request} - {row.memory_limit} | "
                f"{duration(row.timeout)} | {row.retries} | {'yes' if row.cached else 'no'} | "
                f"{'yes' if row.gpu else 'no'} | {row.shared_memory or '-'} | {'yes' if row.storage else 'no'} |"
                ) in page, name


def test_documentation_adds_up_what_a_run_can_take_at_most():
    page = (COMPILED.parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
    hours = {True: 0.0, False: 0.0}
    for name in TASKS:
        row = STAGES[name.split("-")[0]]
        hours[row.gpu] += row.timeout * (row.retries + 1) / 3600
    assert f"{hours[True]:.0f} hours of GPU pods and {hours[False]:.1f} hours of others" in page
