"""Rules on the algorithms magnitude_sparsity and rb_sparsity that compare entries."""

from collections.abc import Iterator

from core.compression.config_check.entry import Entry
from core.compression.config_check.finding import Finding

DEFAULT_SCHEDULE = {"magnitude_sparsity": "polynomial", "rb_sparsity": "exponential"}
DEFAULT_TARGET, DEFAULT_TARGET_EPOCH, DEFAULT_FREEZE_EPOCH = 0.5, 90, 100
DEFAULT_STEPS, DEFAULT_LEVELS = [90], [0.1, 0.5]


def level_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the levels of ``magnitude_sparsity`` or ``rb_sparsity`` and who sets them."""
    params, schedule = entry.section("params"), _schedule(entry)
    if params.get("sparsity_level_setting_mode") == "local":
        yield params.finding("sparsity_level_setting_mode", "With 'local' the training script sets each layer's level, "
                             "which is not done here: they would stay at sparsity_init.",
                             "Write 'global', or remove the key.")
    if schedule == "adaptive" and entry.given["algorithm"] == "magnitude_sparsity":
        yield params.finding("schedule", "adaptive follows the sparsity loss, which only rb_sparsity has.",
                             "Write 'polynomial', 'exponential' or 'multistep'.")
    elif schedule not in ("multistep", None):
        start, target = entry.get("sparsity_init", 0), params.get("sparsity_target", DEFAULT_TARGET)
        if start is not None and target is not None and start > target:
            yield entry.finding("sparsity_init", f"Sparsity starts at a level that is not above sparsity_target "
                                f"({target:g}).", "Write 0, or remove the key.")


def epoch_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the epochs of the schedules that raise the level from one to another."""
    params = entry.section("params")
    target = params.get("sparsity_target_epoch", DEFAULT_TARGET_EPOCH)
    freeze = params.get("sparsity_freeze_epoch", DEFAULT_FREEZE_EPOCH)
    if _schedule(entry) in ("adaptive", "multistep", None) or target is None:
        return
    # Without the count NNCF spends the first epoch on counting the steps.
    counting = params.get("update_per_optimizer_step") and not params.has("steps_per_epoch")
    if epochs is not None and target + bool(counting) >= epochs:
        default = "" if params.has("sparsity_target_epoch") else f" ({DEFAULT_TARGET_EPOCH} by default)"
        first = ", after one epoch of counting steps" if counting else ""
        yield params.finding("sparsity_target_epoch", f"The target is reached at the epoch of this index{default}"
                             f"{first}, and the training has {epochs}.",
                             f"Write at most {max(0, epochs - 1 - bool(counting))}, or raise runner.max_epochs.")
    if freeze is not None and freeze <= target:
        yield _freezes_early(params, freeze, target)


def multistep_rules(entry: Entry, device: str, epochs: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the schedule ``multistep``."""
    params = entry.section("params")
    steps = params.get("multistep_steps", DEFAULT_STEPS)
    levels = params.get("multistep_sparsity_levels", DEFAULT_LEVELS)
    freeze = params.get("sparsity_freeze_epoch", DEFAULT_FREEZE_EPOCH)
    if _schedule(entry) != "multistep" or steps is None or levels is None or None in steps or None in levels:
        return
    if len(levels) != len(steps) + 1:
        yield params.finding("multistep_sparsity_levels", f"There is one level more than multistep_steps "
                             f"({len(steps)}): the first holds from the start.", f"Write {len(steps) + 1} levels.")
    if levels and levels[-1] == 0:
        yield params.finding("multistep_sparsity_levels", "The last level is what remains, and 0 is none.",
                             "Write a last level such as 0.5.")
    if not steps:
        return
    if epochs is not None and max(steps) >= epochs:
        default = "" if params.has("multistep_steps") else f" ({DEFAULT_STEPS} by default)"
        yield params.finding("multistep_steps", f"A level holds from the epoch of its step{default}, and the training "
                             f"has {epochs}.", f"Write steps of at most {epochs - 1}, or raise runner.max_epochs.")
    if freeze is not None and freeze <= max(steps):
        yield _freezes_early(params, freeze, max(steps))


def _schedule(entry: Entry) -> str | None:
    return entry.section("params").get("schedule", DEFAULT_SCHEDULE[entry.given["algorithm"]])


def _freezes_early(params: Entry, freeze: float, last: float) -> Finding:
    return params.finding("sparsity_freeze_epoch", f"The mask is frozen at epoch {freeze:g}, before the last level of "
                          f"epoch {last:g} is applied.", f"Write at least {last + 1:g}.")
