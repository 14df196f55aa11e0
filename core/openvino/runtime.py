"""The OpenVINO runtime: imported without usage reporting, models read and compiled with one set of options."""

import contextlib
import functools
import os
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.base.errors import CandidateFailed, UserError
from core.base.json_file import read_json
from core.base.text import bounded_repr
from core.export.spec import ModelSpec

MODEL_XML = "model.xml"
DECISION_FILE = "decision.json"
"""Beside an IR: what was decided in making it, a JSON string; absent where nothing was."""
MODEL_BIN = "model.bin"
MODEL_INFO = "model_info"
SPEC_KEY = "mmdet_compress_spec"
DEVICE = "CPU"
# CPUs with bf16 would otherwise run FP32 layers in bf16, and FP32 and int8 models could not be compared.
INFERENCE_PRECISION = "f32"


class Hint(StrEnum):
    """OpenVINO's performance hint."""

    LATENCY = "LATENCY"
    THROUGHPUT = "THROUGHPUT"


def import_openvino() -> Any:
    """Return the ``openvino`` module, imported without its usage reporting."""
    with usage_reporting_off():
        import openvino
    return openvino


@functools.cache
def shared_core() -> Any:
    """Return the process's one ``openvino.Core``.

    Each Core's CPU plugin sets the signal stack and puts back what it found: of two with crossed lives one leaves
    freed memory there, and the next signal, such as Ctrl-C, ends the process with a segmentation fault.
    """
    return import_openvino().Core()


@contextlib.contextmanager
def usage_reporting_off() -> Iterator[None]:
    """Keep OpenVINO from sending usage data to a third party and from writing a client id into the home folder.

    Importing openvino and calling the Model Optimizer both report by default, except where the variable CI says
    that nobody is watching (openvino_telemetry/utils/opt_in_checker.py).
    """
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


def read_ir(directory: Path) -> tuple[Any, ModelSpec]:
    """Read ``model.xml`` and ``model.bin`` and the spec inside them.

    Returns:
        The ``openvino.Model`` and its spec, taken from the IR's own metadata (``model_info``).

    Raises:
        UserError: A file is missing or damaged, or the IR does not describe itself.
    """
    xml = Path(directory) / MODEL_XML
    if not xml.is_file() or not (Path(directory) / MODEL_BIN).is_file():
        raise UserError("OpenVINO IR", directory, f"It must hold {MODEL_XML} and {MODEL_BIN}.",
                        "Give the folder that the convert stage wrote.")
    try:
        model = shared_core().read_model(xml)
    except RuntimeError as error:
        raise UserError("OpenVINO IR", directory, f"OpenVINO cannot read it: {last_line(error)}",
                        "A truncated copy is the usual cause: copy or convert the model again.") from error
    path = [MODEL_INFO, SPEC_KEY]
    if not model.has_rt_info(path):
        raise UserError("OpenVINO IR", xml, f"It has no {'/'.join(path)}, so its input is not known.",
                        "Use an IR that the convert stage of mmdet-compress wrote.")
    return model, ModelSpec.from_text(str(model.get_rt_info(path).value), xml)


def read_decision(directory: Path) -> str:
    """Return what was decided in making an IR, sentences; empty where nothing was.

    Raises:
        UserError: The file of it is damaged.
    """
    path = Path(directory) / DECISION_FILE
    if not path.exists():
        return ""
    hint = "Convert the model again."
    found = read_json(path, "decision on an IR", hint)
    if not isinstance(found, str):
        raise UserError("decision on an IR", f"{path} is {bounded_repr(found)}", "It must be text.", hint)
    return found


def at_test_size(model: Any, spec: ModelSpec) -> Any:
    """Return ``model``, given the size of the test pipeline where it takes any: FLOPs are counted at a fixed one."""
    if spec.dynamic:
        model.reshape([1, 3, spec.input_height, spec.input_width])
    return model


def compile_model(model: Any, hint: Hint, threads: int | None = None,
                  further: dict[str, Any] | None = None) -> Any:
    """Compile an ``openvino.Model`` for the CPU in ``INFERENCE_PRECISION``; ``threads`` None leaves it to OpenVINO.

    Args:
        further: Options of the runtime beside these, such as ``{"PERF_COUNT": True}``.

    Raises:
        CandidateFailed: The runtime does not support the model.
    """
    options: dict[str, Any] = {"PERFORMANCE_HINT": Hint(hint).value, "INFERENCE_PRECISION_HINT": INFERENCE_PRECISION}
    if threads is not None:
        options["INFERENCE_NUM_THREADS"] = threads
    options.update(further or {})
    try:
        return shared_core().compile_model(model, DEVICE, options)
    except RuntimeError as error:
        raise CandidateFailed("OpenVINO IR", model.get_friendly_name(),
                              f"OpenVINO cannot compile it: {last_line(error)}",
                              "Use the OpenVINO version the model was converted with.") from error


@contextlib.contextmanager
def waited_for(queue: Any) -> Iterator[Any]:
    """Give an ``openvino.AsyncInferQueue``; left in any way, none of its requests is under way any more.

    A queue that is freed with requests under way, as an exception frees it, lets their threads write into freed memory,
    which ends the process.
    """
    try:
        yield queue
    finally:
        queue.wait_all()


def last_line(error: BaseException) -> str:
    """Return the last line of OpenVINO's message, which tells the cause; the lines before name source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
