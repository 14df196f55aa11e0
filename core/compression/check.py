"""Check, explain and migrate an nncf_config: ``python -m core.compression.check CONFIG``."""

import argparse
import contextlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from core.base.cli import EXIT_USER_ERROR, run_guarded
from core.base.supervision import run_command
from core.compression.config_check.finding import ERROR, Finding, shown
from core.compression.config_check.migrate import migrate
from core.compression.config_check.rules import check_nncf_config
from core.compression.config_check.schema import nncf_is_installed
from core.compression.config_check.source import Source, read_source, swapped_size
from core.compression.config_check.text import as_diff, as_text
from core.compression.layers import LayerReport, PruningPlan, inspect_layers
from core.config.options import parse_options

PROGRAM = "python -m core.compression.check"
_TRACING_MODULES = ("torch", "mmcv", "mmdet", "nncf")
_SHOWN = 5


def build_parser() -> argparse.ArgumentParser:
    """Return the command's argument parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Check the nncf_config of a config: its keys and values, and on the traced detector "
        "its scopes, frozen layers and pruned filters. Exit code 0: valid, 2: not.")
    parser.add_argument("config", metavar="CONFIG",
                        help="MMDetection config, or a .json, .yaml or .py file that holds just an nncf_config")
    parser.add_argument("--migrate", action="store_true",
                        help="write the nncf_config in the words of NNCF 2.0.0 to standard output, ready to paste, "
                        "and everything else to standard error")
    parser.add_argument("--cfg-options", metavar="KEY=VALUE", nargs="+", default=[], help="changes to the config")
    parser.add_argument("--batch-size", metavar="N", type=int, default=None,
                        help="images of a training batch, for counts of steps (default: data.samples_per_gpu, else 2)")
    parser.add_argument("--no-trace", action="store_true", help="check the dict only, not the detector's layers")
    parser.add_argument("--scopes", action="store_true", help="list the scopes of all operations as well")
    parser.add_argument("--trust-config", action="store_true",
                        help="run the config as Python where it cannot be read as data")
    return parser


def check(arguments: argparse.Namespace) -> int:
    """Check a config as the command line asks, print what is found and return the exit code."""
    source = read_source(arguments.config, parse_options(arguments.cfg_options), arguments.trust_config,
                         arguments.batch_size)
    stream = sys.stderr if arguments.migrate else sys.stdout
    nncf_config = source.nncf_config
    if nncf_config is None or nncf_config == {}:
        print(f"{arguments.config} has no nncf_config: MMDetection trains it without compression.", file=stream)
        return 0
    migrated, changes = migrate(nncf_config, source.batch_size) if isinstance(nncf_config, dict) else (None, [])
    if changes:
        print(as_diff(nncf_config, migrated, source.path.suffix), *(f"  {change}" for change in changes), "",
              sep="\n", file=stream)
    if arguments.migrate and migrated is not None:
        nncf_config = migrated
    findings = [*check_nncf_config(nncf_config, source.epochs), *swapped_size(source, nncf_config)]
    report, why_not = None, "the nncf_config has errors"
    if not _errors(findings):
        report, why_not = (None, "--no-trace") if arguments.no_trace else trace_source(source, nncf_config)
        findings = [*findings, *(report.findings if report else ())]
    print(*_verdict(arguments.config, findings, bool(changes) and not arguments.migrate), sep="\n", file=stream)
    if report:
        print(*_layers(report, arguments.scopes), sep="\n", file=stream)
    else:
        if not nncf_is_installed():
            print("Not asked: NNCF's own schema (nncf is not installed in this environment).", file=stream)
        if source.epochs is None:
            print("Not checked: schedules against the epochs (the file does not say how many).", file=stream)
        print(f"Not checked: scopes, frozen layers and pruned filters ({why_not}).", file=stream)
    if _errors(findings):
        return EXIT_USER_ERROR
    if arguments.migrate:
        sys.stdout.write(as_text(nncf_config, source.path.suffix))
    return 0


def trace_source(source: Source, nncf_config: Any) -> tuple[LayerReport | None, str]:
    """Trace the file's detector with random weights and inspect its layers; None, and why, where that cannot be.

    Raises:
        UserError: The detector cannot be exported as it is configured.
    """
    if source.config is None:
        return None, "the file has no model"
    missing = [name for name in _TRACING_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        return None, f"{', '.join(missing)} not installed in this environment"
    # Standard output may be pasted, and torch's extension loader prints there; mmcv and mmdet warn of their own code.
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmcv import Config

        from core.detectors.registry import build_known, require_supported

        config = Config(source.config)
        detector = build_known(config)
        require_supported(detector)
        postprocessing = bool(config.get("nncf_compress_postprocessing", True))
        return inspect_layers(detector, nncf_config, postprocessing), ""


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == ERROR]


def _verdict(config: str, findings: Sequence[Finding], migratable: bool) -> Iterator[str]:
    errors = len(_errors(findings))
    counts = [f"{number} {name}{'' if number == 1 else 's'}"
              for number, name in ((errors, "error"), (len(findings) - errors, "warning")) if number]
    yield (f"{config}: nncf_config is {'NOT valid' if errors else 'valid'} for NNCF 2.0.0"
           + (f" ({', '.join(counts)})" if counts else ""))
    for finding in findings:
        yield f"  {finding.severity}: {finding.path} = {shown(finding.value)}"
        yield f"    {finding.rule}"
        yield f"    {finding.replacement}"
    if migratable:
        yield "Keys of other NNCF versions are replaced as above by --migrate, which prints the whole dict."


def _layers(report: LayerReport, scopes: bool) -> Iterator[str]:
    traced = report.traced
    yield f"Traced: {len(traced.operations)} operations, {len(traced.weighted)} of them with weights"
    yield from (f"  {name}" for name in traced.operations if scopes)
    for match in report.matches:
        yield f"{match.path}, {match.pattern!r}: {len(match.matched)} matched"
        yield from _some(match.matched)
    yield f"Frozen layers: {len(traced.frozen) or 'none'}"
    if traced.frozen:
        yield "  8-bit quantization takes them; for filter pruning train them (frozen_stages=-1) or paste"
        yield "  ignored_scopes=["
        yield from (f"      {name!r}," for name in traced.frozen)
        yield "  ]"
    if report.pruning:
        yield from _pruning(report.pruning)


def _pruning(plan: PruningPlan) -> Iterator[str]:
    channels = sum(group.channels for group in plan.groups)
    barriers = ", ".join(f"{kind} ({count})" for kind, count in plan.barriers.items())
    if barriers:
        yield f"Operators that NNCF cannot prune through: {barriers}"
    if not plan.groups:
        return
    groups = f"{channels} filters in {len(plan.groups)} groups that are pruned together"
    if plan.level is None or any(group.removed is None for group in plan.groups):
        yield f"Filter pruning: {groups}; how many of each go is decided while training"
        return
    removed = sum(group.removed or 0 for group in plan.groups)
    yield (f"Filter pruning at {plan.level:g}: {removed} of {groups} ({removed / channels:.0%}); rounding what "
           f"stays up to multiples of 8 keeps {plan.level * channels - removed:.0f} of those asked for")
    for group in plan.untouched:
        yield f"  nothing of {group.channels} filters goes in {len(group.layers)} of these:"
        yield from _some(group.layers)


def _some(names: Sequence[str]) -> Iterator[str]:
    yield from (f"    {name}" for name in names[:_SHOWN])
    if len(names) > _SHOWN:
        yield f"    ... and {len(names) - _SHOWN} more"


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_guarded(PROGRAM, lambda: check(arguments))


if __name__ == "__main__":
    sys.exit(run_command(PROGRAM, main))
