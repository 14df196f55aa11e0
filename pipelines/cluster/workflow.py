"""A run's workflow as the API server keeps it: what each stage's pods are doing, and why one does not.

The v2beta1 API says less than the workflow: a stage whose pod waits is RUNNING there, one from the cache SUCCEEDED, and
none has a message (api_converter.go:1908-1922 and common/util/workflow.go:906-920 of KFP 2.17.0). The v1beta1 API hands
out the workflow itself (api_converter.go:1695-1714), as Argo writes it: a node for each pod, and above it a node for
its retries where it has any, whose messages are those of the pods (Argo v4.0.5,
workflow/controller/operator.go:1400-1807).
"""

import base64
import binascii
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from core.base.json_file import json_object

MOST_NODE_BYTES = 64 << 20
_ATTEMPT = re.compile(r"\(\d+\)$")
_ITEM = re.compile(r"\((\d+):[^)]*\)$")
# How the back-end names the nodes of a dsl.ParallelFor (argocompiler/dag.go:368, 437 and 471 of KFP 2.17.0).
_ITERATIONS, _ITERATION = "iteration-iterations", "iteration-item"
_EXECUTOR, _DRIVER = "executor", "-driver"
_FAILED = ("Failed", "Error")
# A pod that is on its way to a node has these reasons, too.
_PASSING = ("", "PodInitializing", "ContainerCreating")


class State(Enum):
    """What a stage is doing, in the words that are shown."""

    WAITS = "waits for its pod"
    RUNS = "runs"
    RETRIED = "comes again"
    DONE = "is done"
    CACHED = "was in the cache"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Pod:
    """One pod of a stage.

    Attributes:
        name: Its name in Kubernetes.
        node: Its id in the workflow, by which its log is archived.
        phase: Argo's phase, such as ``Pending``.
        message: Argo's message; empty where it has none.
    """

    name: str
    node: str
    phase: str
    message: str


@dataclass(frozen=True)
class StageStatus:
    """What is known of one stage.

    Attributes:
        state: What it is doing.
        message: Why, where the workflow says so.
        attempts: Pods that have worked on it.
        pod: The newest of them, or the driver's where it has failed or there is no other yet.
        driver: Whether ``pod`` is the driver, which prepares the stage.
    """

    state: State
    message: str
    attempts: int
    pod: Pod
    driver: bool = False


@dataclass(frozen=True)
class Workflow:
    """A run's workflow.

    Attributes:
        name: Its name in Kubernetes.
        created: Its day, ``YYYY-MM-DD``.
        terminated: Whether somebody has ended the run (execution_spec.go:296 of KFP 2.17.0); its state is FAILED then.
        message: What Argo says of the whole.
        stages: Status of each stage that has a pod, by the path of its task: names of tasks, and the number of each
            iteration of a loop.
    """

    name: str
    created: str
    terminated: bool
    message: str
    stages: Mapping[tuple[str | int, ...], StageStatus]

    @classmethod
    def read(cls, manifest: str) -> "Workflow | None":
        """Return the workflow of a manifest, None where there is none or it is no workflow."""
        try:
            document = json_object(manifest)
            nodes = _nodes(document["status"])
            metadata, spec = document["metadata"], document.get("spec") or {}
            return cls(metadata["name"], metadata.get("creationTimestamp", "")[:10],
                       spec.get("activeDeadlineSeconds") == 0, document["status"].get("message", ""),
                       dict(_stages(metadata["name"], nodes)))
        except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, binascii.Error, zlib.error):
            # It is another program's record of itself, shown as a help alone; what it has to say of a run is its state.
            return None


