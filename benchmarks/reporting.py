"""What every benchmark prints and writes: a table, and JSON that says on which machine it was measured."""

import importlib.util
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an aligned text table; the first column is text, the others are numbers."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                               for column, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)


def write(benchmark: str, settings: Mapping[str, Any], results: list[dict[str, Any]], output: Path | None) -> None:
    """Write settings, machine and results to ``output`` as JSON; nothing where it is None."""
    if output is None:
        return
    document = {"benchmark": benchmark, "settings": dict(settings), "machine": machine(), "results": results}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what a figure depends on: CPU, cores, load and versions; threads too where torch is."""
    from core.openvino.cpu import describe_cpu

    cpu = describe_cpu()
    return {"cpu": cpu.name, "instruction_set": cpu.instruction_set, "cores": cpu.cores,
            "load_average": os.getloadavg()[0], "python": platform.python_version(), **_runtime()}


def _runtime() -> dict[str, Any]:
    """Return the versions of what this environment has: of training, of OpenVINO, or both."""
    found: dict[str, Any] = {"versions": {}}
    if importlib.util.find_spec("torch") is not None:
        import torch

        from core.checkpoint.versions import versions

        found = {"torch_threads": torch.get_num_threads(), "versions": versions()}
    if importlib.util.find_spec("openvino") is not None:
        from core.openvino.runtime import import_openvino

        found["versions"]["openvino"] = import_openvino().get_version()
    return found
