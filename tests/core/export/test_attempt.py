"""A detector whose backbone or neck no test exports is exported once before any training."""

import pytest
from mmcv.runner import BaseModule
from mmdet.models import NECKS

from core.base.errors import UserError
from core.detectors.pooling import install_pooling
from core.export import attempt
from core.export.attempt import PROVEN, require_exportable
from tests.core.detectors.tiny import BACKBONE, FPN, build, single_stage


@NECKS.register_module(force=True)
class NeckThatOnnxLacks(BaseModule):
    """Ends with an operator that has no symbolic."""

    def __init__(self, **settings):
        super().__init__()
        self.pyramid = NECKS.build({"type": "FPN", **settings})

    def forward(self, maps):
        first, *others = self.pyramid(maps)
        return (first + first.flatten(2).logcumsumexp(dim=2).reshape(first.shape), *others)


def with_neck(name):
    return build({**single_stage("RetinaHead"), "neck": {**FPN, "type": name}})


def test_parts_that_tests_export_are_not_tried(monkeypatch):
    monkeypatch.setattr(attempt, "write_onnx", lambda *arguments: pytest.fail("exported"))
    assert {BACKBONE["type"], FPN["type"]} <= PROVEN
    require_exportable(with_neck("FPN"))


def test_what_the_exporter_lacks_is_said_by_name():
    with pytest.raises(UserError) as caught:
        require_exportable(with_neck("NeckThatOnnxLacks"))
    assert caught.value.value == "SingleStageDetector with NeckThatOnnxLacks"
    assert "logcumsumexp" in caught.value.rule and "FPN" in caught.value.hint


@pytest.mark.detectors
def test_another_neck_passes(monkeypatch):
    monkeypatch.setattr(attempt, "PROVEN", PROVEN - {"PAFPN"})
    require_exportable(with_neck("PAFPN"))


@pytest.mark.detectors
def test_libra_rcnns_neck_passes(monkeypatch):
    monkeypatch.setattr(attempt, "PROVEN", PROVEN - {"BFP"})
    model = single_stage("RetinaHead")
    model["neck"] = [FPN, {"type": "BFP", "in_channels": FPN["out_channels"], "num_levels": 5, "refine_level": 2}]
    # As where detectors are built from configs.
    install_pooling()
    require_exportable(build(model))


def test_a_refused_family_is_refused_without_an_export(monkeypatch):
    monkeypatch.setattr(attempt, "write_onnx", lambda *arguments: pytest.fail("exported"))
    model = single_stage("RetinaHead", nms={"type": "soft_nms", "iou_threshold": 0.5})
    with pytest.raises(UserError, match="soft_nms"):
        require_exportable(build(model))
