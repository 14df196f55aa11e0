"""Follow a run on the cluster to its end."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from pipelines.cluster.connection import Connection, Unreachable
from pipelines.console import Console, duration

# RuntimeState of the v2beta1 API. kfp.Client.wait_for_run_completion does not know CANCELED and waits on.
FINAL_STATES = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
QUIET_STATES = (None, "", "RUNTIME_STATE_UNSPECIFIED")
LOG_LINES = 20
PENDING_HINT_SECONDS = 600
LOST_SECONDS = 1800
LONGEST_PAUSE = 60


@dataclass(frozen=True)
class Stages:
    """What is known of the pipeline's tasks beforehand.

    Attributes:
        names: Display name by task id and by display name: the API uses now the one, now the other.
        images: Image by display name.
    """

    names: Mapping[str, str]
    images: Mapping[str, str]

    @classmethod
    def of(cls, spec: Any) -> "Stages":
        """Return those of a PipelineSpec message."""
        names, images = {}, {}
        executors = spec.deployment_spec["executors"]
        for task_id, task in spec.root.dag.tasks.items():
            name = task.task_info.name
            names.update({task_id: name, name: name})
            images[name] = executors[spec.components[task.component_ref.name].executor_label]["container"]["image"]
        return cls(names, images)


class RunFollower:
    """Prints each change of a run's tasks until the run has ended.

    Args:
        connection: The cluster.
        run_id: The run.
        stages: The pipeline's tasks.
        console: Where to print.
        pause: Seconds between two looks.
        clock: Returns seconds; for tests.
        sleep: Waits; for tests.
    """

    def __init__(self, connection: Connection, run_id: str, stages: Stages, console: Console, pause: float = 10.0,
                 clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connection, self._run_id, self._stages, self._console = connection, run_id, stages, console
        self._pause, self._clock, self._sleep = pause, clock, sleep
        self._states: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._hinted: list[str] = []
        self._began = clock()

    def follow(self, timeout: float | None = None) -> str:
        """Return the run's final state.

        Raises:
            UserError: The run has not ended within ``timeout`` seconds, the API server cannot be reached for half an
                hour, or it refuses.
        """
        while True:
            run = self._look()
            details = self._details(run)
            self._show(details)
            if run.state in FINAL_STATES:
                if run.state != "SUCCEEDED":
                    self._explain(run, details)
                return run.state
            if timeout is not None and self._clock() - self._began >= timeout:
                raise self._too_long(timeout)
            self._sleep(self._pause)

    def _look(self) -> Any:
        """Return the run as it is now; go on asking through dropped connections and failing answers."""
        lost: float | None = None
        pause = self._pause
        while True:
            try:
                with self._connection.asking("run", self._run_id):
                    run = self._connection.client.get_run(self._run_id)
                if lost is not None:
                    self._console.line("The connection is back.")
                return run
            except Unreachable as error:
                if lost is None:
                    lost = self._clock()
                    self._console.line(f"The connection is lost; the run continues, and it is asked again. {error}")
                if self._clock() - lost >= LOST_SECONDS:
                    raise
                self._sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _show(self, details: Mapping[str, Any]) -> None:
        now = self._clock()
        for name, detail in details.items():
            if detail.state in QUIET_STATES:
                continue
            if self._states.get(name) != detail.state:
                self._states[name], self._since[name] = detail.state, now
                self._console.line(f"{duration(now - self._began)} {name} {_in_words(detail.state)}")
            elif detail.state == "PENDING" and name not in self._hinted and (
                    now - self._since[name] >= PENDING_HINT_SECONDS):
                self._hinted.append(name)
                self._console.line(f"{name} has been waiting for {duration(now - self._since[name])}. "
                                   f"{self._pending_causes(name)}")

    def _explain(self, run: Any, details: Mapping[str, Any]) -> None:
        """Print what failed, why, and the last lines of its log as far as they can be had."""
        failed = [name for name, detail in details.items() if detail.state == "FAILED"]
        if getattr(run.error, "message", None):
            self._console.line(f"The run: {run.error.message}")
        for name in failed:
            detail = details[name]
            message = getattr(detail.error, "message", None) or "no reason given"
            self._console.line(f"{name} failed: {message} (image {self._stages.images[name]})")
            self._print_log(name, detail)
        if run.state == "FAILED" and not failed:
            self._console.line(f"No task says why. Look at the run's pods: {self._kubectl('describe pod')}")

    def _print_log(self, name: str, detail: Any) -> None:
        for pod in _pods(detail):
            log = self._log_of(pod)
            if log:
                for line in log.rstrip().splitlines()[-LOG_LINES:]:
                    self._console.line(f"{name} | {line}")
                return
        self._console.line(f"Its log is not to be had from {self._connection.host}. Look with: "
                           f"{self._kubectl('logs --tail=50 -c main', name)}")

    def _log_of(self, pod: str) -> str | None:
        """Return a pod's log from the API server or from the UI, or None."""
        query = {"podname": pod, "runid": self._run_id}
        if self._connection.namespace:
            query["podnamespace"] = self._connection.namespace
        return (self._connection.text(f"/apis/v1alpha1/runs/{self._run_id}/nodes/{pod}/log", follow="false")
                or self._connection.text("/k8s/pod/logs", **query))

    def _too_long(self, timeout: float) -> UserError:
        pending = [name for name, state in self._states.items() if state == "PENDING"]
        running = [name for name, state in self._states.items() if state == "RUNNING"]
        what = f"{', '.join(running)} running" if running else "nothing running"
        causes = "".join(f" {name} is waiting. {self._pending_causes(name)}" for name in pending)
        return UserError("--wait-timeout", duration(timeout), f"The run has not ended, with {what}.{causes}",
                         f"It continues: {self._connection.run_url(self._run_id)}")

    def _pending_causes(self, name: str) -> str:
        return (f"No node has room for it or fits its selector, or its image {self._stages.images[name]} cannot be "
                f"pulled. Look with: {self._kubectl('describe pod', name)}")

    def _kubectl(self, verb: str, name: str | None = None) -> str:
        labels = f"pipeline/runid={self._run_id}"
        if name is not None:
            labels += f",app.kubernetes.io/component={name.split('-')[0]}"
        return f"kubectl -n {self._connection.namespace or 'kubeflow'} {verb} -l {labels}"

    def _details(self, run: Any) -> dict[str, Any]:
        """Return the pipeline's own tasks by display name: the API lists drivers and executors beside them."""
        listed = (run.run_details.task_details if run.run_details else None) or []
        return {self._stages.names[detail.display_name]: detail for detail in listed
                if detail.display_name in self._stages.names}


def _pods(detail: Any) -> Iterator[str]:
    yield from filter(None, [detail.pod_name, *(child.pod_name for child in detail.child_tasks or [])])


def _in_words(state: str) -> str:
    return {"PENDING": "waits for its pod", "RUNNING": "runs", "SUCCEEDED": "is done", "SKIPPED": "was in the cache",
            "FAILED": "FAILED", "CANCELING": "is being cancelled", "CANCELED": "was cancelled",
            "PAUSED": "is paused"}.get(state, state.lower())
