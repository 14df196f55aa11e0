"""Every step of a compression tried in minutes, before hours are spent: ``python -m core.dry_run.preflight``."""

import argparse
import contextlib
import copy
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.base.cli import name_list, run_guarded, whole_number
from core.base.errors import UserError
from core.base.quiet import libraries_quiet
from core.base.supervision import run_command
from core.dry_run.dry_run import DryRun, Outcome, StageResult, find_openvino_python, run_stage

PROGRAM = "python -m core.dry_run.preflight"
EXIT_FAILED = 1
_MODULES = ("torch", "mmcv", "mmdet")

HEADER = f"{'stage':<11} {'outcome':<8} {'s':>6}  why"


@dataclass(frozen=True)
class PreflightReport:
    """All stages of a preflight, in order."""

    stages: tuple[StageResult, ...]

    @property
    def ok(self) -> bool:
        """Whether no stage failed."""
        return all(stage.outcome is not Outcome.FAILED for stage in self.stages)

    @property
    def seconds(self) -> float:
        """The time of all stages."""
        return sum(stage.seconds for stage in self.stages)

    def require_ok(self) -> None:
        """Raise a UserError that names the failed stage and its reason, if there is one."""
        for stage in self.stages:
            if stage.outcome is Outcome.FAILED:
                raise UserError(f"preflight, stage {stage.stage}", stage.why,
                                "Every stage must succeed on random weights before hours are spent on real ones.",
                                f"`{PROGRAM} CONFIG` repeats it with the config alone.")

    def __str__(self) -> str:
        return "\n".join([HEADER, *(stage.row() for stage in self.stages)])


def run_preflight(config: Any, classes: Sequence[str] = (), openvino_python: Path | None = None,
                  on_stage: Callable[[StageResult], None] = lambda result: None,
                  dynamic_shape: bool = False) -> PreflightReport:
    """Try every step from ``nncf_config`` to a loaded IR on random weights and a handful of synthetic images.

    Nothing of the config's checkpoints and data is read, and nothing is left behind. Without ``nncf_config`` the
    plain model goes the same way.

    Args:
        config: A resolved mmcv Config; it is not changed.
        classes: Class names; those of the config, or as many as its head has, where empty.
        openvino_python: Python of an environment with OpenVINO; see ``find_openvino_python``.
        on_stage: Called with each result at once.
        dynamic_shape: Whether the model is to be exported for images of any size.

    Raises:
        UserError: MMDetection is not installed, or the config does not tell the number of classes.
    """
    missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError("environment", sys.executable, f"Preflight needs {', '.join(missing)}, not installed here.",
                        "Install them, or run it with the Python that make setup prepares.")
    config = copy.deepcopy(config)
    names = tuple(classes) or classes_in(config)
    results: list[StageResult] = []
    with tempfile.TemporaryDirectory(prefix="mmdet-compress-preflight-") as folder:
        dry_run = DryRun(config, names, Path(folder), find_openvino_python(openvino_python), dynamic_shape)
        for stage in dry_run.stages():
            with _quiet():
                results.append(run_stage(*stage, results))
            on_stage(results[-1])
    return PreflightReport(tuple(results))


def try_layers(config: Any, classes: Sequence[str]) -> PreflightReport:
    """Try what takes seconds: the nncf_config by itself and against the detector's layers, and the export's conditions.

    Nothing is trained, and no image is looked at.
    """
    results: list[StageResult] = []
    with tempfile.TemporaryDirectory(prefix="mmdet-compress-preflight-") as folder:
        for stage in DryRun(copy.deepcopy(config), tuple(classes), Path(folder)).stages()[:2]:
            with _quiet():
                results.append(run_stage(*stage, results))
    return PreflightReport(tuple(results))


def classes_in(config: Any) -> tuple[str, ...]:
    """Return the class names of a config, or made-up ones where it has but their number.

    Raises:
        UserError: The config has neither.
    """
    from core.config.adapt import classes_of

    declared = classes_of(config)
    if declared:
        return declared
    head = config.model.get("bbox_head") or config.model.get("roi_head", {}).get("bbox_head") or {}
    number = (head[0] if isinstance(head, (list, tuple)) else head).get("num_classes")
    if not number:
        raise UserError("classes", "none", "The config names no classes and its box head has no num_classes.",
                        "Give the names (--classes) or their number (--num-classes).")
    return numbered(number)


def numbered(number: int) -> tuple[str, ...]:
    """Return ``number`` made-up class names."""
    return tuple(f"class {index}" for index in range(number))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep MMDetection and NNCF from talking into the table: of theirs only errors, and those on standard error."""
    with libraries_quiet(), contextlib.redirect_stdout(sys.stderr):
        yield


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Try a config's compression from the nncf_config to a loaded IR, on random weights "
        "and synthetic images. Exit code 0: every stage that ran is ok, 1: one failed, 2: a mistake in the input.")
    parser.add_argument("config", metavar="CONFIG", help="MMDetection config with an nncf_config")
    parser.add_argument("--cfg-options", metavar="KEY=VALUE", nargs="+", default=[], help="changes to the config")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument("--classes", metavar="NAMES", type=name_list, default=[],
                         help="class names between commas (default: the config's)")
    classes.add_argument("--num-classes", metavar="N", type=whole_number, default=0, help="their number instead")
    parser.add_argument("--openvino-python", metavar="FILE", type=Path, default=None,
                        help="Python with openvino-dev (default: this one)")
    parser.add_argument("--strict", action="store_true",
                        help="fail where nncf_compress_postprocessing=True would fall back to False")
    parser.add_argument("--dynamic-shape", action="store_true",
                        help="the model is to be exported for images of any size: fail where it cannot be")
    parser.add_argument("--trust-config", action="store_true",
                        help="run the config as Python where it cannot be read as data")
    return parser


def preflight(arguments: argparse.Namespace) -> int:
    """Run a preflight as the command line asks, print the table row by row and return the exit code."""
    from core.config.loading import load_config
    from core.config.options import parse_options

    find_openvino_python(arguments.openvino_python)
    config = load_config(arguments.config, parse_options(arguments.cfg_options), arguments.trust_config)
    if arguments.strict:
        config.nncf_strict = True
    classes = tuple(arguments.classes) or numbered(arguments.num_classes)
    print(HEADER, flush=True)
    report = run_preflight(config, classes, arguments.openvino_python,
                           on_stage=lambda result: print(result.row(), flush=True),
                           dynamic_shape=arguments.dynamic_shape)
    print(f"{arguments.config}: {'ok' if report.ok else 'FAILED'} in {report.seconds:.0f} s")
    return 0 if report.ok else EXIT_FAILED


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded(PROGRAM, lambda: preflight(arguments))


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
