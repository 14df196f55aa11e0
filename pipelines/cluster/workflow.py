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
from collections.abc import Iterator, Mapping, Sequence
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
# What a node for retries says where they are used up, not where its policy leaves the phase alone (Argo v4.0.5,
# operator.go:1046, 1089, 1118 and 1138).
_USED_UP = ("No more retries left", "Max duration limit exceeded", "Backoff would exceed max duration limit")


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
            metadata, spec, status = document["metadata"], document.get("spec") or {}, document["status"]
            nodes = status.get("nodes") or {}
            if packed := status.get("compressedNodes"):
                # Argo compresses them where they are large (workflow/packer/packer.go:30-41).
                with gzip.open(io.BytesIO(base64.b64decode(packed, validate=True))) as stream:
                    content = stream.read(MOST_NODE_BYTES + 1)
                if len(content) > MOST_NODE_BYTES:
                    raise ValueError("the workflow's nodes are too large")
                nodes = json_object(content.decode("utf-8"))
            return cls(metadata["name"], metadata.get("creationTimestamp", "")[:10],
                       spec.get("activeDeadlineSeconds") == 0, status.get("message", ""),
                       dict(_stages(metadata["name"], list(nodes.values()))))
        except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, binascii.Error, zlib.error):
            # It is another program's record of itself, shown as a help alone; what it has to say of a run is its state.
            return None


def _stages(workflow: str, nodes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[tuple[str | int, ...], StageStatus]]:
    roles: dict[tuple[str | int, ...], dict[str, list[Mapping[str, Any]]]] = {}
    retries = {node["name"]: node for node in nodes if node.get("type") == "Retry"}
    for node in nodes:
        *path, last = _path(node["name"].removeprefix(workflow))
        if last == _EXECUTOR:
            roles.setdefault(tuple(path), {}).setdefault(_EXECUTOR, []).append(node)
        elif isinstance(last, str) and last.endswith(_DRIVER):
            roles.setdefault((*path, last.removesuffix(_DRIVER)), {}).setdefault(_DRIVER, []).append(node)
    for path, found in roles.items():
        status = _status(workflow, found.get(_DRIVER, []), found.get(_EXECUTOR, []), retries)
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


def _status(workflow: str, drivers: Sequence[Mapping[str, Any]], executors: Sequence[Mapping[str, Any]],
            retries: Mapping[str, Mapping[str, Any]]) -> StageStatus | None:
    """Return a stage's status by the nodes of its driver and its own, and all nodes for retries by name.

    Where a graph around a stage began anew, its driver has another pod, and is followed by another of its own or by
    none where the cache has it.
    """
    own, preparing = _pods(executors), _pods(drivers)
    skipped = any(node.get("phase") == "Skipped" for node in executors)
    if not own:
        if not preparing:
            return None
        driver = _pod(workflow, preparing[-1])
        if skipped:
            return StageStatus(State.CACHED, "", 0, driver, driver=True)
        state = State.FAILED if driver.phase in _FAILED and not _comes_again(preparing[-1], retries) else State.WAITS
        return StageStatus(state, driver.message, 0, driver, driver=True)
    newest = own[-1]
    pod, above = _pod(workflow, newest), retries.get(_above(newest["name"]), {})
    if pod.phase not in _FAILED:
        state = {"Succeeded": State.DONE, "Running": State.RUNS}.get(pod.phase, State.WAITS)
        return StageStatus(state, pod.message or above.get("message", ""), len(own), pod)
    later = [node for node in preparing if _started(node) > _started(newest)]
    if later and skipped:
        return StageStatus(State.CACHED, "", len(own), _pod(workflow, later[-1]), driver=True)
    if later and later[-1].get("phase") in _FAILED and not _comes_again(later[-1], retries):
        driver = _pod(workflow, later[-1])
        return StageStatus(State.FAILED, driver.message, len(own), driver, driver=True)
    state = State.RETRIED if later or _comes_again(newest, retries) else State.FAILED
    return StageStatus(state, pod.message or above.get("message", ""), len(own), pod)


def _comes_again(pod: Mapping[str, Any], retries: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether a pod that failed is retried, itself or by a graph around it.

    Graphs are retried as pods are, and a failure that used up one node's retries goes on to the next above it. One that
    the policy does not retry ends all of them, though a graph around it may run on for its other stages.
    """
    name, phase = pod["name"], pod.get("phase")
    while name:
        above = retries.get(_above(name))
        if above is not None and _ATTEMPT.search(name):
            if above.get("phase") not in (*_FAILED, "Succeeded"):
                return True
            if phase != "Error" and (above.get("message") or "") not in _USED_UP:
                return False
        name = _above(name)
    return False


def _above(name: str) -> str:
    """Return the name of the node above: of an attempt that of its retries, of a task that of its graph."""
    attempt = _ATTEMPT.search(name)
    return name[:attempt.start()] if attempt else name.rpartition(".")[0]


def _pods(nodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the pods among the nodes in their order."""
    return sorted((node for node in nodes if node.get("type") == "Pod"), key=_started)


def _started(node: Mapping[str, Any]) -> tuple[str, str]:
    return node.get("startedAt") or "", node["name"]


def _pod(workflow: str, node: Mapping[str, Any]) -> Pod:
    """Return a node's pod; its name is as Argo makes it (KFP: workflow.go:391-408)."""
    return Pod(f"{workflow}-{node.get('templateName', '')}-{node['id'].rpartition('-')[2]}", node["id"],
               node.get("phase") or "Pending", " ".join((node.get("message") or "").split()))


def reason(message: str) -> str:
    """Return the reason at the head of a waiting pod's message, empty where it only takes its time."""
    head = message.partition(":")[0].strip()
    return "" if head in _PASSING else head
