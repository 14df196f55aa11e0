"""What the command line does on a cluster."""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from pipelines.cluster import runs, schedules
from pipelines.cluster.auth import access_of
from pipelines.cluster.connection import Connection, host_of
from pipelines.cluster.following import RunFollower, Stages
from pipelines.cluster.options import PIPELINE_NAME
from pipelines.cluster.triggers import cron_trigger, duration_seconds, interval_trigger
from pipelines.cluster.versions import Version, ensure_version
from pipelines.console import Console

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


class ClusterCommand:
    """One command for the cluster.

    Args:
        pipeline: The pipeline as a KFP component.
    """

    def __init__(self, arguments: argparse.Namespace, pipeline: Any, root: Path) -> None:
        self._arguments, self._pipeline, self._root = arguments, pipeline, root
        self._name = arguments.pipeline_name or PIPELINE_NAME
        self._stages = Stages.of(pipeline.pipeline_spec)
        self._console = Console(sys.stdout)

    def run(self, parameters: Mapping[str, Any] | None) -> int:
        """Do what was asked and return the exit code.

        Args:
            parameters: A value for every parameter, where a run or a schedule is to be started.
        """
        arguments = self._arguments
        if arguments.list_schedules:
            return self._list_schedules()
        if arguments.unschedule is not None:
            schedules.end_schedule(self._connect(), arguments.unschedule)
            self._console.line(f"The schedule {arguments.unschedule} is gone; runs that it has started continue.")
            return 0
        if arguments.doctor:
            from pipelines.cluster.doctor import Doctor, report
            from pipelines.cluster.kubernetes_api import Kubernetes

            doctor = Doctor(self._connect(), Kubernetes, parameters, arguments.pipeline_root, _list_bucket)
            return 0 if report(doctor.findings(), self._console.line) else EXIT_FAILED
        return self._submit(parameters) if arguments.submit else self._schedule(parameters)

    def _submit(self, parameters: Mapping[str, Any]) -> int:
        arguments = self._arguments
        timeout = duration_seconds(arguments.wait_timeout, "--wait-timeout") if arguments.wait_timeout else None
        pause = 10.0 if arguments.poll is None else arguments.poll
        if not 0 < pause <= 3600:
            raise UserError("--poll", pause, "It must be more than 0 and at most 3600 seconds.", "Leave it out for 10.")
        name = arguments.run_name or f"{self._name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        settings = self._settings(parameters, name)
        self._remark(settings)
        connection = self._connect()
        run_id = runs.start_run(connection, self._upload(connection), settings)
        self._console.line(f"run {settings.name}: {connection.run_url(run_id)}")
        if not arguments.wait:
            return 0
        follower = RunFollower(connection, run_id, self._stages, self._console, pause)
        try:
            state = follower.follow(timeout)
        except KeyboardInterrupt:
            self._console.line(f"No longer following. The run continues: {connection.run_url(run_id)}")
            return EXIT_INTERRUPTED
        self._console.line(f"The run has ended: {state}.")
        return 0 if state == "SUCCEEDED" else EXIT_FAILED

    def _schedule(self, parameters: Mapping[str, Any]) -> int:
        arguments = self._arguments
        trigger = cron_trigger(arguments.schedule) if arguments.schedule is not None else interval_trigger(
            arguments.every)
        if trigger.notice:
            self._console.line(trigger.notice)
        settings = self._settings(parameters, arguments.run_name or self._name)
        self._remark(settings)
        connection = self._connect()
        version = self._upload(connection)
        done = schedules.set_schedule(connection, version, settings, trigger)
        self._console.line(f"schedule {settings.name} {done}: {trigger}, version {version.name}, one run at a time, "
                           "missed times are not made up for")
        return 0

    def _list_schedules(self) -> int:
        listed = schedules.list_schedules(self._connect(), self._name)
        for schedule in listed:
            state = "on" if schedule.enabled else "off"
            self._console.line(f"{schedule.name}: {schedule.trigger}, {state}, version {schedule.version}")
            if schedule.version == schedules.DELETED:
                self._console.line("    Its version was deleted, so its runs fail. Schedule it again under this name.")
        if not listed:
            self._console.line(f"The pipeline {self._name} has no schedules.")
        return 0

    def _settings(self, parameters: Mapping[str, Any], name: str) -> runs.RunSettings:
        arguments = self._arguments
        settings = runs.RunSettings(name, arguments.experiment or PIPELINE_NAME, parameters,
                                    arguments.service_account, arguments.pipeline_root)
        runs.check_settings(settings, self._root)
        return settings

    def _remark(self, settings: runs.RunSettings) -> None:
        """Say what is allowed and costs something where a pod vanishes."""
        if settings.parameters.get("gpus") and not settings.parameters.get("training_state"):
            self._console.line("notice: training_state is empty, so a GPU pod that vanishes begins its training anew; "
                               "with -p training_state=s3://bucket/states it resumes")

    def _connect(self) -> Connection:
        arguments = self._arguments
        return Connection(host_of(arguments.host, os.environ), access_of(arguments, os.environ), arguments.namespace)

    def _upload(self, connection: Connection) -> Version:
        from kfp import compiler

        for image in sorted(set(self._stages.images.values())):
            if not names_registry(image):
                self._console.line(f"notice: image {image} names no registry, so nodes look for it on Docker Hub; name "
                                   "yours as docs/cluster.md says")
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder) / "compress.yaml"
            compiler.Compiler().compile(self._pipeline, str(package))
            version = ensure_version(connection, package, self._name)
        self._console.line(f"pipeline {self._name}, version {version.name}"
                           + ("" if version.uploaded else " (there already)"))
        return version


def _list_bucket(address: str) -> None:
    """List the beginning of an address on S3 with this machine's access; raise UserError where it cannot be."""
    from core.storage.location import parse_location
    from core.storage.s3_client import connect, s3_errors

    location = parse_location(address, "address")
    with s3_errors(address, "list"):
        connect(attempts=2).list_objects_v2(Bucket=location.bucket, Prefix=location.key, MaxKeys=1)


def names_registry(image: str) -> bool:
    """Return whether an image's name begins with a registry's host, as Docker tells it from a folder of Docker Hub."""
    first, slash, _ = image.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first)
