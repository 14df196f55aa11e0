"""A run's workflow as Argo writes it for the back-end's compiler, from a short script of its stages.

Every name and phase follows a line of the sources that README.md cites; what a run is to go through is made up.
"""

import base64
import gzip
import json
import zlib
from dataclasses import dataclass

NAME = "compress-x7k2p"
# train and compress have retries of their own, all stages three labels (argocompiler/container.go:364-389).
TEMPLATES = dict.fromkeys(("train", "compress"), "metadata-0-3-retry-system-container-impl")
TEMPLATE, DRIVER_TEMPLATE = "metadata-0-3-system-container-impl", "system-container-driver"
CACHED = "cached"


@dataclass
class Look:
    """What one look at a run shows.

    Attributes:
        state: The run's state in the v2beta1 API.
        stages: By task, what its pods are doing, oldest first: a phase, or a phase and a message; ``CACHED`` for a
            stage that needs no pod, and ``driver: Phase`` for one whose driver is not done. A task within a loop is
            ``loop/number/task``.
        message: The workflow's own message.
        terminated: Whether somebody has ended the run.
        retrying: Tasks whose last pod has failed and that come again.
        graph_retrying: Tasks whose own retries are used up, and whose graph comes again.
        compressed: Whether the nodes are compressed, as large ones are.
    """

    state: str
    stages: dict
    message: str = ""
    terminated: bool = False
    retrying: tuple = ()
    graph_retrying: tuple = ()
    compressed: bool = False


def node_id(name):
    """Return the id of the node of this name: the workflow's, and a number made of the name's letters."""
    return f"{NAME}-{zlib.crc32(name.encode())}"


def pod_name(task, attempt=0):
    """Return the name of a stage's pod."""
    name = f"{NAME}{_place(task)}.executor({attempt})"
    return f"{NAME}-{TEMPLATES.get(task.split('/')[-1], TEMPLATE)}-{node_id(name).rpartition('-')[2]}"


def driver_name(task):
    """Return the name of the pod of a stage's driver."""
    return f"{NAME}-{DRIVER_TEMPLATE}-{node_id(f'{NAME}{_driver(task)}(0)').rpartition('-')[2]}"


def manifest(look):
    """Return the workflow as JSON text."""
    nodes = workflow_nodes(look)
    status = {"phase": "Running", "message": look.message, "nodes": nodes}
    if look.compressed:
        status = {"phase": "Running", "message": look.message, "compressedNodes": base64.b64encode(
            gzip.compress(json.dumps(nodes).encode())).decode()}
    spec = {"activeDeadlineSeconds": 0} if look.terminated else {}
    return json.dumps({"metadata": {"name": NAME, "creationTimestamp": "2026-11-29T10:00:00Z"}, "spec": spec,
                       "status": status})


def workflow_nodes(look):
    """Return the nodes by id: a stock installation retries every template, so each has one of the type Retry above."""
    found = {}

    def add(name, display, kind, phase, template="", message=""):
        one = {"id": node_id(name), "name": name, "displayName": display, "type": kind, "phase": phase,
               "templateName": template, "startedAt": f"2026-11-29T10:{len(found) // 60:02}:{len(found) % 60:02}Z"}
        found[one["id"]] = {**one, **({"message": message} if message else {})}

    whole = {"SUCCEEDED": "Succeeded", "FAILED": "Failed"}.get(look.state, "Running")
    for name, display in ((NAME, NAME), (f"{NAME}(0).root", "root")):
        add(name, display, "Retry", whole)
        add(f"{name}(0)", f"{display}(0)", "DAG", whole)
    for task, pods in look.stages.items():
        short = task.split("/")[-1]
        driver_phase, driver_message = "Succeeded", ""
        if isinstance(pods, str) and pods.startswith("driver: "):
            driver_phase, _, driver_message = pods.removeprefix("driver: ").partition(": ")
        driver = f"{NAME}{_driver(task)}"
        add(driver, f"{short}-driver", "Retry", "Running" if driver_phase == "Pending" else driver_phase)
        add(f"{driver}(0)", f"{short}-driver(0)", "Pod", driver_phase, DRIVER_TEMPLATE, driver_message)
        if driver_phase != "Succeeded":
            continue
        place = f"{NAME}{_place(task)}"
        pods = pods if isinstance(pods, list) or pods == CACHED else [pods]
        ends = [pod if isinstance(pod, str) else pod[0] for pod in pods]
        own = ("Succeeded" if pods == CACHED else
               "Running" if task in look.retrying or ends[-1] == "Pending" else ends[-1])
        add(place.removesuffix("(0)"), short, "Retry", "Running" if task in look.graph_retrying else own)
        add(place, f"{short}(0)", "DAG", own)
        if pods == CACHED:
            add(f"{place}.executor", "executor", "Skipped", "Skipped", message="when 'true != true' evaluated false")
            continue
        pods = [pod if isinstance(pod, tuple) else (pod, "") for pod in pods]
        again = task in look.retrying
        above = "Running" if again or pods[-1][0] in ("Pending", "Running") else pods[-1][0]
        add(f"{place}.executor", "executor", "Retry", above, message="Backoff for 30 seconds" if again else
            "No more retries left" if above == "Error" else pods[-1][1] if above == "Failed" else "")
        for attempt, (phase, message) in enumerate(pods):
            add(f"{place}.executor({attempt})", f"executor({attempt})", "Pod", phase,
                TEMPLATES.get(short, TEMPLATE), message)
    return found


def task_details(look):
    """Return what the v2beta1 API makes of the nodes: no message, and children by the ids of their nodes."""
    return [{"display_name": node["displayName"], "state": _state(node["phase"])}
            for node in workflow_nodes(look).values()]


def _state(phase):
    return {"Error": "FAILED", "Omitted": "RUNTIME_STATE_UNSPECIFIED"}.get(phase, phase.upper())


def _parent(task):
    """Return the name of the node that a task's nodes lie below."""
    *loop, _ = task.split("/")
    place = "(0).root(0)"
    while loop:
        name, number, *loop = loop
        place += f".{name}(0).iteration-iterations({number}:{number})(0).iteration-item(0)"
    return place


def _driver(task):
    return f"{_parent(task)}.{task.split('/')[-1]}-driver"


def _place(task):
    return f"{_parent(task)}.{task.split('/')[-1]}(0)"
