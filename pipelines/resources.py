"""What each stage gets on a cluster: the one table of resources, deadlines, retries and caching."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HOUR = 3600
MINUTE = 60
BACKOFF_SECONDS = 30
BACKOFF_FACTOR = 2.0
# How long the pods of a stage may wait for nodes, all attempts together, before no further one is started.
WAITING_SECONDS = 7 * 24 * HOUR
SHARED_MEMORY_PATH = "/dev/shm"
SECRET_PATH = "/etc/mmdet-compress/s3"
# Names of the secret's entries, which are those of boto3's variables; each may be missing. Every stage gets them, since
# the launcher that moves its artifacts runs in the stage's container and reads certificates, and with fromEnv keys,
# from these variables too (backend/src/v2/objectstore/object_store.go:339 of KFP 2.17.0).
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION",
                    "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "SSL_CERT_FILE")
# The taint that GPU nodes carry by NVIDIA's convention.
GPU_TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
IMAGE_PULL_POLICY = "IfNotPresent"
LABEL_PREFIX = "app.kubernetes.io"
COST_LABEL = "mmdet-compress/cost-class"


@dataclass(frozen=True)
class StageResources:
    """One row of the table.

    Attributes:
        cpu: CPUs the scheduler keeps free, as Kubernetes writes them, or the name of the run parameter that says so.
        memory: Memory likewise; it is also the limit beyond which the stage is killed, /dev/shm included.
        timeout: Seconds a pod may live, pulling its image included.
        cpu_limited: Whether the stage may use no more CPUs than are kept free for it.
        memory_limit: Where it is another one than ``memory``.
        retries: How often a pod that vanished is started again; 0 leaves it to the back-end's default, which is
            twice in a stock installation.
        cached: Whether an earlier run's outputs of the same inputs are taken; never where there are effects.
        gpu: Whether the stage asks for accelerators and is placed by the settings for GPU nodes.
        shared_memory: Size of /dev/shm; empty leaves the 64 MB a container has.
    """

    cpu: str
    memory: str
    timeout: int
    cpu_limited: bool = False
    memory_limit: str = ""
    retries: int = 0
    cached: bool = True
    gpu: bool = False
    shared_memory: str = ""

    @property
    def retry_window(self) -> int:
        """Return the seconds in which retries may start.

        The back-end counts them from the creation of the first attempt's pod, so that waiting for a node counts
        (Argo v4.0.5, workflow/controller/operator.go:1037): every attempt's deadline, every pause and the waiting have
        to fit.
        """
        pauses = sum(BACKOFF_SECONDS * BACKOFF_FACTOR ** attempt for attempt in range(self.retries))
        return int((self.retries + 1) * self.timeout + pauses + WAITING_SECONDS)


STAGES: Mapping[str, StageResources] = {
    "resolve": StageResources("1", "4Gi", 30 * MINUTE, memory_limit="8Gi", cached=False),
    "train": StageResources("train_cpu", "train_memory", 24 * HOUR, retries=4, gpu=True, shared_memory="4Gi"),
    "compress": StageResources("train_cpu", "train_memory", 24 * HOUR, retries=4, gpu=True, shared_memory="4Gi"),
    "evaluate": StageResources("eval_cpu", "eval_memory", 4 * HOUR, gpu=True, shared_memory="2Gi"),
    "export": StageResources("export_cpu", "export_memory", 1 * HOUR),
    "convert": StageResources("export_cpu", "export_memory", 1 * HOUR),
    # Its measurements have their CPUs to themselves as far as the kubelet can help.
    "validate": StageResources("measure_cpu", "measure_memory", 4 * HOUR, cpu_limited=True),
    "report": StageResources("500m", "1Gi", 30 * MINUTE, memory_limit="4Gi"),
    "gate": StageResources("100m", "256Mi", 10 * MINUTE, memory_limit="1Gi", cached=False),
    "publish": StageResources("500m", "1Gi", 1 * HOUR, memory_limit="4Gi", cached=False),
}


@dataclass(frozen=True)
class Placement:
    """Run parameters (pipeline channels) that say where on the cluster stages run and with whose credentials.

    Attributes:
        gpu_count: Accelerators of a GPU stage. The driver reads a count as text only: a channel that is a number
            counts as none, without a word (``resolvePodSpecInputRuntimeParameter`` in the backend's v2/driver).
        accelerator: Resource name of the accelerator.
        gpu_node_selector: Node labels of GPU stages.
        gpu_tolerations: Tolerations of GPU stages besides :data:`GPU_TOLERATION`.
        cpu_node_selector: Node labels of all other stages.
        cpu_tolerations: Tolerations of all other stages.
        sizes: CPU and memory by the names of :class:`components.cluster_settings.ClusterSettings`.
        s3_secret: Name of the secret with the entries :data:`SECRET_VARIABLES`.
        image_pull_secret: Name of the registry's secret.
    """

    gpu_count: Any
    accelerator: Any
    gpu_node_selector: Any
    gpu_tolerations: Any
    cpu_node_selector: Any
    cpu_tolerations: Any
    s3_secret: Any
    image_pull_secret: Any
    sizes: Mapping[str, Any]


def apply_resources(task: Any, stage: str, placement: Placement) -> None:
    """Give a task of the graph what the table says of its stage."""
    from kfp import kubernetes

    row = STAGES[stage]
    cpu, memory = (placement.sizes.get(given, given) for given in (row.cpu, row.memory))
    # In a loop the compiler hands on what it knows of as an input alone (compiler_utils.get_inputs_for_all_groups).
    task.register_pipeline_channels([given for given in (cpu, memory) if not isinstance(given, str)])
    task.set_cpu_request(cpu)
    if row.cpu_limited:
        task.set_cpu_limit(cpu)
    task.set_memory_request(memory).set_memory_limit(row.memory_limit or memory)
    task.set_caching_options(row.cached)
    if row.retries:
        task.set_retry(row.retries, backoff_duration=f"{BACKOFF_SECONDS}s", backoff_factor=BACKOFF_FACTOR,
                       backoff_max_duration=f"{row.retry_window}s")
    if row.gpu:
        task.set_accelerator_type(placement.accelerator).set_accelerator_limit(placement.gpu_count)
        task.register_pipeline_channels([placement.accelerator, placement.gpu_count])
        kubernetes.add_toleration(task, **GPU_TOLERATION)
    kubernetes.add_node_selector_json(task, placement.gpu_node_selector if row.gpu else placement.cpu_node_selector)
    kubernetes.add_toleration_json(task, placement.gpu_tolerations if row.gpu else placement.cpu_tolerations)
    kubernetes.set_timeout(task, row.timeout)
    kubernetes.set_image_pull_policy(task, IMAGE_PULL_POLICY)
    kubernetes.set_image_pull_secrets(task, [placement.image_pull_secret])
    if row.shared_memory:
        kubernetes.empty_dir_mount(task, "dshm", SHARED_MEMORY_PATH, medium="Memory", size_limit=row.shared_memory)
    kubernetes.use_secret_as_env(task, placement.s3_secret, {name: name for name in SECRET_VARIABLES}, optional=True)
    kubernetes.use_secret_as_volume(task, placement.s3_secret, SECRET_PATH, optional=True)
    for key, value in labels(stage).items():
        kubernetes.add_pod_label(task, key, value)


def labels(stage: str) -> dict[str, str]:
    """Return the labels of a stage's pods, by which a cluster's costs can be told apart."""
    return {f"{LABEL_PREFIX}/name": "mmdet-compress", f"{LABEL_PREFIX}/component": stage,
            COST_LABEL: "gpu" if STAGES[stage].gpu else "cpu"}
