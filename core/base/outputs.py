"""Small output files of a stage: parameters, JSON and metrics."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.base.executor_output import ExecutorOutput, storable
from core.base.files import new_file

MOST_CLASSES = 100


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` at once; folders that lead to it are created."""
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as JSON at once; folders that lead to it are created."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_metrics(output: ExecutorOutput, name: str, path: Path, values: Mapping[str, Any]) -> None:
    """Fill a KFP Metrics artifact: its metadata for the UI, and a file for whoever opens the artifact.

    The file also has to exist for kfp.local's cache to accept the artifact (kfp/local/cache.py).
    """
    output.artifact(name, dict(values))
    write_json(path, storable(dict(values)))


def write_confusion_matrix(output: ExecutorOutput, name: str, path: Path, classes: Sequence[str],
                           matrix: Sequence[Sequence[int]]) -> None:
    """Fill a KFP ClassificationMetrics artifact as ``log_confusion_matrix`` of the SDK does.

    Args:
        classes: A name for each row and column.
        matrix: Counts, rows of what was there, columns of what was found. A matrix of more than ``MOST_CLASSES``
            goes into the file alone, since all metadata of an artifact is one database record.
    """
    if len(classes) <= MOST_CLASSES:
        output.artifact(name, {"confusionMatrix": {
            "annotationSpecs": [{"displayName": item} for item in classes],
            "rows": [{"row": list(row)} for row in matrix]}})
    write_json(path, {"classes": list(classes), "matrix": [list(row) for row in matrix]})
