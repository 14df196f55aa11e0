"""Put a finished bundle where a model server or a person picks it up, whole or not at all.

Where it goes decides how: ``core.bundle.publish_folder`` and ``core.bundle.publish_s3`` have the protocols.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from core.base.errors import UserError
from core.bundle.manifest import Manifest
from core.bundle.publish_folder import FolderPublisher
from core.storage.location import Location, Scheme, parse_location

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PREFLIGHT_ATTEMPTS = 3


@dataclass(frozen=True)
class Publication:
    """Where a bundle lies.

    Attributes:
        location: Absolute path of the version's folder, or its URI on S3.
        created: False where the same content had been published before.
    """

    location: Path | str
    version: int
    created: bool


def publish(bundle: Path, destination: str, model_name: str, version: int | None = None) -> Publication:
    """Copy ``bundle``, a folder with a manifest (``core.bundle``), to ``<destination>/<model_name>/<version>/``.

    Without a ``version`` it is the next positive integer, or the existing one that holds the same content, undamaged.
    A reader who waits for the manifest never sees part of a bundle, and never sees one change. Where a call fails or is
    killed, the same call again finds out what became of it, resumes it or begins anew.

    Args:
        destination: A folder of this machine or ``s3://bucket/prefix``.
        model_name: The model's folder there.
        version: A version to publish as; nothing is done where it holds the same content.

    Raises:
        UserError: The destination cannot be written, the model's name cannot be a folder's, the bundle has no
            manifest, or the version holds other content.
    """
    if version is not None and version < 1:
        raise UserError("version", version, "It must be a positive integer.", "Leave it out to publish the next one.")
    manifest = Manifest.read(bundle)
    location = _models_location(destination, model_name)
    if location.scheme is Scheme.S3:
        from core.bundle.publish_s3 import S3Publisher
        from core.storage.s3_store import S3Store

        number, created = S3Publisher(S3Store(location.bucket, location.key)).publish(bundle, manifest, version)
        return Publication(f"{location}/{number}", number, created)
    number, created = FolderPublisher(Path(location.path)).publish(bundle, manifest, version)
    return Publication(Path(location.path) / str(number), number, created)


def check_destination(destination: str, model_name: str, version: int = 0) -> None:
    """Check that something could be published; an empty destination publishes nothing.

    In a folder nothing is written; on S3 a small object is written and deleted.

    Args:
        destination: A folder of this machine, ``s3://bucket/prefix``, or empty.
        model_name: The model's folder there.
        version: The version to publish as, which must be free; 0 stands for the next one.

    Raises:
        UserError: As :func:`publish`, or the version is there already.
    """
    if version < 0:
        raise UserError("parameter model_version", version, "It must be a positive integer, or 0 for the next one.",
                        "Leave it at 0.")
    location = _models_location(destination or os.curdir, model_name)
    if not destination:
        return
    if location.scheme is Scheme.S3:
        from core.bundle.publish_s3 import S3Publisher, check_s3_destination
        from core.storage.s3_store import S3Store

        store = S3Store(location.bucket, location.key, attempts=_PREFLIGHT_ATTEMPTS)
        check_s3_destination(store)
        publisher: S3Publisher | FolderPublisher = S3Publisher(store)
    else:
        publisher = FolderPublisher(Path(location.path))
        publisher.check_writable()
    if version > 0 and publisher.is_taken(version):
        raise UserError("parameter model_version", version, f"{location} has this version already.",
                        "Choose a free one, or 0, which publishes the next one and the same content only once.")


def _models_location(destination: str, model_name: str) -> Location:
    if not _MODEL_NAME.fullmatch(model_name):
        raise UserError("parameter model_name", repr(model_name), "It becomes a folder's name, so it must be letters, "
                        "digits, '.', '_' and '-', and begin with a letter or digit.", "Choose such a name.")
    location = parse_location(destination, "destination")
    if location.query or location.scheme is Scheme.BUILTIN:
        raise UserError("destination", location, "It must be a folder or s3://bucket/prefix, without options.",
                        "Give such a location.")
    return Location(location.scheme, f"{location.path}/{model_name}")
