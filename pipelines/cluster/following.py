"""Follow a run on the cluster to its end."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from pipelines.cluster.connection import Connection, Unreachable
from pipelines.cluster.workflow import Pod, StageStatus, State, Workflow, reason
from pipelines.console import Console, duration

# RuntimeState of the v2beta1 API. kfp.Client.wait_for_run_completion does not know CANCELED and waits on.
FINAL_STATES = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
LOG_LINES = 20
PENDING_HINT_SECONDS = 600
LOST_SECONDS = 1800
# A run has no workflow at first.
NO_WORKFLOW_SECONDS = 120
LONGEST_PAUSE = 60
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Stages:
    """What is known of the pipeline's tasks beforehand.

    Attributes:
        names: Display name by the path of a task: the names of the tasks it lies in, and its own.
        images: Image by display name.
    """

    names: Mapping[Path, str]
    images: Mapping[str, str]

    @classmethod
    def of(cls, spec: Any) -> "Stages":
        """Return those of a PipelineSpec message."""
        names: dict[Path, str] = {}
        images: dict[str, str] = {}
        executors = spec.deployment_spec["executors"]

        def walk(dag: Any, path: Path) -> None:
            for task_id, task in dag.tasks.items():
                component = spec.components[task.component_ref.name]
                if component.HasField("dag"):
                    walk(component.dag, (*path, task_id))
                else:
                    names[*path, task_id] = name = task.task_info.name
                    images[name] = executors[component.executor_label]["container"]["image"]

        walk(spec.root.dag, ())
        return cls(names, images)

    def name(self, path: Path) -> str | None:
        """Return what a task of the workflow is called, in the loop with its candidate's number; None for others."""
        name = self.names.get(tuple(part for part in path if isinstance(part, str)))
        numbers = [part for part in path if isinstance(part, int)]
        return name and "".join([name, *(f" (candidate {number + 1})" for number in numbers)])


