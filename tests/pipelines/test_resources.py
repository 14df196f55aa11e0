"""The compiled pipeline holds what the table of resources says, task by task."""

from pathlib import Path

import pytest

from components.cluster_settings import SMALLEST_MEMORY, quantity
from pipelines.resources import (
    BACKOFF_FACTOR,
    BACKOFF_SECONDS,
    GPU_TOLERATION,
    IMAGE_PULL_POLICY,
    SECRET_PATH,
    SECRET_VARIABLES,
    SHARED_MEMORY_PATH,
    STAGES,
    WAITING_SECONDS,
)

COMPILED = Path(__file__).parents[2] / "pipelines" / "compress.yaml"


def documents():
    import yaml

    return list(yaml.safe_load_all(COMPILED.read_text(encoding="ascii")))


PIPELINE, PLATFORM = documents()
LOOP = PIPELINE["components"]["comp-for-loop-1"]["dag"]["tasks"]
TASKS = {name: task for name, task in (*PIPELINE["root"]["dag"]["tasks"].items(), *LOOP.items())
         if name != "for-loop-1"}
GPU_STAGES = {"train", "compress", "evaluate"}
DEFAULTS = {name: declared.get("defaultValue") for name, declared in PIPELINE["root"]["inputDefinitions"][
    "parameters"].items()}
# workflowDefaults.spec.templateDefaults.retryStrategy of a stock installation (manifests/kustomize/third-party/argo/
# base/workflow-controller-configmap-patch.yaml:56-59 of KFP 2.17.0): a pod that was deleted is an Error and comes
# again, a stage that failed does not, whatever its exit code.
STOCK = {"limit": 2, "retryPolicy": "OnError"}
# The phase that Argo v4.0.5 gives a pod (workflow/controller/operator.go).
OUTCOMES = {
    "it was deleted, and is gone when Argo looks": "Error",  # 1289
    "Argo's own containers beside the stage failed": "Error",  # 1773-1778
    "it was deleted, and Argo saw its end": "Failed",  # 1776
    "the stage failed, whatever its exit code": "Failed",  # 1776
    "out of memory": "Failed",  # 1776
    "its deadline, an eviction, a node's shutdown": "Failed",  # 1710
}


@pytest.fixture(name="parameter")
def fixture_parameter(name):
    """Return a function that gives the reference to a run parameter, in the loop by the loop's input."""
    return lambda parameter: {"componentInputParameter": f"pipelinechannel--{parameter}" if name in LOOP else parameter}


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


def given(value):
    """Return what the compiled pipeline has for a value of the table: itself, or the channel of a run parameter."""
    return f"{{{{$.inputs.parameters['pipelinechannel--{value}']}}}}" if value in DEFAULTS else value


def amount(value):
    """Return a value of the table as a number, that of a run parameter by its default."""
    return quantity(DEFAULTS.get(value, value))


def test_every_stage_of_the_table_is_a_task_and_the_other_way_round():
    assert {name.split("-")[0] for name in TASKS} == STAGES.keys()


def test_cpu_and_memory(name, row, task, container, parameter):
    assert container["resources"].items() >= {
        "resourceCpuRequest": given(row.cpu), "resourceMemoryRequest": given(row.memory),
        "resourceMemoryLimit": given(row.memory_limit or row.memory)}.items()
    assert container["resources"].get("resourceCpuLimit") == (given(row.cpu) if row.cpu_limited else None)
    assert amount(row.memory) <= amount(row.memory_limit or row.memory)
    for value in {row.cpu, row.memory} & DEFAULTS.keys():
        assert task["inputs"]["parameters"][f"pipelinechannel--{value}"] == parameter(value)
    # The first stage checks the others' sizes, so its own must not be wrong.
    assert name != "resolve" or not {row.cpu, row.memory} & DEFAULTS.keys()


