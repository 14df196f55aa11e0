"""What each stage gets on a cluster: the one table of resources, deadlines, retries, caching and credentials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HOUR = 3600
MINUTE = 60
BACKOFF_SECONDS = 30
BACKOFF_FACTOR = 2.0
SHARED_MEMORY_PATH = "/dev/shm"
SECRET_PATH = "/etc/mmdet-compress/s3"
# Names of the secret's entries, which are those of boto3's variables; each may be missing.
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION",
                    "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE")
# The taint that GPU nodes carry by NVIDIA's convention.
GPU_TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
IMAGE_PULL_POLICY = "IfNotPresent"
LABEL_PREFIX = "app.kubernetes.io"
COST_LABEL = "mmdet-compress/cost-class"


@dataclass(frozen=True)
class StageResources:
    """One row of the table.

    Attributes:
        cpu_request: CPUs the scheduler keeps free for the stage, as Kubernetes writes them.
        cpu_limit: CPUs the stage may use.
        memory_request: Memory the scheduler keeps free.
        memory_limit: Memory beyond which the stage is killed; ``shared_memory`` is a part of it.
        timeout: Seconds a pod may live, pulling its image included.
        retries: How often a failed pod is started again.
        cached: Whether an earlier run's outputs of the same inputs are taken; never where there are effects.
        gpu: Whether the stage asks for accelerators and is placed by the settings for GPU nodes.
        storage: Whether the stage reads or writes object storage itself, and so gets the S3 secret.
        shared_memory: Size of /dev/shm; empty leaves the 64 MB a container has.
    """

    cpu_request: str
    cpu_limit: str
    memory_request: str
    memory_limit: str
    timeout: int
    retries: int = 1
    cached: bool = True
    gpu: bool = False
    storage: bool = False
    shared_memory: str = ""

    @property
    def retry_window(self) -> int:
        """Return the seconds in which retries may start.

        The backend counts them from the first attempt's start (Argo's retryStrategy.backoff.maxDuration), so every
        attempt's deadline and every pause have to fit.
        """
        pauses = sum(BACKOFF_SECONDS * BACKOFF_FACTOR ** attempt for attempt in range(self.retries))
        return int((self.retries + 1) * self.timeout + pauses)


STAGES: Mapping[str, StageResources] = {
    "resolve": StageResources("1", "4", "4Gi", "8Gi", 30 * MINUTE, cached=False, storage=True),
    "train": StageResources("4", "8", "14Gi", "28Gi", 24 * HOUR, retries=2, gpu=True, storage=True,
                            shared_memory="8Gi"),
    "compress": StageResources("4", "8", "14Gi", "28Gi", 24 * HOUR, retries=2, gpu=True, storage=True,
                               shared_memory="8Gi"),
    "evaluate": StageResources("4", "8", "8Gi", "16Gi", 4 * HOUR, gpu=True, storage=True, shared_memory="4Gi"),
    "export": StageResources("2", "4", "4Gi", "16Gi", 1 * HOUR),
    "convert": StageResources("2", "4", "4Gi", "8Gi", 1 * HOUR),
    # Request and limit are the same, so that a measurement has its CPUs to itself as far as the kubelet can help.
    "validate": StageResources("4", "4", "8Gi", "8Gi", 4 * HOUR, storage=True),
    "report": StageResources("500m", "2", "1Gi", "4Gi", 30 * MINUTE),
    "gate": StageResources("100m", "1", "256Mi", "1Gi", 10 * MINUTE, retries=0, cached=False),
    "publish": StageResources("500m", "2", "1Gi", "4Gi", 1 * HOUR, retries=2, cached=False, storage=True),
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


def apply_resources(task: Any, stage: str, placement: Placement) -> None:
    """Give a task of the graph what the table says of its stage."""
    from kfp import kubernetes

    row = STAGES[stage]
    task.set_cpu_request(row.cpu_request).set_cpu_limit(row.cpu_limit)
    task.set_memory_request(row.memory_request).set_memory_limit(row.memory_limit)
    task.set_caching_options(row.cached)
    if row.retries:
        task.set_retry(row.retries, backoff_duration=f"{BACKOFF_SECONDS}s", backoff_factor=BACKOFF_FACTOR,
                       backoff_max_duration=f"{row.retry_window}s")
    if row.gpu:
        task.set_accelerator_type(placement.accelerator).set_accelerator_limit(placement.gpu_count)
        kubernetes.add_toleration(task, **GPU_TOLERATION)
    kubernetes.add_node_selector_json(task, placement.gpu_node_selector if row.gpu else placement.cpu_node_selector)
    kubernetes.add_toleration_json(task, placement.gpu_tolerations if row.gpu else placement.cpu_tolerations)
    kubernetes.set_timeout(task, row.timeout)
    kubernetes.set_image_pull_policy(task, IMAGE_PULL_POLICY)
    kubernetes.set_image_pull_secrets(task, [placement.image_pull_secret])
    if row.shared_memory:
        kubernetes.empty_dir_mount(task, "dshm", SHARED_MEMORY_PATH, medium="Memory", size_limit=row.shared_memory)
    if row.storage:
        kubernetes.use_secret_as_env(task, placement.s3_secret, {name: name for name in SECRET_VARIABLES},
                                     optional=True)
        kubernetes.use_secret_as_volume(task, placement.s3_secret, SECRET_PATH, optional=True)
    for key, value in labels(stage).items():
        kubernetes.add_pod_label(task, key, value)


def labels(stage: str) -> dict[str, str]:
    """Return the labels of a stage's pods, by which a cluster's costs can be told apart."""
    return {f"{LABEL_PREFIX}/name": "mmdet-compress", f"{LABEL_PREFIX}/component": stage,
            COST_LABEL: "gpu" if STAGES[stage].gpu else "cpu"}
