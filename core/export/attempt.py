"""An export tried before any training, of detectors with backbones and necks that no test of ours exports."""

import copy
import logging
import tempfile
from pathlib import Path
from typing import Any

from core.base.errors import UserError
from core.compression.fake_quantize import load_onnx
from core.detectors.graph import forward_as
from core.detectors.registry import require_supported
from core.export.onnx import ONNX_FILE, write_onnx

PROVEN = frozenset(("ResNet", "SSDVGG", "MobileNetV2", "Darknet", "CSPDarknet", "FPN", "SSDNeck", "YOLOV3Neck",
                    "YOLOXPAFPN", "DilatedEncoder", "SwinTransformer", "HRNet", "HRFPN", "Res2Net", "PAFPN", "FPG",
                    "BFP", "PyramidVisionTransformerV2", "ResNeSt", "RegNet", "CTResNetNeck",
                    "EfficientNet", "NASFPN", "ChannelMapper", "FPN_CARAFE", "NASFCOS_FPN", "DyHead"))
"""Backbones and necks of detectors that are exported by tests, in docs/detectors.md and in docs/mmdet_configs.md."""
_SIZE = (256, 256)
_LONGEST_REASON = 300

logger = logging.getLogger(__name__)


def require_exportable(detector: Any) -> None:
    """Check that a detector is of a supported family, and export it with the weights it has if its parts are unknown.

    Args:
        detector: An MMDetection detector, not compressed; it is not changed.

    Raises:
        UserError: See ``require_supported``; or the export fails, or needs operators that are no standard ones.
    """
    import torch

    adapter = require_supported(detector)
    neck = getattr(detector, "neck", None)
    parts = [detector.backbone, *(neck if isinstance(neck, torch.nn.Sequential) else [neck])]
    unknown = sorted({type(part).__name__ for part in parts if part is not None} - PROVEN)
    if not unknown:
        return
    logger.info("%s: exported once with random weights, since no test does", ", ".join(unknown))
    tried = copy.deepcopy(detector).eval()
    forward, names = adapter.exported_forward(tried)
    with tempfile.TemporaryDirectory() as folder, forward_as(tried, forward):
        path = Path(folder) / ONNX_FILE
        try:
            write_onnx(tried, path, _SIZE, names)
        except Exception as error:  # Whatever a backbone does not survive in the tracer or the exporter.
            logger.debug("the export failed", exc_info=True)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
            raise _refused(detector, unknown, f"the export ends with {reason}") from error
        foreign = sorted({f"{node.domain}.{node.op_type}" for node in load_onnx(path).graph.node if node.domain})
    if foreign:
        raise _refused(detector, unknown, f"the export needs operators that OpenVINO lacks: {', '.join(foreign)}")


def _refused(detector: Any, unknown: list[str], reason: str) -> UserError:
    return UserError("detector", f"{type(detector).__name__} with {', '.join(unknown)}",
                     f"It cannot be exported: {reason}.",
                     f"Take a backbone and a neck among {', '.join(sorted(PROVEN))}.")
