"""Rules on the algorithm filter_pruning that compare entries."""

from collections.abc import Iterator

from core.compression.config_check.entry import Entry
from core.compression.config_check.finding import Finding

DEFAULT_TARGET = 0.5
DEFAULT_STEPS = 100
# exponential_with_bias solves for its curve from the levels at the first epoch, an eighth of the way and the last:
# with fewer than three epochs the equation has no solution and levels are NaN or noise (common/pruning/schedulers.py).
LEAST_STEPS = {"baseline": 0, "exponential": 1, "exponential_with_bias": 3}
# The curve passes three quarters of the target an eighth of the way, so it has to start below.
BIAS_SHARE = 0.75
_ROUNDING = 1e-9


def target_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with how much is pruned."""
    params = entry.section("params")
    targets = [key for key in ("pruning_target", "pruning_flops_target") if params.has(key)]
    if len(targets) == 2:
        yield params.finding("pruning_flops_target", "Filters are pruned to a level or to a share of FLOPs, not both.",
                             "Keep one of pruning_target and pruning_flops_target.")
    elif not targets:
        yield params.warning("pruning_target", f"Without a target NNCF prunes {DEFAULT_TARGET:.0%} of the filters.",
                             f"Write the level that is meant, such as pruning_target={DEFAULT_TARGET}.")


def ranking_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with how filters are ranked."""
    params = entry.section("params")
    if params.has("save_ranking_coeffs_path"):
        yield params.finding("save_ranking_coeffs_path", "NNCF would write to this path, and no ranking is learned "
                             "here that could be saved.", "Remove the key.")
    if params.get("interlayer_ranking_type") != "learned_ranking":
        if params.has("legr_params"):
            yield params.warning("legr_params", "Only learned_ranking reads them.", "Remove them.")
        return
    if params.get("all_weights") is False:
        yield params.finding("all_weights", "learned_ranking ranks filters across layers.",
                             "Write True, or remove the key.")
    if not params.has("load_ranking_coeffs_path"):
        yield params.finding("interlayer_ranking_type", "Learning a ranking needs training and evaluation functions "
                             "from the training script, which are not given here.",
                             "Write 'unweighted_ranking', or give load_ranking_coeffs_path.")


def start_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the level that pruning starts at."""
    params = entry.section("params")
    start, schedule = entry.get("pruning_init", 0), params.get("schedule", "baseline")
    key = "pruning_flops_target" if params.has("pruning_flops_target") else "pruning_target"
    target = params.get(key, DEFAULT_TARGET)
    if start is None or target is None:
        return
    if start > target:
        yield entry.finding("pruning_init", f"Pruning starts at a level that is not above {key} ({target:g}).",
                            "Write 0, or remove the key.")
    elif schedule == "exponential_with_bias" and start > BIAS_SHARE * target - _ROUNDING:
        yield entry.finding("pruning_init", f"exponential_with_bias starts below {BIAS_SHARE:g} of {key} "
                            f"({BIAS_SHARE * target:g}).", "Write 0, or take the schedule exponential.")


def duration_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with how long the level rises."""
    params = entry.section("params")
    schedule, warmup = params.get("schedule", "baseline"), params.get("num_init_steps", 0)
    steps = params.get("pruning_steps", DEFAULT_STEPS)
    if schedule is None or warmup is None or steps is None:
        return
    least = LEAST_STEPS[schedule]
    if steps < least:
        yield params.finding("pruning_steps", f"{schedule} needs at least {least} epochs to raise the level.",
                             f"Write at least {least}, or take another schedule.")
        return
    if schedule == "baseline":
        steps = 0
    if epochs is None or warmup + steps < epochs:
        return
    fitting = epochs - 1 - int(warmup)
    raised = f"raise runner.max_epochs above {warmup + steps:g}"
    if schedule == "baseline":
        yield params.finding("num_init_steps", f"Pruning begins after these epochs, and the training has {epochs}.",
                             f"Write at most {epochs - 1}, or {raised}.")
    else:
        default = "" if params.has("pruning_steps") else f" (pruning_steps is {DEFAULT_STEPS} by default)"
        shorter = f"Write pruning_steps={fitting} or less, or {raised}." if fitting >= max(least, 1) else (
            f"Use fewer num_init_steps, the schedule baseline, or {raised}.")
        yield params.finding("pruning_steps", f"num_init_steps + pruning_steps ({warmup:g} + {steps:g}) are below the "
                             f"{epochs} epochs of the training{default}: else the target is never trained with.",
                             shorter)
