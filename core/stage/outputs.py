"""Small output files of a stage: parameters, JSON and metrics."""

import json
from pathlib import Path
from typing import Any, Mapping

from core.stage.executor_output import ExecutorOutput, storable
from core.storage.cache import new_file


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
