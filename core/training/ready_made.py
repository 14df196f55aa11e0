"""Candidates that come ready for every detector: each is its model config with some options.

Lengths and learning rates are shares of the FP32 training's own, so that they fit any schedule.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.base.errors import UserError
from core.base.suggest import did_you_mean
from core.base.text import bounded_repr
from core.config.merging import DELETE_KEY
from core.config.test_pipeline import preprocessing_of
from core.training.settings import When, training_length

AUTO = "auto"
# What `auto` expands to, the most useful first.
NAMES = ("post_training", "int8", "int8_pruned_40", "pruned_40", "int8_pruned_20", "pruned_20", "int8_pruned_60",
         "pruned_60", "int8_mixed")
# Not trained; of the second convert takes the quantizers that cost most out, until it keeps the limit.
_POST_TRAINING = ("post_training", "int8_mixed")
# Ranges and statistics of as many again come out the same, and each costs a forward pass through NNCF's graph.
_SAMPLES = 128
# Of the FP32 training's length: 8 bits need little, pruned filters' work has to be learned by those that stay.
_INT8_LENGTH, _PRUNED_LENGTH, _SHORTEST_PRUNED = 1 / 8, 1 / 3, 3
_INT8_RATE, _PRUNED_RATE = 0.1, 0.3
_FIRST_LEVEL = 0.25


@dataclass(frozen=True)
class ReadyMade:
    """A candidate that comes ready.

    Attributes:
        int8: Whether weights and activations are quantized.
        pruned: Share of the filters that is pruned, 0 for none.
    """

    name: str
    int8: bool
    pruned: float

    @property
    def when(self) -> When | None:
        """Return when it is trained, where its name says so."""
        return When.NEVER if self.name in _POST_TRAINING else None

    @property
    def mixed(self) -> bool:
        """Return whether the layers that cost most go back to FP32."""
        return self.name == "int8_mixed"

    def algorithms(self, epochs: int) -> list[dict[str, Any]]:
        """Return what a training of so many epochs compresses by, as entries of NNCF's ``compression``."""
        adapted = {"batchnorm_adaptation": {"num_bn_adaptation_samples": _SAMPLES}}
        found: list[dict[str, Any]] = []
        if self.pruned:
            found.append({"algorithm": "filter_pruning", "initializer": adapted,
                          "pruning_init": round(self.pruned * _FIRST_LEVEL, 4),
                          "params": {"schedule": "exponential", "pruning_target": self.pruned,
                                     "pruning_steps": max(1, epochs // 2), "filter_importance": "geometric_median"}})
        if self.int8:
            found.append({"algorithm": "quantization",
                          "initializer": {"range": {"num_init_samples": _SAMPLES}, **adapted}})
        return found


def expand(names: Sequence[str], most: int = 0) -> list[ReadyMade]:
    """Return the candidates of these names, ``auto`` being all of them, or the first ``most``.

    Raises:
        UserError: There is none of a name, or it is given twice.
    """
    found: list[str] = []
    for name in names:
        if name != AUTO and name not in NAMES:
            raise UserError("parameter candidates", name, f"A ready-made candidate is one of {', '.join(NAMES)}, or "
                            f"{AUTO} for all of them.", did_you_mean(name, [*NAMES, AUTO], "Name your own config as "
                                                                     "compression_configs."))
        found += NAMES[:most or len(NAMES)] if name == AUTO else [name]
    if len(set(found)) < len(found):
        raise UserError("parameter candidates", ", ".join(names), "Each is given once.", "Remove the second.")
    return [ReadyMade(name, "int8" in name or name == "post_training",
                      int(name.rpartition("_")[2]) / 100 if "pruned" in name else 0.0) for name in found]


def overridden(options: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a config with others that go before them, key by key: also below a dict, or above a key.

    As in mmcv's ``Config.merge_from_dict``, a dict changes what it names and no more, items of a list by their index,
    unless it holds ``_delete_=True``.

    Raises:
        UserError: A change is below what is no dict and no list.
    """
    merged = copy.deepcopy(dict(options))
    for key, value in copy.deepcopy(dict(changes)).items():
        changed = isinstance(value, Mapping) and not value.get(DELETE_KEY)
        if changed and any(one.startswith(f"{key}.") for one in merged):
            merged = overridden(merged, {f"{key}.{name}": inner for name, inner in value.items()})
            continue
        above = next((one for one in merged if key.startswith(f"{one}.")), None)
        if above is None and key not in merged:
            merged = {one: kept for one, kept in merged.items() if not one.startswith(f"{key}.")}
            merged[key] = value
            continue
        place = above or key
        for part in reversed(key.removeprefix(place).split(".")[1:]):
            value = {part: value}
        try:
            merged[place] = _merged(merged[place], value)
        except (TypeError, ValueError, IndexError) as error:
            raise UserError("parameter compression_options", key, f"There is no such place in {place} of a ready-made "
                            "candidate.", "Write your own config, and name it in compression_configs.") from error
    return merged


def _merged(existing: Any, change: Any) -> Any:
    """Return a value changed by another as mmcv's ``Config.merge_from_dict`` does with ``allow_list_keys``.

    Raises:
        TypeError: A dict is to change what is neither a dict nor a list.
        ValueError, IndexError: A key is no index of a list.
    """
    if not isinstance(change, Mapping) or change.get(DELETE_KEY) or existing is None:
        return change
    if isinstance(existing, list):
        items = list(existing)
        for key, value in change.items():
            place = int(key)
            if place < 0:
                raise IndexError(key)
            items[place] = _merged(items[place], value)
        return items
    if not isinstance(existing, Mapping):
        raise TypeError(f"a dict for {existing!r}")
    return {**existing, **{key: _merged(existing[key], value) if key in existing else value
                           for key, value in change.items()}}


def options_of(candidate: ReadyMade, model: Any) -> dict[str, Any]:
    """Return what a model config is changed by to become the candidate's config.

    Raises:
        UserError: The config's training is counted in iterations, and pruning goes by epochs; or it names no learning
            rate.
    """
    length, size = training_length(model), preprocessing_of(model)
    if candidate.pruned and not length.by_epoch:
        raise UserError("parameter candidates", candidate.name, "Filters are pruned epoch by epoch, and model_config "
                        "trains by iterations.", "Let it train by epochs, or name other candidates.")
    rate = (model.get("optimizer") or {}).get("lr")
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise UserError("model_config, optimizer.lr", bounded_repr(rate, 40), "The learning rate of a ready-made "
                        "candidate is a share of it, so it must be a number.",
                        "Write it into the config, or -p model_options='{\"optimizer.lr\": 0.001}'.")
    share = _PRUNED_LENGTH if candidate.pruned else _INT8_LENGTH
    number = max(round(length.number * share), _SHORTEST_PRUNED if candidate.pruned else 1)
    algorithms = candidate.algorithms(number)
    options = {
        "nncf_config": {"input_info": {"sample_size": [1, 3, size.input_height, size.input_width]},
                        "compression": algorithms if len(algorithms) > 1 else algorithms[0]},
        "optimizer.lr": rate * (_PRUNED_RATE if candidate.pruned else _INT8_RATE),
        "lr_config": {DELETE_KEY: True, "policy": "CosineAnnealing", "min_lr_ratio": 0.01},
        "evaluation.interval": 1 if length.by_epoch else max(1, math.ceil(number / 4))}
    if (model.get("evaluation") or {}).get("start") is not None:
        # Of the whole training: the shorter one would end before it, and never be scored.
        options["evaluation.start"] = None
    if model.get("runner") is not None:
        options["runner.max_epochs" if length.by_epoch else "runner.max_iters"] = number
    if model.get("total_epochs") is not None:
        options["total_epochs"] = number
    if candidate.pruned and (model.model.get("backbone") or {}).get("frozen_stages", -1) >= 0:
        # NNCF prunes no frozen layer, and the stages before a pruned one must be able to follow.
        options["model.backbone.frozen_stages"] = -1
    return options
