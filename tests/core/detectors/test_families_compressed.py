"""Every head that an adapter names goes the whole way with 8 bits: every quantizer runs, comes back and is exported."""

import numpy as np
import pytest
from mmcv import ConfigDict

from core.compression.fake_quantize import load_onnx
from core.compression.nncf_import import import_nncf
from core.compression.tracing import keep_out_of_graph
from core.detectors.registry import find_adapter
from core.dry_run.dry_run import DryRun
from core.export.onnx import ONNX_FILE
from scripts.trial_configs import trial_config
from tests.core.detectors.comparing import detected, enliven, require_same_boxes
from tests.core.detectors.tiny import (
    CLASSES,
    HEADS,
    POINTS,
    build,
    generic_extractor,
    objectness,
    one_level,
    picture,
    single_stage,
    sparse,
    train_cfg,
    two_stage,
    two_stage_train_cfg,
)

NAMES = tuple(f"class {index}" for index in range(CLASSES))
QUICK = ("FoveaHead",)
# Its mask of padding, as DeformableDETRHead's, is what an exported graph could lose.
COMPARED = ("DETRHead",)
SCORED = dict(type="ScoreHLRSampler", num=32, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True, k=0.5,
              bias=0.0)


def dry_run(model, folder):
    config = trial_config("retinanet_r18_small", "int8")
    config.model = ConfigDict(model)
    return DryRun(config, NAMES, folder)


def goes_the_whole_way(model, folder, masks=False):
    run = dry_run(model, folder)
    config = run.config
    if masks:
        for step in config.data.train.pipeline:
            if step["type"] == "LoadAnnotations":
                step["with_mask"] = True
            if step["type"] == "Collect":
                step["keys"] = [*step["keys"], "gt_masks"]
    run.build()
    run.wrap()
    assert run.counts["points"] > 20
    run.train_step()
    run.test_forward()
    run.restore()
    run.export()
    assert run.counts["onnx_fake_quantize"] == run.counts["fake_quantize"]
    return run


@pytest.mark.detectors
@pytest.mark.parametrize("layer", ["ConvWS", "ConvAWS"])
def test_standardised_weights_are_quantized_as_the_convolution_sees_them(layer, tmp_path):
    model = single_stage("RetinaHead", score_thr=0.001)
    model["backbone"].update(conv_cfg=dict(type=layer), norm_cfg=dict(type="GN", num_groups=8))
    run = goes_the_whole_way({**model, "train_cfg": train_cfg("RetinaHead")}, tmp_path)
    graph = load_onnx(run.onnx / ONNX_FILE).graph
    constants = {node.output[0] for node in graph.node if node.op_type == "Constant"}
    constants |= {tensor.name for tensor in graph.initializer}
    quantized = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "FakeQuantize"}
    weights = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    assert len(weights) > 20 and all(quantized[weight] in constants for weight in weights)
    assert not {"ReduceMean", "Sqrt"} & {node.op_type for node in graph.node}


@pytest.mark.parametrize("head", [head if head in QUICK else pytest.param(head, marks=pytest.mark.detectors)
                                  for head in HEADS])
def test_single_stage_heads(head, tmp_path):
    model = {**single_stage(head, score_thr=0.001), "train_cfg": train_cfg(head)}
    run = goes_the_whole_way(model, tmp_path)
    assert run.compression.postprocessing != bool(find_adapter(run.detector).obstacle)


def test_branches_that_training_drops_at_random_keep_their_quantizers(tmp_path):
    backbone = dict(type="SwinTransformer", embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), window_size=4,
                    drop_path_rate=0.5)
    run = dry_run({**single_stage("RetinaHead"), "backbone": backbone, "train_cfg": train_cfg("RetinaHead")}, tmp_path)
    run.build()
    run.wrap()
    # It fails where a quantizer does not run.
    assert f"all {run.counts['points']} quantizers ran" in run.train_step()


@pytest.mark.parametrize("head", [head if head in COMPARED else pytest.param(head, marks=pytest.mark.detectors)
                                  for head in HEADS])
def test_what_nncf_traces_of_single_stage_heads_finds_the_same_when_exported(head, tmp_path):
    import_nncf()
    image = picture(384, 384) if HEADS[head].get("use_dcn") else picture()
    detector = enliven(build(single_stage(head)), image)
    before = detected(detector, image)
    keep_out_of_graph(detector)
    require_same_boxes(detector, image, tmp_path)
    for old, new in zip(before, detected(detector, image), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-3)


@pytest.mark.detectors
@pytest.mark.parametrize(("head", "change"), [("FoveaHead", {"with_deform": True}),
                                              ("DeformableDETRHead", {"with_box_refine": False})])
def test_deformable_parts_of_single_stage_heads(head, change, tmp_path):
    model = {**single_stage(head, score_thr=0.001), "train_cfg": train_cfg(head)}
    model["bbox_head"].update(change)
    assert goes_the_whole_way(model, tmp_path).compression.postprocessing


@pytest.mark.detectors
@pytest.mark.parametrize(("roi_head", "masks"), [("StandardRoIHead", False), ("DynamicRoIHead", False),
                                                 ("CascadeRoIHead", False), ("CascadeRoIHead", True),
                                                 ("DoubleHeadRoIHead", False), ("MaskScoringRoIHead", True),
                                                 ("PISARoIHead", False), ("PointRendRoIHead", True),
                                                 ("GridRoIHead", False), ("HybridTaskCascadeRoIHead", True)])
def test_two_stages(roi_head, masks, tmp_path):
    cascade = roi_head in ("CascadeRoIHead", "HybridTaskCascadeRoIHead")
    points = POINTS if roi_head == "PointRendRoIHead" else {}
    model = {**two_stage(roi_head, masks, agnostic=cascade, rcnn={"score_thr": 0.0, **points}),
             "train_cfg": two_stage_train_cfg(3 if cascade else 1)}
    if points:
        model["train_cfg"]["rcnn"].update(mask_size=7)
    if roi_head == "PISARoIHead":
        model["train_cfg"]["rcnn"].update(sampler=SCORED, isr=dict(k=2, bias=0), carl=dict(k=1, bias=0.2))
    run = goes_the_whole_way(model, tmp_path, masks)
    assert run.compression.postprocessing != (cascade or roi_head == "GridRoIHead")


@pytest.mark.detectors
@pytest.mark.parametrize("model", [generic_extractor(), one_level(), objectness()],
                         ids=["all levels", "shared head", "objectness"])
def test_other_ways_to_look_at_regions(model, tmp_path):
    model["test_cfg"]["rcnn"].update(score_thr=0.0)
    goes_the_whole_way({**model, "train_cfg": two_stage_train_cfg(1)}, tmp_path)


@pytest.mark.detectors
@pytest.mark.parametrize("masks", [False, True])
def test_learnt_proposals(masks, tmp_path):
    goes_the_whole_way(sparse(masks=masks), tmp_path, masks)


@pytest.mark.detectors
@pytest.mark.parametrize("roi_head", ["StandardRoIHead", "CascadeRoIHead"])
def test_sides_in_buckets(roi_head, tmp_path):
    cascade = roi_head == "CascadeRoIHead"
    model = {**two_stage(roi_head, rcnn={"score_thr": 0.0}, box_head="SABLHead"),
             "train_cfg": two_stage_train_cfg(3 if cascade else 1)}
    assert goes_the_whole_way(model, tmp_path).compression.postprocessing != cascade
