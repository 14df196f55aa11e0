"""Stages read from a workflow's nodes."""

import json

import pytest

from kfp_api.workflow import CACHED, Look, manifest, pod_name
from pipelines.cluster.following import Stages
from pipelines.cluster.workflow import State, Workflow, reason

LOOK = Look("RUNNING", {
    "resolve": "Succeeded", "loop/0/compress": [("Error", "pod deleted"), "Running"], "loop/1/compress": CACHED,
    "train": ("Pending", "Unschedulable:  0/1\n nodes"), "report": "driver: Pending: Unschedulable"})


@pytest.mark.parametrize("compressed", [False, True])
def test_stages_by_the_path_of_their_task(compressed):
    LOOK.compressed = compressed
    workflow = Workflow.read(manifest(LOOK))
    assert (workflow.name, workflow.created, workflow.terminated) == ("compress-x7k2p", "2026-11-29", False)
    assert {path: (status.state, status.attempts, status.message, status.driver)
            for path, status in workflow.stages.items()} == {
        ("resolve",): (State.DONE, 1, "", False), ("loop", 0, "compress"): (State.RUNS, 2, "", False),
        ("loop", 1, "compress"): (State.CACHED, 0, "", True),
        ("train",): (State.WAITS, 1, "Unschedulable: 0/1 nodes", False),
        ("report",): (State.WAITS, 0, "Unschedulable", True)}
    # <workflow>-<template>-<number of the node>, as common/util/workflow.go:391-408 of KFP 2.17.0 makes it of a node.
    assert workflow.stages["loop", 0, "compress"].pod.name == pod_name("loop/0/compress", attempt=1)
    assert "retry-system-container-impl" in pod_name("train")


ROOT = "compress-x(0).root"
OVER = "compress-x(0).root(0).train(0).executor"
LOST = {f"{OVER}({number})": ("Pod", "Error", "pod deleted", number) for number in range(5)}
USED_UP = {OVER: ("Retry", "Error", "No more retries left", 0)}
FAILED_ONCE = {f"{OVER}(0)": ("Pod", "Failed", "OOMKilled", 0), OVER: ("Retry", "Failed", "OOMKilled", 0)}
NEXT = "compress-x(0).root(1).train"


def train(nodes):
    """Return the status of train by nodes given as name to type, phase, message and minute."""
    found = {name: {"id": f"compress-x-{number}", "name": name, "type": kind, "phase": phase, "message": message,
                    "startedAt": f"2026-11-29T10:{minute:02}:00Z"}
             for number, (name, (kind, phase, message, minute)) in enumerate(nodes.items())}
    return Workflow.read(json.dumps({"metadata": {"name": "compress-x"}, "status": {"nodes": found}})).stages["train",]


@pytest.mark.parametrize(("nodes", "state", "attempts"), [
    ({**LOST, **USED_UP, OVER.removesuffix("(0).executor"): ("Retry", "Running", "", 0)}, State.RETRIED, 5),
    ({**LOST, **USED_UP, ROOT: ("Retry", "Running", "", 0)}, State.RETRIED, 5),
    ({**LOST, **USED_UP, "compress-x": ("Retry", "Running", "", 0)}, State.RETRIED, 5),
    ({**LOST, **USED_UP, ROOT: ("Retry", "Error", "No more retries left", 0)}, State.FAILED, 5),
    ({**LOST, **USED_UP}, State.FAILED, 5),
    # What the policy does not retry is not by a graph either: root runs on for the other stages.
    ({**FAILED_ONCE, ROOT: ("Retry", "Running", "", 0)}, State.FAILED, 1),
    # The next attempt of root: its driver is ahead, then its pod, or the cache.
    ({**LOST, **USED_UP, f"{NEXT}-driver(0)": ("Pod", "Running", "", 9)}, State.RETRIED, 5),
    ({**LOST, **USED_UP, f"{NEXT}-driver(0)": ("Pod", "Failed", "", 9)}, State.FAILED, 5),
    ({**LOST, **USED_UP, f"{NEXT}(0).executor(0)": ("Pod", "Running", "", 9)}, State.RUNS, 6),
    ({**LOST, **USED_UP, f"{NEXT}-driver(0)": ("Pod", "Succeeded", "", 9),
      f"{NEXT}(0).executor": ("Skipped", "Skipped", "", 10)}, State.CACHED, 5),
    ({"compress-x(0).root(0).train-driver(0)": ("Pod", "Error", "pod deleted", 0),
      "compress-x(0).root(0).train-driver": ("Retry", "Error", "No more retries left", 0),
      ROOT: ("Retry", "Running", "", 0)}, State.WAITS, 0)])
def test_graph_that_begins_anew_brings_its_stages_back(nodes, state, attempts):
    status = train(nodes)
    assert (status.state, status.attempts) == (state, attempts)


@pytest.mark.parametrize("spoiled", [
    "", "no JSON", "[]", "{}", '{"metadata": {"name": "a"}, "status": {"nodes": []}, "spec": 1}',
    '{"metadata": {}, "status": {}}', '{"metadata": {"name": "a"}, "status": {"nodes": {"b": {}}}}',
    '{"metadata": {"name": "a"}, "status": {"compressedNodes": "!"}}',
    '{"metadata": {"name": "a"}, "status": {"compressedNodes": "AAAA"}}', json.dumps({"metadata": 3, "status": {}})])
def test_what_is_no_workflow_is_none(spoiled):
    assert Workflow.read(spoiled) is None


def test_tasks_of_a_loop_have_the_number_of_their_candidate():
    stages = Stages({("train",): "train", ("loop", "compress"): "compress"}, {})
    assert [stages.name(path) for path in (("train",), ("loop", 2, "compress"), ("loop", 2), ("root",))] == [
        "train", "compress (candidate 3)", None, None]


def test_every_task_of_the_pipeline_is_known_with_its_image(pipeline):
    stages = Stages.of(pipeline.pipeline_spec)
    assert stages.names["for-loop-1", "compress"] == "compress" and stages.names["train",] == "train"
    assert set(stages.names.values()) == stages.images.keys()


def test_reason_is_the_head_of_a_message_and_none_where_a_pod_takes_its_time():
    assert [reason(message) for message in ("", "ContainerCreating", "PodInitializing", "ErrImagePull: denied",
                                            "Unschedulable")] == ["", "", "", "ErrImagePull", "Unschedulable"]