def _nodes(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the nodes, which Argo compresses where they are large (workflow/packer/packer.go:30-41)."""
    packed = status.get("compressedNodes")
    if not packed:
        return list((status.get("nodes") or {}).values())
    with gzip.open(io.BytesIO(base64.b64decode(packed, validate=True))) as stream:
        content = stream.read(MOST_NODE_BYTES + 1)
    if len(content) > MOST_NODE_BYTES:
        raise ValueError("the workflow's nodes are too large")
    return list(json_object(content.decode("utf-8")).values())


def _stages(workflow: str, nodes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[tuple[str | int, ...], StageStatus]]:
    roles: dict[tuple[str | int, ...], dict[str, list[Mapping[str, Any]]]] = {}
    for node in nodes:
        *path, last = _path(node["name"].removeprefix(workflow))
        if last == _EXECUTOR:
            roles.setdefault(tuple(path), {}).setdefault(_EXECUTOR, []).append(node)
        elif isinstance(last, str) and last.endswith(_DRIVER):
            roles.setdefault((*path, last.removesuffix(_DRIVER)), {}).setdefault(_DRIVER, []).append(node)
    for path, found in roles.items():
        status = _status(workflow, found.get(_DRIVER, []), found.get(_EXECUTOR, []))
        if status is not None:
            yield path, status


def _path(name: str) -> list[str | int]:
    """Return the names of the tasks on the way to a node: ``(0).root.train(0).executor(1)`` is train, executor."""
    found: list[str | int] = []
    for segment in _ATTEMPT.sub("", name).split("."):
        item = _ITEM.search(_ATTEMPT.sub("", segment))
        plain = _ITEM.sub("", _ATTEMPT.sub("", segment))
        if item and plain == _ITERATIONS:
            found.append(int(item.group(1)))
        elif plain not in ("", "root", _ITERATION):
            found.append(plain)
    return found or [""]


def _status(workflow: str, drivers: list[Mapping[str, Any]],
            executors: list[Mapping[str, Any]]) -> StageStatus | None:
    """Return a stage's status by the nodes of its driver and its own, each with those of its retries."""
    pods = _pods(workflow, executors)
    if not pods:
        if any(node.get("phase") == "Skipped" for node in executors):
            cached = _pods(workflow, drivers)
            return StageStatus(State.CACHED, "", 0, cached[-1], driver=True) if cached else None
        return _of_driver(_pods(workflow, drivers), drivers)
    newest, retries = pods[-1], _retries(executors)
    phase = retries.get("phase", newest.phase)
    if newest.phase in _FAILED and phase not in _FAILED:
        return StageStatus(State.RETRIED, newest.message, len(pods), newest)
    state = {"Succeeded": State.DONE, "Running": State.RUNS}.get(
        newest.phase, State.FAILED if newest.phase in _FAILED else State.WAITS)
    return StageStatus(state, newest.message or retries.get("message", ""), len(pods), newest)


def _of_driver(pods: list[Pod], nodes: list[Mapping[str, Any]]) -> StageStatus | None:
    """Return the status of a stage that has no pod of its own yet."""
    if not pods:
        return None
    newest = pods[-1]
    phase = _retries(nodes).get("phase", newest.phase)
    state = State.FAILED if newest.phase in _FAILED and phase in _FAILED else State.WAITS
    return StageStatus(state, newest.message, 0, newest, driver=True)


def _retries(nodes: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the newest node above a pod's attempts; empty where the back-end retries nothing."""
    return max((node for node in nodes if node.get("type") == "Retry"),
               key=lambda node: node.get("startedAt") or "", default={})


def _pods(workflow: str, nodes: Iterable[Mapping[str, Any]]) -> list[Pod]:
    """Return the pods among the nodes in their order; their names are as Argo makes them (KFP: workflow.go:391-408)."""
    pods = sorted((node for node in nodes if node.get("type") == "Pod"),
                  key=lambda node: (node.get("startedAt") or "", node["name"]))
    return [Pod(f"{workflow}-{node.get('templateName', '')}-{node['id'].rpartition('-')[2]}", node["id"],
                node.get("phase") or "Pending", " ".join((node.get("message") or "").split())) for node in pods]


def reason(message: str) -> str:
    """Return the reason at the head of a waiting pod's message, empty where it only takes its time."""
    head = message.partition(":")[0].strip()
    return "" if head in _PASSING else head
