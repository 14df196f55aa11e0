"""The one place where MMDetection builds something from a config: detectors, data sets, optimizers, hooks.

Whatever the config is, from outside or the user's own, it is built in a closed room and with our loaders.
"""

import contextlib
import copy
import io
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.base.errors import UserError
from core.detectors.closed_room import closed_room
from core.detectors.fitting import require_fit
from core.detectors.loaders import FAULTS, check_nms_types, install, record_weights, weights_kept_in
from core.detectors.numpy_names import restore_numpy_names
from core.detectors.pooling import install_pooling
from core.detectors.pretrained import weights_location
from core.detectors.stand_ins import install_stand_ins
from core.detectors.synchronised import NEEDS_GROUP, make_plain
from core.detectors.windows import install_windows

if TYPE_CHECKING:
    from core.data.dataset import Split

@contextlib.contextmanager
def building(thing: str, config: Mapping[str, Any] | None = None, readable: Sequence[str | Path] = (),
             writable: Sequence[str | Path] = ()) -> Iterator[None]:
    """Build something from a config within the block: nothing that the config names is fetched, run or imported.

    Args:
        thing: What is built, for messages.
        config: The whole config where it may name weights; it says where the published ones are kept.
        readable: Files and folders that what is built reads.
        writable: Folders that what is built writes to.

    Raises:
        UserError: The config asks for what is refused, or MMDetection cannot build it.
    """
    install()
    restore_numpy_names()
    with weights_kept_in(weights_location(config or {})):
        try:
            with closed_room(thing, readable, writable):
                yield
        except FAULTS as error:
            reason, cause = str(error), error
            while isinstance(cause.__cause__, Exception) and cause.__cause__.__traceback__:
                cause = cause.__cause__
            if not str(cause):
                # An assertion without words says by its own line what does not agree.
                reason += traceback.extract_tb(cause.__traceback__)[-1].line or ""
            raise UserError(thing, f"{type(error).__name__}: {reason:.300}", "MMDetection cannot build it.",
                            "Compare this section with MMDetection's own config of this detector.") from error


def build_detector(config: Any) -> Any:
    """Build the MMDetection detector of ``config.model`` with its weights not yet initialised.

    Raises:
        UserError: As :func:`building`.
    """
    import torch

    # The points of MMDetection's anchor-free heads call it as torch 2.1.2 still understands it.
    warnings.filterwarnings("ignore", message="torch.meshgrid: in an upcoming release")
    # MMDetection writes into what it is given, such as the backbone's `pretrained`.
    model = copy.deepcopy(config.model)
    if not torch.distributed.is_initialized():
        make_plain(model, (NEEDS_GROUP,))
    install_stand_ins()
    with building(f"model config {model.get('type')!s:.80}", config), record_weights() as loaded:
        from mmdet.models import build_detector as build

        install_pooling()
        install_windows()
        check_nms_types(model)
        check_nms_types(config.get("test_cfg"))
        detector = build(model, train_cfg=copy.deepcopy(config.get("train_cfg")),
                         test_cfg=copy.deepcopy(config.get("test_cfg")))
    # A teacher's weights are loaded by the constructor (mmdet/models/detectors/kd_one_stage.py:43).
    require_fit([detector, getattr(detector, "teacher_model", detector)], loaded)
    return detector


def build_dataset(settings: Mapping[str, Any], split: "Split", defaults: Mapping[str, Any] | None = None) -> Any:
    """Build MMDetection's data set over a split, without what pycocotools prints while it reads annotations.

    Args:
        settings: The config's ``data.train`` or the like, pointed at the split.
        split: The annotations and images that may be read.
        defaults: Arguments that ``settings`` does not have.

    Raises:
        UserError: As :func:`building`.
    """
    with building("data set config", readable=[split.annotation_file, *split.parts, split.image_root]):
        from mmdet.datasets import build_dataset as build

        with contextlib.redirect_stdout(io.StringIO()):
            dataset = build(settings, defaults)
        _open_file_clients(dataset)
        return dataset


def build_optimizer(network: Any, settings: Mapping[str, Any]) -> Any:
    """Build the optimizer as MMDetection does, also where modules of a compressed network share parameters.

    Args:
        network: What is trained.
        settings: The config's ``optimizer``; it is left as it is.

    Raises:
        UserError: As :func:`building`.
    """
    settings = copy.deepcopy(settings)
    if settings.get("paramwise_cfg"):
        # mmcv goes through the modules then, and would put a shared parameter into two groups, which torch refuses.
        settings["paramwise_cfg"].setdefault("bypass_duplicate", True)
    with building("optimizer config"):
        from mmdet.core import build_optimizer as build

        return build(network, settings)


def _open_file_clients(dataset: Any) -> None:
    """Make the file clients that transforms would make with their first image, so that a bad one is refused now."""
    import mmcv

    transforms = list(getattr(getattr(dataset, "pipeline", None), "transforms", None) or ())
    transforms += dataset.pipeline if isinstance(getattr(dataset, "pipeline", None), list) else []
    for transform in transforms:
        transforms += getattr(getattr(transform, "transforms", None), "transforms", None) or ()
        arguments = getattr(transform, "file_client_args", None)
        if arguments is not None:
            mmcv.FileClient(**arguments)
    for part in (getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or ())):
        if part is not None:
            _open_file_clients(part)
