"""How far rounding alone moves a quantized model: ``python -m benchmarks.rounding``.

A quantized network turns a difference of one part in a million before a rounding into a whole level after it, and every
level changes more of them in the layer behind. The same checkpoint is scored again and again in PyTorch, its first
convolution's output multiplied by 1 + noise, and each time compared with the undisturbed one, as the waterfall compares
PyTorch with OpenVINO: what the IR differs by beyond that is the export's, what stays below is not. Runs in the train
environment.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import reporting
from core.base.supervision import run_command

NOISE = 1e-6


def disturb(network: Any, noise: float, seed: int) -> Any:
    """Multiply the output of the first convolution that runs by 1 + noise, normally distributed; return the hook."""
    import torch

    random = torch.Generator().manual_seed(seed)
    first = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    return first.register_forward_hook(
        lambda module, given, output: output * (1 + noise * torch.randn(output.shape, generator=random)))


def measure(checkpoint: Path, data: dict[str, Any], noise: float, seeds: int) -> list[dict[str, Any]]:
    """Return mAP without and with noise, and the agreement of each pass with the undisturbed one."""
    from core.config.adapt import set_data
    from core.data.dataset import open_dataset
    from core.data.reference import DataRef
    from core.evaluation.agreement import compare
    from core.training.evaluate import evaluate_network
    from core.training.model import restore_detector

    dataset = open_dataset(DataRef.from_json(data))
    restored = restore_detector(checkpoint, dataset.classes)
    set_data(restored.config, dataset)
    restored.config.data.workers_per_gpu = 0
    found, undisturbed = [], None
    for seed in range(seeds + 1):
        hook = disturb(restored.network, noise, seed) if seed else None
        scored = evaluate_network(restored.network, restored.config, dataset.test, dataset.classes)
        if hook is not None:
            hook.remove()
        undisturbed = undisturbed or scored
        found.append({"seed": seed, "map": scored.metrics.map, "map50": scored.metrics.map50,
                      "map_change": scored.metrics.map - undisturbed.metrics.map,
                      **compare(undisturbed.detections, scored.detections).to_json()})
        print(json.dumps(found[-1]), flush=True)
    return found


def build_parser() -> argparse.ArgumentParser:
    """Return the benchmark's argument parser."""
    from core.base.cli import json_object

    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounding", description=str(__doc__).split("\n")[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="a quantized checkpoint of ours")
    parser.add_argument("--data", metavar="JSON", type=json_object, required=True, help="resolved data, or @FILE")
    parser.add_argument("--noise", type=float, default=NOISE, help="relative, of the first convolution's output")
    parser.add_argument("--seeds", type=int, default=3, help="passes with noise")
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="write the results as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, print its table and return the exit code."""
    arguments = build_parser().parse_args(argv)
    results = measure(arguments.checkpoint, arguments.data, arguments.noise, arguments.seeds)
    print(reporting.table(
        ("pass", "mAP", "mAP50", "change", "agreement", "only first", "only second", "score difference, mean"),
        [("noise" if found["seed"] else "undisturbed", f"{found['map']:.4f}", f"{found['map50']:.4f}",
          f"{found['map_change']:+.4f}", f"{found['share']:.2%}", str(found["only_first"]), str(found["only_second"]),
          "" if found["mean_score_difference"] is None else f"{found['mean_score_difference']:.4f}")
         for found in results]))
    reporting.write("rounding", {"noise": arguments.noise, "seeds": arguments.seeds}, results, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("rounding", main))