def test_defaults_fit_a_node_of_four_cpus_16_gib_and_one_gpu(row):
    # Of 4 CPUs and 16 GiB, GKE reserves 80m and 2.6 GiB plus 100 MiB for eviction, EKS and AKS less CPU and about as
    # much memory; what runs on every node takes about 300m and 1 GiB.
    assert amount(row.cpu) <= 4 - 0.08 - 0.3
    assert amount(row.memory) <= (16 - 2.6 - 0.1 - 1.0) * 2 ** 30


def test_accelerators_are_asked_for_by_train_compress_and_evaluate_alone(name, task, row, container, parameter):
    accelerator = container["resources"].get("accelerator")
    assert row.gpu == (name.split("-")[0] in GPU_STAGES) == (accelerator is not None)
    if accelerator:
        assert accelerator == {
            "resourceCount": "{{$.inputs.parameters['pipelinechannel--resolve-gpu_count']}}",
            "resourceType": "{{$.inputs.parameters['pipelinechannel--accelerator']}}"}
        inputs = task["inputs"]["parameters"]
        assert inputs["pipelinechannel--accelerator"] == parameter("accelerator")
        assert inputs["pipelinechannel--resolve-gpu_count"] == (
            parameter("resolve-gpu_count") if name in LOOP else
            {"taskOutputParameter": {"outputParameterKey": "gpu_count", "producerTask": "resolve"}})


def test_accelerator_count_is_text_since_the_driver_takes_a_number_for_none():
    outputs = PIPELINE["components"]["comp-resolve"]["outputDefinitions"]["parameters"]
    assert outputs["gpu_count"]["parameterType"] == "STRING"


def test_nodes_are_chosen_by_run_parameters(row, config, parameter):
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
        group = row.memory.removesuffix("_memory")
        assert quantity(row.shared_memory) < quantity(SMALLEST_MEMORY[group]) <= amount(row.memory)


def test_every_pod_has_a_deadline(row, config):
    assert int(config["activeDeadlineSeconds"]) == row.timeout > 0


def strategy(task):
    """Return a task's retryStrategy as Argo merges it: a template's own keys before defaults (operator.go:4448)."""
    policy = task.get("retryPolicy")
    # The back-end's compiler writes limit and backoff and never a policy (argocompiler/container.go:667-685).
    own = {"limit": policy["maxRetryCount"], "backoff": int(policy["backoffMaxDuration"].rstrip("s"))} if policy else {}
    return {**STOCK, **own}


def graphs(name):
    """Return how many graphs of Argo's lie around a stage's pod, each of which a stock installation retries: defaults
    are merged into every template, of whatever type (Argo v4.0.5, operator.go:2133 and 4448-4467), a retry that is used
    up keeps the phase of its last pod (operator.go:1136-1138), and a graph has that of its task (dag.go:209-219)."""
    loops = [task for task in PIPELINE["root"]["dag"]["tasks"].values() if "parameterIterator" in task]
    (inside,) = [set(PIPELINE["components"][loop["componentRef"]["name"]]["dag"]["tasks"]) for loop in loops]
    # entrypoint and root (argocompiler/dag.go:151-177); the loop, one iteration, and its item (:355-471); and the
    # template system-container-executor around every pod (argocompiler/container.go:412-435).
    return 2 + (3 if name in inside else 0) + 1


def pods(name, around=None):
    """Return how many pods a stage may get at most, within ``around`` of its graphs; all by default."""
    around = graphs(name) if around is None else around
    return (strategy(TASKS[name])["limit"] + 1) * (STOCK["limit"] + 1) ** around


def test_attempts_fit_into_the_window_that_counts_from_the_first_one_with_their_waiting(row, task):
    policy = task.get("retryPolicy")
    assert (policy["maxRetryCount"] if policy else 0) == row.retries
    if policy:
        assert (policy["backoffDuration"], policy["backoffFactor"]) == (f"{BACKOFF_SECONDS}s", BACKOFF_FACTOR)
        pause, needed = BACKOFF_SECONDS, row.timeout
        for _ in range(policy["maxRetryCount"]):
            needed += pause + row.timeout
            pause *= BACKOFF_FACTOR
        assert int(policy["backoffMaxDuration"].rstrip("s")) >= needed + WAITING_SECONDS


