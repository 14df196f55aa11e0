"""Random weights made to find something: scores and boxes that differ from place to place."""

import contextlib
import re
from typing import Any

_SCORES, _BOXES, _STAGE_BOXES = 1.5, 0.5, 0.1
"""Standard deviation of what layers of the heads return that make scores, boxes, and boxes stage by stage."""
# Boxes that one stage after another moves must stay in the image: MMDetection cannot paste masks outside of it.
_OF_STAGE = re.compile(r"\bbbox_head\.\d+\.")
_MAKES_BOXES = ("reg", "bbox", "offset")
_MAKES_SCORES = ("cls", "conf", "score", "logits", "obj", "centerness")


def wake(detector: Any, forward: Any, images: Any) -> None:
    """Scale the weights of each convolution and linear layer so that what it first returns has a deviation of its own.

    Of a transposed convolution each channel: CenterNet's begin with one that is larger than all others.

    Layers of random weights repeat the same number everywhere after some depth, and the heads begin with scores that no
    threshold lets through (Mishkin and Matas, 2016, "All you need is a good init", from which this is).

    Args:
        detector: With its first weights; it is left in testing mode.
        forward: Takes ``images`` through backbone, neck and heads.
        images: [N, 3, H, W], normalised.
    """
    import torch

    detector.eval()
    # By weights: NNCF makes several layers of one that several levels share.
    scaled: set[int] = set()
    with torch.no_grad(), contextlib.ExitStack() as hooks:
        for label, module in detector.named_modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)):
                hooks.enter_context(module.register_forward_hook(_scaling(label, scaled)))
        forward(images)


def _scaling(label: str, scaled: set[int]) -> Any:
    import torch

    target = 1.0
    if "head" in label.partition(".")[0]:
        name = label.partition(".")[2]
        if any(part in name for part in _MAKES_BOXES):
            target = _STAGE_BOXES if _OF_STAGE.search(label) else _BOXES
        target = _SCORES if any(part in name for part in _MAKES_SCORES) else target

    def scale(module: Any, inputs: Any, output: Any) -> Any:
        if id(module.weight) in scaled:
            return None
        scaled.add(id(module.weight))
        # Guided anchoring's last layers are 0 in places that another input tells them to skip.
        output = output if len(inputs) == 1 else type(module).forward(module, inputs[0])
        # YOLOv3's biases tell scores from boxes, and would be most of the deviation.
        bias = 0 if module.bias is None else module.bias.view(-1, *(1,) * (module.weight.dim() - 2))
        if isinstance(module, torch.nn.ConvTranspose2d) and module.groups == 1:
            deviation = (output - bias).std(dim=(0, 2, 3)).clamp(min=1e-6).view(1, -1, 1, 1)
        else:
            deviation = (output - bias).std()
        # A layer that begins at zero, such as one of offsets, or of one output stays as it is.
        if not bool((deviation > 1e-6).any()):
            return None
        # ConvAWS2d standardises its weight, and multiplies it by two buffers.
        factors = [module.weight_gamma, module.weight_beta] if hasattr(module, "weight_gamma") else [module.weight]
        for values in factors:
            values.data *= target / deviation
        return type(module).forward(module, inputs[0])

    return scale
