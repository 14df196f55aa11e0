"""Schedules on the cluster (recurring runs): replaced by name, pinned to a version, one run at a time."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from pipelines.cluster.connection import Absent, Connection
from pipelines.cluster.listing import entries
from pipelines.cluster.runs import RunSettings, experiment
from pipelines.cluster.triggers import Trigger
from pipelines.cluster.versions import Version, find_pipeline

# The version that a schedule is pinned to was deleted: its runs will fail.
DELETED = "deleted"
# What the back-end writes where none is asked for, for one user and for many.
DEFAULT_SERVICE_ACCOUNTS = (None, "", "pipeline-runner", "default-editor")


@dataclass(frozen=True)
class Listed:
    """A schedule as the cluster has it.

    Attributes:
        version: Name of the version it is pinned to, or :data:`DELETED`.
    """

    name: str
    trigger: Trigger
    enabled: bool
    version: str


def set_schedule(connection: Connection, version: Version, settings: RunSettings, trigger: Trigger) -> str:
    """Make the schedule of this name start ``version`` by ``trigger``; return ``created``, ``replaced`` or ``kept``.

    The API cannot change a schedule. A new one is created at rest, the old ones are put to rest, the new one is woken,
    and then the old ones are deleted: never are two awake, and whatever fails on the way leaves the old ones as they
    were.

    Raises:
        UserError: The cluster refuses.
    """
    old = _of_name(connection, settings.name)
    if len(old) == 1 and _is_same(connection, old[0], version, settings, trigger):
        return "kept"
    with experiment(connection, settings.experiment) as experiment_id:
        with connection.asking("schedule", settings.name):
            new = connection.client.create_recurring_run(
                experiment_id, settings.name, cron_expression=trigger.cron, interval_second=trigger.seconds,
                max_concurrency=1, no_catchup=True, enabled=False, **settings.arguments(version))
        rested: list[Any] = []
        try:
            for schedule in old:
                if schedule.status == "ENABLED":
                    rested.append(schedule)
                    _set_enabled(connection, schedule, False)
            _set_enabled(connection, new, True)
        except UserError:
            for undo in [lambda: _delete(connection, new),
                         *(lambda schedule=schedule: _set_enabled(connection, schedule, True) for schedule in rested)]:
                with contextlib.suppress(UserError):
                    undo()
            raise
    for schedule in old:
        _delete(connection, schedule)
    return "replaced" if old else "created"


def end_schedule(connection: Connection, name: str) -> None:
    """Delete the schedule of this name, which must exist; runs that it has started continue."""
    found = _of_name(connection, name)
    if not found:
        raise UserError("--unschedule", name, "There is no schedule of this name.",
                        "Run with --list-schedules to see them.")
    for schedule in found:
        _delete(connection, schedule)


def list_schedules(connection: Connection, pipeline: str) -> list[Listed]:
    """Return the schedules of the pipeline of this name."""
    pipeline_id = find_pipeline(connection, pipeline)
    listed = [schedule for schedule in _of_name(connection, None)
              if pipeline_id is not None and _reference(schedule).get("pipeline_id") == pipeline_id]
    return [Listed(schedule.display_name, _trigger(schedule), schedule.status == "ENABLED",
                   _name(connection, "pipeline version", connection.client.get_pipeline_version,
                         *_reference(schedule).values()) or DELETED) for schedule in listed]


def _set_enabled(connection: Connection, schedule: Any, enabled: bool) -> None:
    client = connection.client
    with connection.asking("schedule", schedule.display_name):
        (client.enable_recurring_run if enabled else client.disable_recurring_run)(schedule.recurring_run_id)


def _delete(connection: Connection, schedule: Any) -> None:
    with contextlib.suppress(Absent), connection.asking("schedule", schedule.display_name):
        connection.client.delete_recurring_run(schedule.recurring_run_id)


def _of_name(connection: Connection, name: str | None) -> list[Any]:
    """Return the schedules of this name; None stands for all."""
    return list(entries(connection, "schedule", name, lambda **page: connection.client.list_recurring_runs(
        namespace=connection.namespace, **page), "recurring_runs"))


def _is_same(connection: Connection, schedule: Any, version: Version, settings: RunSettings, trigger: Trigger) -> bool:
    runtime = schedule.runtime_config
    accounts = (settings.service_account,) if settings.service_account else DEFAULT_SERVICE_ACCOUNTS
    return (schedule.status == "ENABLED" and _trigger(schedule) == Trigger(trigger.cron, trigger.seconds)
            and _reference(schedule) == {"pipeline_id": version.pipeline_id, "version_id": version.version_id}
            and (runtime.parameters or {}) == settings.parameters
            and (runtime.pipeline_root or None) == settings.pipeline_root
            and schedule.service_account in accounts
            and settings.experiment == _name(connection, "experiment", connection.client.get_experiment,
                                             schedule.experiment_id))


def _name(connection: Connection, thing: str, get: Callable[..., Any], *ids: str) -> str | None:
    """Return the name of what ``get`` has under ``ids``, the last of which is its own; None where it is not there."""
    try:
        with connection.asking(thing, ids[-1]):
            return get(*ids).display_name
    except Absent:
        return None


def _reference(schedule: Any) -> dict[str, str | None]:
    pinned = schedule.pipeline_version_reference
    return {"pipeline_id": pinned.pipeline_id, "version_id": pinned.pipeline_version_id} if pinned else {}


def _trigger(schedule: Any) -> Trigger:
    given = schedule.trigger
    if given and given.cron_schedule:
        return Trigger(cron=given.cron_schedule.cron)
    return Trigger(seconds=int(given.periodic_schedule.interval_second) if given and given.periodic_schedule else None)