def test_stock_installation_brings_back_what_vanished_and_nothing_that_failed(task, row):
    merged = strategy(task)
    assert merged["limit"] == (row.retries or STOCK["limit"]) and merged["retryPolicy"] == "OnError"


def test_retries_nest_since_graphs_are_retried_too():
    assert {name: (pods(name, 1), pods(name)) for name in ("train", "evaluate", "compress", "gate")} == {
        "train": (15, 135), "evaluate": (9, 81), "compress": (15, 3645), "gate": (9, 81)}


def test_pages_say_how_often_a_pod_comes_again():
    cluster, resuming = (" ".join((COMPILED.parents[1] / "docs" / f"{page}.md").read_text(encoding="utf-8").split())
                         for page in ("cluster", "resuming"))
    once = strategy(TASKS["train"])["limit"]
    assert (f"`train` and `compress` {once} times, the others {strategy(TASKS['gate'])['limit']}, each surrounding "
            f"graph {STOCK['limit']} times") in cluster
    assert (f"{pods('train')} pods of `train`, {pods('gate')} of another stage, and in the loop over candidates "
            f"{pods('compress')} of `compress` and {max(pods(name) for name in LOOP if name != 'compress')} of the "
            "others") in cluster
    assert (f"{pods('train', 1)} pods in a row, {pods('train')} where the graphs around it come again as well"
            ) in resuming


def test_documentation_says_what_brings_a_pod_back():
    page = (COMPILED.parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
    policies = {strategy(task)["retryPolicy"] for task in TASKS.values()}
    for outcome, phase in OUTCOMES.items():
        comes_again = policies == {"OnError"} and phase == "Error"
        assert f"| {outcome} | {phase} | {'yes' if comes_again else 'no'} |" in page


def test_image_is_pulled_by_policy_and_with_the_named_secret(config, parameter):
    assert config["imagePullPolicy"] == IMAGE_PULL_POLICY == "IfNotPresent"
    assert config["imagePullSecret"] == [{"secretNameParameter": parameter("image_pull_secret")}]


def test_storage_secret_reaches_every_stage_since_the_launcher_reads_it_there_and_no_key_has_to_be_there(
        config, parameter):
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


def shown(value):
    return f"`{value}` ({DEFAULTS[value]})" if value in DEFAULTS else value


def test_documentation_has_the_same_table():
    page = (COMPILED.parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
    for name, row in STAGES.items():
        (attempts,) = {pods(task, 1) for task in TASKS if task.split("-")[0] == name}
        memory = shown(row.memory) + (f", at most {row.memory_limit}" if row.memory_limit else "")
        cpu = shown(row.cpu) + (", no more" if row.cpu_limited else "")
        assert (f"| {name} | {cpu} | {memory} | {duration(row.timeout)} | {attempts} | "
                f"{'yes' if row.cached else 'no'} | {'yes' if row.gpu else 'no'} | {row.shared_memory or '-'} |"
                ) in page, name


def test_documentation_adds_up_what_a_run_can_take_at_most():
    page = " ".join((COMPILED.parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8").split())
    once, most, graph = ({True: 0.0, False: 0.0} for _ in range(3))
    for name in TASKS:
        row = STAGES[name.split("-")[0]]
        once[row.gpu] += row.timeout / 3600
        graph[row.gpu] += row.timeout * pods(name, 1) / 3600
        most[row.gpu] += row.timeout * pods(name) / 3600
    assert f"{once[True]:.0f} hours of GPU pods and {once[False]:.1f} hours of others" in page
    assert f"{graph[True]:,.0f} and {graph[False]:,.1f} hours" in page
    assert f"{most[True]:,.0f} and {most[False]:,.1f} hours" in page
