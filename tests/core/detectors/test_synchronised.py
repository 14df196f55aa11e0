"""Norms that synchronise between processes, where there is one process."""

import mmcv
import pytest

from core.detectors.building import build_detector
from core.detectors.synchronised import SYNCHRONISED
from core.training.sync_bn import replace_sync_bn
from tests.core.detectors.tiny import BACKBONE, two_stage


@pytest.mark.parametrize("kind", SYNCHRONISED)
def test_a_detector_is_built_and_trained_in_one_process_whatever_synchronises_it(kind):
    model = two_stage()
    model["backbone"] = {**BACKBONE, "norm_cfg": dict(type=kind, requires_grad=True)}
    model["neck"]["norm_cfg"] = dict(type=kind)
    config = mmcv.Config(dict(model=model))
    names = set(build_detector(config).state_dict())
    assert config.model.backbone.norm_cfg.type == kind
    replace_sync_bn(config)
    assert config.model.backbone.norm_cfg.type == config.model.neck.norm_cfg.type == "BN"
    assert set(build_detector(config).state_dict()) == names
