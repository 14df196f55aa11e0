"""Pipeline versions on the cluster, named by the digest of their content."""

from dataclasses import dataclass
from pathlib import Path

import kfp_server_api

from core.base.digest import sha256_file
from core.base.errors import UserError
from pipelines.cluster.connection import Connection, Exists
from pipelines.cluster.listing import entries

_DIGEST_LENGTH = 16


@dataclass(frozen=True)
class Version:
    """A version of the pipeline on the cluster.

    Attributes:
        name: The version's name, made of its content's digest.
        uploaded: Whether it was uploaded just now.
    """

    pipeline_id: str
    version_id: str
    name: str
    uploaded: bool


def ensure_version(connection: Connection, package: Path, pipeline: str) -> Version:
    """Return the version that holds the content of ``package``; upload it where there is none yet.

    Args:
        package: The compiled pipeline.
        pipeline: The pipeline's name on the cluster.

    Raises:
        UserError: The cluster refuses; a pipeline that was created for this version is gone again then.
    """
    name = f"sha256-{sha256_file(package)[:_DIGEST_LENGTH]}"
    pipeline_id = find_pipeline(connection, pipeline)
    if pipeline_id is None:
        body = kfp_server_api.V2beta1Pipeline(
            name=pipeline, display_name=pipeline, namespace=connection.namespace,
            description="Compresses an MMDetection detector with NNCF and proves the OpenVINO result.")
        with connection.asking("pipeline", pipeline):
            # Not upload_pipeline: it makes a first version named like the pipeline instead of by its content.
            pipeline_id = connection.client._pipelines_api.pipeline_service_create_pipeline(pipeline=body).pipeline_id
        try:
            return _upload(connection, package, pipeline_id, name)
        except UserError:
            with connection.asking("pipeline", pipeline):
                connection.client.delete_pipeline(pipeline_id)
            raise
    return _find_version(connection, pipeline_id, name) or _upload(connection, package, pipeline_id, name)


def find_pipeline(connection: Connection, name: str) -> str | None:
    """Return the id of the pipeline of this name, or None."""
    found = next(entries(connection, "pipeline", name, lambda **page: connection.client.list_pipelines(
        namespace=connection.namespace, **page), "pipelines"), None)
    return found.pipeline_id if found else None


def _find_version(connection: Connection, pipeline_id: str, name: str) -> Version | None:
    found = next(entries(connection, "pipeline version", name, lambda **page: connection.client.list_pipeline_versions(
        pipeline_id, **page), "pipeline_versions"), None)
    return Version(pipeline_id, found.pipeline_version_id, name, uploaded=False) if found else None


def _upload(connection: Connection, package: Path, pipeline_id: str, name: str) -> Version:
    try:
        with connection.asking("pipeline version", name):
            answer = connection.client.upload_pipeline_version(str(package), name, pipeline_id=pipeline_id)
    except Exists:
        # Someone else has uploaded the same content since we looked.
        found = _find_version(connection, pipeline_id, name)
        if found is None:
            raise
        return found
    return Version(pipeline_id, answer.pipeline_version_id, name, uploaded=True)
