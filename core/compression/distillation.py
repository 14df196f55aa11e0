"""The losses of compression algorithms in the train step, and knowledge distillation on a detector's raw heads.

NNCF 2.0.0 compares what forward returns, and copies the detector as it stands while it is traced
(torch/knowledge_distillation/algo.py). In training MMDetection returns losses: their difference carries no information,
and the copied forward would call the student. So NNCF's handler gets the raw outputs of both heads instead.
"""

from collections.abc import Mapping
from typing import Any

import torch

from core.base.errors import UserError
from core.compression.statistics import controllers_of

ALGORITHM = "knowledge_distillation"
LOSS_KEY = "loss_compression"


class RawHeads(torch.nn.Module):
    """A teacher whose forward returns its head's raw outputs; it is saved with the network, for resuming."""

    def __init__(self, teacher: Any) -> None:
        super().__init__()
        for module in teacher.modules():
            # NNCF copied the functions that keep parts out of its graph, and they are bound to the student's modules.
            module.__dict__.pop("forward", None)
        self.detector = teacher

    def forward(self, img: Any, **kwargs: Any) -> Any:
        plain = torch.Tensor.as_subclass(img, torch.Tensor)
        return self.detector.bbox_head(self.detector.extract_feat(plain))


def require_distillable(detector: Any, nncf_config: Mapping[str, Any]) -> None:
    """Raise UserError where distillation is asked for of a detector of two stages, or with the loss of classifiers."""
    section = nncf_config.get("compression") or []
    for entry in section if isinstance(section, (list, tuple)) else [section]:
        if entry.get("algorithm") != ALGORITHM:
            continue
        if entry.get("type") == "softmax":
            raise UserError("nncf_config, knowledge_distillation.type", "softmax",
                            "NNCF takes it over the channels of each output, but a detector's channels are anchors "
                            "times classes with a sigmoid each, and box distances.", "Write type='mse'.")
        if hasattr(detector, "roi_head") or not hasattr(detector, "bbox_head"):
            raise UserError("nncf_config, knowledge_distillation", type(detector).__name__,
                            "Raw outputs can be compared only where both models look at the same places: the second "
                            "stage of each works on proposals of its own.",
                            "Take knowledge_distillation out for this detector.")


def add_compression_loss(network: Any, controller: Any) -> None:
    """Let ``network.train_step`` add the loss of NNCF's algorithms, logged as ``loss_compression``.

    Nothing is changed where no algorithm has one: they are knowledge_distillation and rb_sparsity.
    """
    from nncf.torch.algo_selector import ZeroCompressionLoss

    if all(isinstance(child.loss, ZeroCompressionLoss) for child in controllers_of(controller)):
        return
    handler = network._kd_loss_handler
    if handler is not None:
        raw: list[Any] = []

        def keep(head: Any, inputs: Any, outputs: Any) -> None:
            raw[:] = [outputs] if head.training else []

        network.get_nncf_wrapped_model().bbox_head.register_forward_hook(keep)
        # NNCF calls handler(what forward returned, *its arguments).
        handler.register_forward_pre_hook(lambda module, inputs: (raw.pop(), *inputs[1:]))
        handler._kd_original_model = RawHeads(handler._kd_original_model)
    train_step = network.train_step

    def run(data: Any, optimizer: Any) -> dict[str, Any]:
        outputs = train_step(data, optimizer)
        compression = controller.loss()
        total = outputs["loss"] + compression
        logged = {**outputs["log_vars"], LOSS_KEY: float(compression), "loss": float(total)}
        return {**outputs, "loss": total, "log_vars": logged}

    network.train_step = run
