"""The file through which a plain container tells KFP the metadata of its artifacts."""

import json
import math
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.base.json_file import json_object
from core.base.text import bounded_repr


class ExecutorOutput:
    """Collects the metadata of a stage's artifacts and writes it once; output parameters are files of their own.

    The shape is KFP's ExecutorOutput message (kfp/dsl/executor.py). Without an executor input, as when
    a person calls the stage by hand, nothing is written.

    Args:
        executor_input: The JSON text of ``{{$}}``, KFP's ExecutorInput message, or None.
    """

    def __init__(self, executor_input: str | None = None) -> None:
        try:
            self._outputs = json_object(executor_input)["outputs"] if executor_input else None
        except (ValueError, KeyError) as error:
            raise UserError("--executor-input", bounded_repr(executor_input, 80), "It must be KFP's ExecutorInput "
                            "JSON.", "Leave the option out when calling a stage by hand.") from error
        self._metadata: dict[str, dict[str, Any]] = {}

    @property
    def by_hand(self) -> bool:
        """Return whether a person, rather than KFP, runs the stage."""
        return self._outputs is None

    def artifact(self, name: str, metadata: dict[str, Any]) -> None:
        """Add metadata to an output artifact that the component declares."""
        self._metadata.setdefault(name, {}).update(storable(metadata))

    def write(self) -> None:
        """Write the file KFP asked for; every declared artifact is registered, with or without metadata."""
        if self._outputs is None:
            return
        declared = {name: listed["artifacts"][0] for name, listed in self._outputs.get("artifacts", {}).items()}
        undeclared = self._metadata.keys() - declared.keys()
        if undeclared:
            raise ValueError(f"outputs {sorted(undeclared)} are not declared by the component")
        artifacts = {name: {"artifacts": [{"name": artifact.get("name", name), "uri": artifact["uri"],
                                           "metadata": self._metadata.get(name, {})}]}
                     for name, artifact in declared.items()}
        path = Path(self._outputs["outputFile"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"parameterValues": {}, "artifacts": artifacts}))


def storable(value: Any) -> Any:
    """Return ``value`` without what the KFP backend rejects: null and non-finite numbers (kubeflow/pipelines#12227).

    Null entries of mappings and lists are left out; NaN and infinities become their names as text.
    """
    if isinstance(value, dict):
        return {str(key): storable(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value if item is not None]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
