"""Keys of other versions of NNCF replaced by those of 2.0.0, where the meaning is certain."""

from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.compression.config_check.finding import ABSENT, child, shown
from core.config.plain_data import plain_data

# NNCF 2.1's QuantizationPreset: the modes of weights and of activations.
_PRESETS = {"performance": ("symmetric", "symmetric"), "mixed": ("symmetric", "asymmetric")}
_OVERFLOW_FIX = {"enable": False, "disable": True}


@dataclass(frozen=True)
class Change:
    """One replacement.

    Attributes:
        path: The place of the old key.
        before: Its value.
        new_path: The place of the new key; empty where nothing took the old one's place.
        after: The new value, or ABSENT.
    """

    path: str
    before: Any
    new_path: str
    after: Any
    reason: str

    def __str__(self) -> str:
        target = f"{self.new_path} = {shown(self.after)}" if self.new_path else "removed"
        return f"{self.path} = {shown(self.before)} -> {target}: {self.reason}"


def migrate(nncf_config: dict[str, Any], batch_size: int) -> tuple[dict[str, Any], list[Change]]:
    """Return a copy of ``nncf_config`` in the words of NNCF 2.0.0, and what was changed.

    Only keys whose counterpart says the same are replaced; a key that NNCF 2.0.0 knows is kept where both are given.
    The result may still be wrong for other reasons: check it.

    Args:
        nncf_config: The dict; it is not changed.
        batch_size: Images of a training batch (``data.samples_per_gpu``): NNCF once counted batches.

    Raises:
        UserError: Not a dict of plain data, or a batch size below 1.
    """
    if not isinstance(nncf_config, dict):
        raise UserError("nncf_config", shown(nncf_config), "It is a dict.", "Write a dict, or leave the key out.")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise UserError("batch size", batch_size, "It is a whole number of at least 1.",
                        "Take data.samples_per_gpu of the config.")
    migration = _Migration(batch_size)
    migrated = migration.without_tuples(plain_data(nncf_config, "nncf_config"), "")
    section = migrated.get("compression")
    for index, entry in enumerate(section if isinstance(section, list) else [section]):
        path = child("compression", index) if isinstance(section, list) else "compression"
        if isinstance(entry, dict) and isinstance(entry.get("algorithm"), str):
            migration.algorithm(entry, path)
    return migrated, migration.changes


class _Migration:
    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self.changes: list[Change] = []

    def without_tuples(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: self.without_tuples(item, child(path, key)) for key, item in value.items()}
        if not isinstance(value, (list, tuple)):
            return value
        items = [self.without_tuples(item, child(path, index)) for index, item in enumerate(value)]
        if isinstance(value, tuple):
            self._note(path, value, path, items, "NNCF's schema follows JSON, which has lists only")
        return items

    def algorithm(self, entry: dict[str, Any], path: str) -> None:
        name, params = entry["algorithm"], _dict(entry, "params")
        self._initializer(_dict(entry, "initializer"), child(path, "initializer"))
        if name == "quantization":
            self._preset(entry, path)
            fix = entry.get("overflow_fix")
            if isinstance(fix, str) and fix in _OVERFLOW_FIX:
                entry.pop("overflow_fix")
                self._note(child(path, "overflow_fix"), fix, child(path, "disable_saturation_fix"),
                           entry.setdefault("disable_saturation_fix", _OVERFLOW_FIX[fix]),
                           "NNCF 2.1 renamed the saturation fix")
        elif name == "filter_pruning":
            self._replace(params, child(path, "params"), "weight_importance", "filter_importance")
            self._move(params, child(path, "params"), "pruning_init", entry, path)
        elif name in ("magnitude_sparsity", "rb_sparsity"):
            self._replace(params, child(path, "params"), "steps", "multistep_steps")
            self._replace(params, child(path, "params"), "sparsity_levels", "multistep_sparsity_levels")
            self._move(params, child(path, "params"), "sparsity_init", entry, path)

    def _initializer(self, initializer: dict[str, Any], path: str) -> None:
        section = initializer.get("range")
        for index, item in enumerate(section if isinstance(section, list) else [section]):
            if not isinstance(item, dict):
                continue
            place = child(child(path, "range"), index) if isinstance(section, list) else child(path, "range")
            self._to_samples(item, place, "num_init_steps", "num_init_samples")
            for key in ("min_percentile", "max_percentile"):
                if key in item and isinstance(item.setdefault("params", {}), dict):
                    self._move(item, place, key, item["params"], child(place, "params"))
        adaptation, place = _dict(initializer, "batchnorm_adaptation"), child(path, "batchnorm_adaptation")
        self._to_samples(adaptation, place, "num_bn_adaptation_steps", "num_bn_adaptation_samples")
        for key in ("num_bn_forget_steps", "num_bn_forget_samples"):
            self._remove(adaptation, place, key, "NNCF 2.0 has no forgetting step any more")

    def _preset(self, entry: dict[str, Any], path: str) -> None:
        modes = _PRESETS.get(entry["preset"]) if isinstance(entry.get("preset"), str) else None
        if modes is None:
            return
        preset = entry.pop("preset")
        for group, mode in zip(("weights", "activations"), modes):
            section = entry.setdefault(group, {})
            if isinstance(section, dict) and "mode" not in section:
                section["mode"] = mode
                self._note(child(path, "preset"), preset, f"{path}.{group}.mode", mode, "presets came with NNCF 2.1")
        if not self.changes or self.changes[-1].path != child(path, "preset"):
            self._note(child(path, "preset"), preset, "", ABSENT, "the modes are given")

    def _to_samples(self, section: dict[str, Any], path: str, old: str, new: str) -> None:
        steps = section.get(old)
        if not isinstance(steps, bool) and isinstance(steps, (int, float)):
            self._replace(section, path, old, new, f"{steps:g} steps x batch size {self._batch_size}",
                          steps * self._batch_size)

    def _replace(self, section: dict[str, Any], path: str, old: str, new: str, reason: str = "renamed",
                 value: Any = None) -> None:
        """Replace a key where it stands, so that a diff shows just that line; ``value`` None keeps its value."""
        if old in section and new in section:
            self._remove(section, path, old, f"{child(path, new)} is given and counts")
        elif old in section:
            before = section[old]
            after = before if value is None else value
            items = [(new, after) if key == old else (key, item) for key, item in section.items()]
            section.clear()
            section.update(items)
            self._note(child(path, old), before, child(path, new), after, reason)

    def _move(self, section: dict[str, Any], path: str, key: str, target: dict[str, Any], target_path: str) -> None:
        if key in section and key in target:
            self._remove(section, path, key, f"{child(target_path, key)} is given and counts")
        elif key in section:
            target[key] = section.pop(key)
            self._note(child(path, key), target[key], child(target_path, key), target[key], "moved")

    def _remove(self, section: dict[str, Any], path: str, key: str, reason: str) -> None:
        if key in section:
            self._note(child(path, key), section.pop(key), "", ABSENT, reason)

    def _note(self, path: str, before: Any, new_path: str, after: Any, reason: str) -> None:
        self.changes.append(Change(path, before, new_path, after, reason))


def _dict(entry: dict[str, Any], key: str) -> dict[str, Any]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}
