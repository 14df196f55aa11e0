"""Seconds to initialise compression, by samples, and of a preflight: ``python -m benchmarks.initialisation``."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import reporting
from benchmarks.small_detector import CONFIGS, INPUT_SIZE, digits, scratch, set_samples, small_config
from core.base.supervision import run_command

CLASSES_OF_A_PREFLIGHT = 3
REPOSITORY = Path(__file__).resolve().parents[1]


def initialisation_seconds(variant: str, samples: int, dataset: Any, input_size: tuple[int, int]) -> dict[str, Any]:
    """Return how long wrapping takes: tracing, range estimation and batch-norm adaptation on ``samples`` images."""
    from mmdet.apis import set_random_seed

    from core.compression.wrap import compress_detector
    from core.config.adapt import nncf_config_of
    from core.detectors.building import build_detector
    from core.training.device import device
    from core.training.samples import train_loader

    set_random_seed(0)
    config = small_config(variant, dataset, input_size)
    set_samples(config, samples)
    detector = build_detector(config)
    detector.init_weights()
    loader = train_loader(config, dataset, 0)
    started = time.perf_counter()
    compress_detector(detector.to(device()), nncf_config_of(config), loader)
    return {"variant": variant, "samples": samples, "seconds": time.perf_counter() - started}


def preflight_seconds(config_file: str) -> dict[str, Any]:
    """Return how long a config's preflight takes, and each of its stages."""
    from core.config.loading import load_config
    from core.dry_run.preflight import numbered, run_preflight

    report = run_preflight(load_config(config_file), numbered(CLASSES_OF_A_PREFLIGHT))
    return {"config": config_file, "ok": report.ok, "seconds": report.seconds,
            "stages": {stage.stage: {"outcome": stage.outcome.value, "seconds": stage.seconds, "why": stage.why}
                       for stage in report.stages}}


def preflight_configs(detectors: list[str], algorithm: str) -> list[str]:
    """Return the config files of detectors, of all where the list holds ``all``."""
    folder = REPOSITORY / "configs" / "nncf_compression"
    found = {file.parent.name: str(file.relative_to(REPOSITORY)) for file in sorted(folder.glob(f"*/{algorithm}.py"))}
    names = list(found) if detectors == ["all"] else detectors
    unknown = [name for name in names if name not in found]
    if unknown:
        raise SystemExit(f"no {algorithm}.py of {', '.join(unknown)}; there are {', '.join(found)}")
    return [found[name] for name in names]


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.initialisation", description=str(__doc__),
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--variants", nargs="*", choices=[name for name in CONFIGS if name != "plain"],
                        default=["int8", "pruned", "both"], help="what to initialise")
    parser.add_argument("--samples", nargs="+", type=int, default=[16, 64, 256], help="images to initialise on")
    parser.add_argument("--input-size", nargs=2, type=int, default=INPUT_SIZE, metavar=("WIDTH", "HEIGHT"),
                        help=f"network input in pixels (default: {INPUT_SIZE[0]} {INPUT_SIZE[1]})")
    parser.add_argument("--preflight", nargs="*", metavar="DETECTOR", default=["retinanet_r18_small", "ssd300"],
                        help="folders of configs/nncf_compression to preflight, or all; none where empty")
    parser.add_argument("--algorithm", default="int8", help="which config of a detector is preflighted")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its tables and return the exit code."""
    arguments = build_parser().parse_args(argv)
    configs = preflight_configs(arguments.preflight, arguments.algorithm)
    dataset = digits(max(arguments.samples), 1)
    with scratch():
        initialised = [initialisation_seconds(variant, samples, dataset, tuple(arguments.input_size))
                       for variant in arguments.variants for samples in arguments.samples]
        flights = [preflight_seconds(config) for config in configs]
    if initialised:
        print(reporting.table(("variant", "samples", "s"), [
            (found["variant"], str(found["samples"]), f"{found['seconds']:.1f}") for found in initialised]), end="\n\n")
    if flights:
        print(reporting.table(("preflight", "s", "verdict"), [
            (found["config"], f"{found['seconds']:.0f}", "ok" if found["ok"] else "FAILED") for found in flights]))
    settings = {key: value for key, value in vars(arguments).items() if key != "output"}
    reporting.write("initialisation", settings, [*initialised, *flights], arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("initialisation", main))
