"""What the two configs of a run must be, found without training: by the resolve stage, in one list."""

import copy
import importlib.util
from collections.abc import Mapping
from typing import Any

from core.base.errors import UserError
from core.base.faults import Faults
from core.base.text import bounded_repr
from core.checkpoint.checkpoint import load_checkpoint
from core.compression.differences import require_same
from core.compression.nncf_import import import_nncf
from core.config.adapt import nncf_config_of, plain_config, set_classes
from core.config.test_pipeline import preprocessing_of
from core.storage.parent import ParentRef, open_parent
from core.training.refusals import refused_of

_SHOWN = 3
START_KEYS = ("load_from", "resume_from")


def check_run(model: Any, compression: Any, gpus: int | None) -> None:
    """Check all that a run's configs ask for and can be judged by them alone.

    Args:
        model: The config of the FP32 detector.
        compression: The config that compresses it.
        gpus: GPUs to train on, None where that is not known.

    Raises:
        UserError: All of the refusals.
    """
    faults = Faults()
    faults.add(*refused_of(plain_config(model), gpus), *refused_of(compression, gpus))
    if faults.of(lambda: nncf_config_of(model)) is not None:
        faults.add(UserError("model_config", "has an nncf_config", "It is the FP32 detector that the compressed one is "
                             "compared with.", "Give the config as compression_config, and here the one that it is "
                             "made of; to train a compressed model alone, use tools/train.py."))
    if faults.of(lambda: nncf_config_of(compression)) is not None and importlib.util.find_spec("nncf") is None:
        faults.of(import_nncf)
    for parameter, config in (("model_config", model), ("compression_config", compression)):
        try:
            preprocessing_of(config)
        except UserError as error:
            faults.add(UserError(f"{parameter}, {error.thing}", error.value, error.rule, error.hint))
        # tools/train.py writes there what is in its work folder; a stage's is gone with it.
        asked = config.get("evaluation")
        asked = asked if isinstance(asked, Mapping) else {}
        for key in (key for key in ("out_dir", "jsonfile_prefix") if asked.get(key) is not None):
            faults.add(UserError(f"{parameter}, evaluation.{key}", bounded_repr(asked[key], 80), "A stage of the "
                                 "pipeline writes its artifacts alone.", "Remove it from the config."))
    faults.of(lambda: require_same_detector(model, compression))
    faults.stop()


def own_start(compression: Any, model: Any) -> dict[str, None]:
    """Return the options that take out of a compression config the starts that it inherits from the model's config.

    What both name is what the FP32 model is trained from; compression then starts from that model. A start that only
    the compression config names is what compression starts from.
    """
    return {key: None for key in START_KEYS if compression.get(key) and compression.get(key) == model.get(key)}


def is_compressed(start: ParentRef) -> bool:
    """Return whether a given checkpoint holds a compressed model; False where none is given.

    Raises:
        UserError: It cannot be read.
    """
    path = open_parent(start)
    return path is not None and load_checkpoint(path).compression is not None


def require_restorable(start: ParentRef, compression: Any) -> None:
    """Raise UserError, which lists the differences, where a config compresses unlike the checkpoint it resumes from."""
    path, wanted = open_parent(start), nncf_config_of(compression)
    found = load_checkpoint(path).compression if path is not None else None
    if found is not None and wanted is not None:
        require_same(found.config, wanted)


def require_same_detector(model: Any, compression: Any) -> None:
    """Raise UserError where a weight of one config's network is not in the other's, or is of another shape."""
    if model["model"] == compression["model"]:
        return
    first, second = _shapes(model), _shapes(compression)
    differing = [name for name in [*first, *second] if first.get(name) != second.get(name)]
    if differing:
        shown = ", ".join(list(dict.fromkeys(differing))[:_SHOWN])
        raise UserError("compression_config", f"another detector than model_config: {len(differing)} weights differ "
                        f"({shown})", "Compression starts from the weights of the FP32 detector.",
                        "Let it inherit the model from model_config.")


def _shapes(config: Any) -> dict[str, tuple[int, ...]]:
    from core.detectors.building import build_detector

    config = plain_config(copy.deepcopy(config))
    set_classes(config, ("object",))
    return {name: tuple(value.shape) for name, value in build_detector(config).state_dict().items()}