class RunFollower:
    """Prints each change of a run's stages until the run has ended.

    Args:
        stages: The pipeline's tasks.
        pause: Seconds between two looks.
        clock: Returns seconds; for tests.
        sleep: Waits; for tests.
    """

    def __init__(self, connection: Connection, run_id: str, stages: Stages, console: Console, pause: float = 10.0,
                 clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connection, self._run_id, self._stages, self._console = connection, run_id, stages, console
        self._pause, self._clock, self._sleep = pause, clock, sleep
        self._statuses: dict[str, StageStatus] = {}
        self._since: dict[str, float] = {}
        self._said: set[tuple[str, int, State, str]] = set()
        self._hinted: set[str] = set()
        self._blind = False
        self._began = clock()

    def follow(self, timeout: float | None = None) -> str:
        """Return the run's final state.

        Raises:
            UserError: The run has not ended within ``timeout`` seconds, the API server cannot be reached for half an
                hour, or it refuses.
        """
        while True:
            run, workflow = self._look()
            if workflow is not None:
                self._show(workflow)
            elif not self._blind and self._clock() - self._began >= NO_WORKFLOW_SECONDS:
                self._blind = True
                self._console.line("The API server hands out no workflow, so only the end of the run can be told.")
            if run.state in FINAL_STATES:
                if run.state != "SUCCEEDED":
                    self._explain(workflow)
                return run.state
            if timeout is not None and self._clock() - self._began >= timeout:
                statuses = self._statuses.items()
                running = ", ".join(name for name, status in statuses if status.state is State.RUNS)
                causes = "".join(f" {name} is waiting. {self._causes(name, status)}"
                                 for name, status in statuses if status.state is State.WAITS)
                raise UserError("--wait-timeout", duration(timeout), f"The run has not ended, with "
                                f"{running or 'nothing'} running.{causes}",
                                f"It continues: {self._connection.run_url(self._run_id)}")
            self._sleep(self._pause)

    def _look(self) -> tuple[Any, Workflow | None]:
        """Return the run and its workflow as they are now; go on asking through lost connections."""
        lost: float | None = None
        pause = self._pause
        while True:
            try:
                with self._connection.asking("run", self._run_id):
                    run = self._connection.client.get_run(self._run_id)
                if lost is not None:
                    self._console.line("The connection is back.")
                manifest = self._connection.workflow_manifest(self._run_id)
                return run, Workflow.read(manifest) if manifest else None
            except Unreachable as error:
                if lost is None:
                    lost = self._clock()
                    self._console.line(f"The connection is lost; the run continues, and it is asked again. {error}")
                if self._clock() - lost >= LOST_SECONDS:
                    raise
                self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _show(self, workflow: Workflow) -> None:
        now = self._clock()
        for path, status in workflow.stages.items():
            name = self._stages.name(path)
            if name is None and status.state is State.FAILED:
                # The driver of the run itself or of a loop.
                name = " ".join(map(str, path))
            if name is None:
                continue
            before = self._statuses.get(name)
            if before is None or (before.state, before.attempts) != (status.state, status.attempts):
                self._since[name] = now
            self._statuses[name] = status
            self._say(name, status, now)
            if status.state is State.WAITS and name not in self._hinted and (
                    now - self._since[name] >= PENDING_HINT_SECONDS):
                self._hinted.add(name)
                self._console.line(f"{name} has been waiting for {duration(now - self._since[name])}. "
                                   f"{self._causes(name, status)}")

    def _say(self, name: str, status: StageStatus, now: float) -> None:
        """Print a status that has not been printed; a reason comes again and again with other numbers in its words."""
        why = reason(status.message) if status.state is State.WAITS else ""
        said = (name, max(status.attempts, 1), status.state, why)
        if said in self._said:
            return
        self._said.add(said)
        words = status.state.value
        if status.state is State.RETRIED:
            words += f", after attempt {status.attempts}: {status.message or 'its pod vanished'}"
        elif why:
            words += f": {status.message}"
        elif status.state in (State.RUNS, State.DONE) and status.attempts > 1:
            words += f", attempt {status.attempts}"
        self._console.line(f"{duration(now - self._began)} {name} {words}")

    def _explain(self, workflow: Workflow | None) -> None:
        """Print what failed, why, and the last lines of its log as far as they can be had."""
        if workflow is not None and workflow.terminated:
            self._console.line("The run was terminated.")
            return
        # With the run's end, what was to come again does not.
        failed = {name: status for name, status in self._statuses.items()
                  if status.state in (State.FAILED, State.RETRIED)}
        for name, status in failed.items():
            image = self._stages.images.get(_plain(name))
            what = "its driver, which prepares it, failed" if status.driver else f"failed (image {image})"
            self._console.line(f"{name}: {what}: {status.message or 'the workflow gives no reason'}")
            self._print_log(name, status.pod, workflow)
        if not failed:
            said = f" Its workflow says: {workflow.message}." if workflow and workflow.message else ""
            self._console.line(f"No stage says why.{said} Look at the run's pods: kubectl -n {self._namespace()} "
                               f"describe pod -l pipeline/runid={self._run_id}")

    def _print_log(self, name: str, pod: Pod, workflow: Workflow | None) -> None:
        # The API server knows a pod by its name, and an archived log by its node (resource_manager.go:1152-1227,
        # archive/log.go:257-265 of KFP 2.17.0); else the UI may have it.
        query = {"podname": pod.name, "runid": self._run_id, "createdat": workflow.created if workflow else ""}
        if self._connection.namespace:
            query["podnamespace"] = self._connection.namespace
        nodes = f"/apis/v1alpha1/runs/{self._run_id}/nodes"
        log = (self._connection.log(f"{nodes}/{pod.name}/log", follow="false")
               or self._connection.log(f"{nodes}/{pod.node}/log", follow="false")
               or self._connection.log("/k8s/pod/logs", **query))
        if log:
            for line in log.splitlines()[-LOG_LINES:]:
                self._console.line(f"{name} | {line}")
            return
        self._console.line(
            f"Its log is not to be had from {self._connection.host}. Look with: kubectl -n {self._namespace()} logs "
            f"--tail=50 -c main {pod.name}; where the pod is gone, at the artifact executor-logs of the stage in the "
            "UI, or in Argo's archive under this pod's name")

    def _causes(self, name: str, status: StageStatus) -> str:
        image = self._stages.images.get(_plain(name))
        known = {"Unschedulable": "No node has room for it or fits its selector and tolerations",
                 "ImagePullBackOff": f"Its image {image} cannot be pulled",
                 "ErrImagePull": f"Its image {image} cannot be pulled"}.get(reason(status.message))
        if "exceeded quota" in status.message:
            # Argo asks again until there is room (workflow/controller/operator.go:3427-3431).
            known = "The namespace's quota is used up"
        said = f" ({status.message})" if status.message else ""
        return (f"{known or f'No node may have room for it, or its image {image} may not be to be had'}{said}. "
                f"Look with: kubectl -n {self._namespace()} describe pod {status.pod.name}")

    def _namespace(self) -> str:
        return self._connection.namespace or "kubeflow"


def _plain(name: str) -> str:
    """Return a stage's name without its candidate's number."""
    return name.partition(" (")[0]
