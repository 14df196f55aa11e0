"""Runs on the cluster: what they take, and how one is started."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.cluster_settings import is_subdomain
from components.resolve.stage import Resolve
from components.stage import check_values
from core.base.errors import UserError
from core.base.faults import Faults
from core.storage.location import parse_location
from pipelines.cluster.connection import Connection, Unreachable
from pipelines.cluster.listing import entries
from pipelines.cluster.versions import Version
from pipelines.containers import CONFIGS
from pipelines.parameters import texts_of

# Parameters that name a place a stage reads or writes; a pod sees none of this machine's folders.
PLACES = ("data", "checkpoint", "weights", "destination", "training_state")
PIPELINE_ROOT_SCHEMES = ("s3://", "gs://", "minio://")


@dataclass(frozen=True)
class RunSettings:
    """What a run or a schedule is started with.

    Attributes:
        parameters: A value for every parameter, typed as the pipeline declares.
        service_account: Kubernetes service account of its pods, or None for the installation's.
        pipeline_root: Where artifacts go, or None for the installation's.
    """

    name: str
    experiment: str
    parameters: Mapping[str, Any]
    service_account: str | None = None
    pipeline_root: str | None = None

    def arguments(self, version: Version) -> dict[str, Any]:
        """Return what kfp.Client starts a run or a schedule of ``version`` with, but for experiment and name."""
        return {"params": dict(self.parameters), "pipeline_id": version.pipeline_id, "version_id": version.version_id,
                "pipeline_root": self.pipeline_root, "service_account": self.service_account}


def check_settings(settings: RunSettings, root: Path) -> None:
    """Check what only a cluster asks of a run, before anything is uploaded or created.

    Args:
        root: The project's folder, whose configs the images hold.

    Raises:
        UserError: A value cannot work in a pod.
    """
    faults = Faults()
    faults.of(lambda: _check_places(settings, root))
    faults.of(lambda: check_values(Resolve, settings.parameters))
    account = settings.service_account
    if account is not None and not is_subdomain(account):
        faults.add(UserError("--service-account", repr(account), "It must be a service account's name of small "
                             "letters, digits, '-' and '.'.", "Leave it out for the installation's own."))
    faults.stop()


def _check_places(settings: RunSettings, root: Path) -> None:
    for name in PLACES:
        value = settings.parameters.get(name, "")
        if value and "://" not in value or value.startswith("file:"):
            raise UserError(f"parameter {name}", value, "A pod of the cluster does not see this machine's folders.",
                            f"Upload it and give its address, as in -p {name}=s3://bucket/folder.")
    for name, value in ((one, text) for one in CONFIGS for text in texts_of(settings.parameters, one)):
        path = Path(value)
        in_images = not path.is_absolute() and path.parts[:1] == ("configs",) and ".." not in path.parts
        if "://" not in value and not (in_images and (root / path).is_file()):
            raise UserError(f"parameter {name}", value, "The images hold the files below configs/ and no others.",
                            "Give a path such as configs/detectors/retinanet_r18_small.py, or an s3:// address.")
    if settings.pipeline_root is not None:
        check_pipeline_root(settings.pipeline_root)


def check_pipeline_root(address: str) -> None:
    """Raise UserError where a pipeline root's address is of another kind, or names no bucket."""
    if not address.startswith(PIPELINE_ROOT_SCHEMES):
        raise UserError("--pipeline-root", address, "Artifacts go to object storage.",
                        "Give an address such as s3://bucket/runs.")
    # Buckets are called alike everywhere; the back-end knows options behind '?'.
    parse_location(f"s3://{address.partition('://')[2].partition('?')[0]}", "--pipeline-root")


def start_run(connection: Connection, version: Version, settings: RunSettings) -> str:
    """Start a run of ``version`` and return its id.

    Raises:
        UserError: The cluster refuses; an experiment that was created for the run is gone again then.
    """
    with experiment(connection, settings.experiment) as experiment_id:
        before = {run.run_id for run in _runs(connection, experiment_id, settings.name)}
        try:
            with connection.asking("run", settings.name):
                return connection.client.run_pipeline(
                    experiment_id, settings.name, **settings.arguments(version)).run_id
        except Unreachable:
            # The answer may be lost where the run is not: started again, there would be two.
            started = [run.run_id for run in _runs(connection, experiment_id, settings.name)
                       if run.run_id not in before]
            if not started:
                raise
            return started[0]


@contextlib.contextmanager
def experiment(connection: Connection, name: str) -> Iterator[str]:
    """Yield the id of the experiment of this name; one created for a body that then fails is deleted again."""
    found = next(entries(connection, "experiment", name, lambda **page: connection.client.list_experiments(
        namespace=connection.namespace, **page), "experiments"), None)
    if found:
        yield found.experiment_id
        return
    with connection.asking("experiment", name):
        created = connection.client.create_experiment(name, namespace=connection.namespace).experiment_id
    try:
        yield created
    except UserError:
        with contextlib.suppress(UserError), connection.asking("experiment", name):
            connection.client.delete_experiment(created)
        raise


def _runs(connection: Connection, experiment_id: str, name: str) -> Iterator[Any]:
    return entries(connection, "run", name, lambda **page: connection.client.list_runs(
        experiment_id=experiment_id, **page), "runs")
