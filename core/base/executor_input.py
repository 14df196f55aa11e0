"""What KFP tells a plain container of its inputs: where the artifacts of a list lie, and whose they are."""

from pathlib import Path

from core.base.errors import UserError
from core.base.json_file import json_object
from core.base.text import bounded_repr

# The name of a candidate that is given none: of a run with one.
ONLY_CANDIDATE = "compressed"
# Metadata of an artifact: the candidate that it is of. KFP promises no order of what dsl.Collected brings.
CANDIDATE_KEY = "candidate"
# Where the launcher puts what lies in object storage (kfp/dsl/types/artifact_types.py, Artifact._get_path).
_MOUNTS = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}


def candidates_of(executor_input: str, name: str) -> dict[str, Path]:
    """Return the paths of a list of artifacts by the candidates that they are of.

    Args:
        executor_input: The JSON text of ``{{$}}``, KFP's ExecutorInput message.
        name: The input's name.

    Raises:
        UserError: The input is not there, or an artifact does not say which candidate it is of, or two say the same.
    """
    try:
        listed = json_object(executor_input)["inputs"]["artifacts"][name]["artifacts"]
        found = []
        for artifact in listed:
            candidate, uri = str(artifact["metadata"][CANDIDATE_KEY]), str(artifact["uri"])
            scheme = next((scheme for scheme in _MOUNTS if uri.startswith(scheme)), "")
            found.append((candidate, Path(_MOUNTS[scheme] + uri.removeprefix(scheme) if scheme else uri)))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--executor-input, {name}", bounded_repr(executor_input, 80), "Every artifact of this list must name its "
            f"candidate in its metadata ({CANDIDATE_KEY}).",
            "Run the stages before again; by hand give NAME=PATH and leave --executor-input out.") from error
    if len(dict(found)) < len(found):
        raise UserError(f"--executor-input, {name}", ", ".join(candidate for candidate, _ in found),
                        "There must be one artifact of each candidate.", "Give candidates names that differ.")
    return dict(found)
