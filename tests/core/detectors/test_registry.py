"""What is of no family, or decodes boxes otherwise than its family, is refused by name and with the reason."""

import functools
from types import SimpleNamespace

import mmdet.models  # noqa: F401
import pytest
import torch
from mmdet.models.builder import HEADS
from mmdet.models.dense_heads import ATSSHead, FCOSHead, RetinaHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead

from components.resolve.stage import check_detector
from core.base.errors import UserError
from core.detectors import refused
from core.detectors.graph import tensors
from core.detectors.patches import LAYERS
from core.detectors.registry import families, family_of_head, find_adapter, require_known, require_supported
from tests.core.detectors.tiny import BACKBONE, build, picture, single_stage, sparse, two_stage
from tests.core.detectors.tiny import HEADS as HEADS_OF_TESTS

# What others inherit from, and heads of the first stage, which are looked at with their detector.
BASES = {"AnchorHead", "AnchorFreeHead"}
FIRST_STAGES = {"RPNHead", "GARPNHead", "CascadeRPNHead", "StageCascadeRPNHead", "EmbeddingRPNHead"}
DETECTING = sorted((name for name, kind in HEADS.module_dict.items() if kind.__module__.startswith("mmdet.")
                    and issubclass(kind, (BaseDenseHead, BaseRoIHead)) and name not in BASES | FIRST_STAGES))


@pytest.mark.parametrize("name", DETECTING)
def test_every_head_of_mmdetection_is_known_or_refused_with_its_own_reason(name):
    """A head that would fall to its parent's adapter by chance is named in one of both tables."""
    kind = HEADS.get(name)
    named = {base.__name__ for base in kind.__mro__}
    try:
        adapter = family_of_head(kind)
    except UserError as error:
        assert (error.thing, error.value) == ("detector", name)
        assert named & set(refused.HEADS), error
        assert any(family.name in error.hint for family in families())
    else:
        assert name in adapter.heads


def test_every_refused_head_is_mmdetections_and_its_nearest_family_is_there():
    names = {family.name for family in families()} | {"Mask R-CNN"}
    for name, (reason, nearest) in refused.HEADS.items():
        assert reason and nearest in names, name


def test_a_head_has_one_family():
    heads = [head for family in families() for head in family.heads]
    assert len(heads) == len(set(heads))


@pytest.mark.parametrize("parent", [RetinaHead, FCOSHead, ATSSHead, StandardRoIHead])
def test_a_subclass_is_of_the_family_until_it_decodes_itself(parent):
    family = family_of_head(parent)
    trained = type("Trained", (parent,), {"loss": lambda self: None, "forward": lambda self: None})
    assert family_of_head(trained) is family
    for method in family.decoding:
        own = type("Own", (parent,), {method: lambda self: None})
        for kind in (own, type("Below", (own,), {})):
            with pytest.raises(UserError) as caught:
                family_of_head(kind)
            assert f"Own overrides {method} of {parent.__name__}" in caught.value.rule
            assert family.name in caught.value.hint


def test_a_head_from_elsewhere_is_refused():
    with pytest.raises(UserError) as caught:
        family_of_head(type("OwnHead", (), {}))
    assert caught.value.value == "OwnHead"
    for nothing in (type("Detector", (), {})(), type("FastRCNN", (), {"roi_head": object()})()):
        with pytest.raises(UserError):
            find_adapter(nothing)


def test_a_detector_that_tests_otherwise_is_refused():
    detector = build(single_stage("RetinaHead"))
    assert require_supported(detector).name == "RetinaNet"
    detector.__class__ = type("Merging", (type(detector),), {"simple_test": lambda self, *args: None})
    with pytest.raises(UserError, match="Merging tests otherwise than SingleStageDetector"):
        require_supported(detector)


@pytest.mark.parametrize("model", [
    *(single_stage(head) for head in HEADS_OF_TESTS), two_stage(), two_stage("CascadeRoIHead"), sparse(masks=True),
    {"type": "FasterRCNN"}, {"type": "NoDetector", "bbox_head": {"type": "SOLOHead"}},
    {"type": "SingleStageDetector", "bbox_head": {"type": "NoHead"}, "neck": {"type": "NoNeck"}}])
def test_names_that_are_supported_or_unknown_are_left_to_building(model):
    require_known(model)


@pytest.mark.parametrize(("model", "told"), [
    ({"type": "SOLO", "bbox_head": None, "mask_head": {"type": "DecoupledSOLOHead"}}, "DecoupledSOLOHead"),
    ({"type": "MaskFormer", "panoptic_head": {"type": "Mask2FormerHead"}}, "Mask2FormerHead"),
    ({"type": "SCNet", "rpn_head": {"type": "RPNHead"}, "roi_head": {"type": "SCNetRoIHead"}}, "SCNetRoIHead"),
    ({"type": "RPN", "rpn_head": {"type": "RPNHead"}}, "RPN"),
    ({"type": "FastRCNN", "roi_head": {"type": "StandardRoIHead"}}, "FastRCNN"),
    ({"type": "PanopticFPN", "rpn_head": {"type": "RPNHead"}, "roi_head": {"type": "StandardRoIHead"}},
     "TwoStagePanopticSegmentor tests otherwise"),
    ({"type": "CascadeRCNN", "neck": [{"type": "FPN"}, {"type": "RFP"}], "rpn_head": {"type": "RPNHead"},
      "roi_head": {"type": "CascadeRoIHead"}}, "RFP")])
def test_names_alone_refuse_a_detector_before_it_is_built(model, told, monkeypatch):
    monkeypatch.setattr("core.detectors.building.build_detector", lambda config: pytest.fail("built"))
    with pytest.raises(UserError, match=told):
        check_detector(SimpleNamespace(model=model))


@pytest.mark.parametrize(("change", "told"), [
    ({"neck.norm_cfg": {"type": "BN"}}, None),
    ({"bbox_head.conv_cfg": {"type": "DCNv2", "deform_groups": 1}}, None),
    ({"neck": {"type": "FPN_CARAFE", "in_channels": [16, 32, 64, 128], "out_channels": 32, "num_outs": 5,
               "start_level": 0}}, None),
    ({"bbox_head.bbox_coder.type": "LegacyDeltaXYWHBBoxCoder"}, "LegacyDeltaXYWHBBoxCoder"),
    ({"bbox_head.loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False}}, None)])
def test_parts_that_the_graph_does_not_have_are_refused(change, told):
    model = single_stage("RetinaHead")
    for path, value in change.items():
        *sections, key = path.split(".")
        section = model
        for name in sections:
            section = section[name]
        section[key] = value
    detector = build(model)
    if told is None:
        require_supported(detector)
    else:
        with pytest.raises(UserError, match=told):
            require_supported(detector)


def test_a_factor_times_a_softmax_is_refused():
    model = single_stage("ATSSHead")
    model["bbox_head"]["loss_cls"] = {"type": "CrossEntropyLoss", "use_sigmoid": False}
    with pytest.raises(UserError, match="use_sigmoid=True"):
        require_supported(build(model))


@pytest.mark.parametrize("head", ["FoveaHead", "GFLHead", "LADHead", "LDHead", "PAAHead", "TOODHead", "VFNetHead"])
def test_a_softmax_is_refused_where_mmdetection_tests_by_a_sigmoid(head):
    detector = build(single_stage(head))
    require_supported(detector)
    detector.bbox_head.use_sigmoid_cls = False
    with pytest.raises(UserError, match=f"{head} from a sigmoid"):
        require_supported(detector)


def test_another_coder_of_guided_anchors_is_refused():
    model = single_stage("GARetinaHead")
    model["bbox_head"]["anchor_coder"] = {"type": "LegacyDeltaXYWHBBoxCoder"}
    with pytest.raises(UserError, match="LegacyDeltaXYWHBBoxCoder as anchor_coder"):
        require_supported(build(model))


@pytest.mark.parametrize("model", [two_stage, sparse])
def test_parts_of_two_stages_that_the_graph_does_not_have_are_refused(model):
    model = model()
    heads = model["roi_head"]["bbox_head"]
    for head in heads if isinstance(heads, list) else [heads]:
        head["bbox_coder"] = {"type": "LegacyDeltaXYWHBBoxCoder"}
    with pytest.raises(UserError, match="LegacyDeltaXYWHBBoxCoder"):
        require_supported(build(model))


@pytest.mark.parametrize("part", ["bbox_roi_extractor", "mask_roi_extractor"])
@pytest.mark.parametrize(("change", "told"), [
    ({"type": "RoIPool", "sampling_ratio": None}, "it is RoIPool"), ({"pool_mode": "max"}, "pool_mode='avg'"),
    ({"use_torchvision": True}, "use_torchvision=False")])
@pytest.mark.parametrize("model", [two_stage, sparse])
def test_regions_that_are_read_otherwise_are_refused(model, part, change, told):
    model = model(masks=True)
    layer = model["roi_head"][part]["roi_layer"]
    layer.update(change)
    model["roi_head"][part]["roi_layer"] = {key: value for key, value in layer.items() if value is not None}
    with pytest.raises(UserError, match=told):
        require_supported(build(model))


def _other_box_head(roi_head, kind="Shared2FCBBoxHead", **changes):
    """Return a two-stage model with box heads of another class, or of other arguments."""
    model, other = two_stage(roi_head), two_stage(box_head=kind)["roi_head"]["bbox_head"]
    heads = model["roi_head"]["bbox_head"]
    model["roi_head"]["bbox_head"] = [{**other, **changes} for _ in heads] if isinstance(heads, list) else {
        **other, **changes}
    return model


SEESAW = dict(cls_predictor_cfg=dict(type="NormedLinear", tempearture=20),
              loss_cls=dict(type="SeesawLoss", p=0.8, q=2.0, num_classes=4))


@pytest.mark.parametrize(("model", "told"), [
    (_other_box_head("DoubleHeadRoIHead"), "belong together"),
    (_other_box_head("StandardRoIHead", "DoubleConvFCBBoxHead"), "belong together"),
    (_other_box_head("CascadeRoIHead", with_reg=False), "with_reg=False"),
    (_other_box_head("HybridTaskCascadeRoIHead", "SABLHead"), "as bbox_head, and it is SABLHead"),
    (_other_box_head("HybridTaskCascadeRoIHead", **SEESAW), "reg_class_agnostic=True")])
def test_box_heads_with_which_mmdetection_itself_fails_at_the_first_image_are_refused(model, told):
    with pytest.raises(UserError, match=told):
        require_supported(build(model))


def test_box_heads_of_one_box_with_an_activation_of_their_own_are_of_htc():
    assert require_supported(build(_other_box_head("HybridTaskCascadeRoIHead", reg_class_agnostic=True, **SEESAW)))


def test_a_second_stage_without_boxes_is_refused():
    model = two_stage()
    del model["roi_head"]["bbox_head"]
    with pytest.raises(UserError, match="StandardRoIHead has no bbox_head"):
        require_supported(build(model))


def test_a_head_in_a_detector_that_does_not_test_by_it_is_refused():
    model = {**sparse(), "type": "FasterRCNN"}
    with pytest.raises(UserError, match="tests otherwise than SparseRCNN"):
        require_known(model)


def test_a_refused_detector_is_refused_before_any_layer_is_traced(monkeypatch):
    import nncf
    assert nncf
    from core.compression.layers import inspect_layers

    monkeypatch.setattr("core.compression.layers._trace", lambda *arguments: pytest.fail("traced"))
    model = single_stage("RetinaHead")
    model["bbox_head"].update(type="AscendRetinaHead")
    with pytest.raises(UserError) as caught:
        inspect_layers(build(model), {"input_info": {"sample_size": [1, 3, 64, 64]}})
    assert (caught.value.thing, caught.value.value) == ("detector", "AscendRetinaHead")
    assert "RetinaNet" in caught.value.hint


REPLACED = [*LAYERS, *dict.fromkeys(patch for family in families() for patch in family.patches)]
REPLACED = [patch for patch in REPLACED if patch.function]


# A head of which each patched module is a part.
WHOLE = {"FeatureAdaption": "GARetinaHead", "FeatureAlign": "FoveaHead", "ModulatedDeformConv2dPack": "NASFCOSHead",
         "DeformableDetrTransformerDecoder": "DeformableDETRHead", "SpatialReductionAttention": "RetinaHead",
         "DropPath": "RetinaHead"}
PVT = dict(type="PyramidVisionTransformerV2", embed_dims=16, num_layers=[1] * 4, num_heads=[1, 2, 4, 8])


@pytest.mark.parametrize("training", [False, True], ids=["testing", "training"])
@pytest.mark.parametrize("patch", REPLACED, ids=lambda patch: f"{patch.owner}.{patch.method}")
def test_what_takes_a_methods_place_computes_the_same(patch, training):
    models = {"SABLHead": lambda: two_stage(box_head="SABLHead"), "DynamicConv": lambda: sparse(masks=True)}
    model = models.get(patch.owner, lambda: single_stage(WHOLE.get(patch.owner, patch.owner)))()
    if model.get("bbox_head", {}).get("type") == "FoveaHead":
        model["bbox_head"]["with_deform"] = True
    if patch.owner in ("SpatialReductionAttention", "DropPath"):
        model["backbone"] = {**PVT, "drop_path_rate": 0.5 if patch.owner == "DropPath" else 0.0}
    detector = build(model)
    detector.train(training)
    # In testing that head leaves out places in which nothing is worth a look.
    if patch.owner == "GARetinaHead":
        detector.bbox_head.loc_filter_thr = 0.0
    forward, image = find_adapter(detector).traced_forward(detector, False), picture()
    with torch.no_grad():
        torch.manual_seed(0)
        expected = list(tensors(forward(image)))
        replaced = [module for module in detector.modules()
                    if patch.owner in {kind.__name__ for kind in type(module).__mro__}]
        *path, name = patch.method.split(".")
        for module in replaced:
            object.__setattr__(functools.reduce(getattr, path, module), name, functools.partial(patch.function, module))
        torch.manual_seed(0)
        found = list(tensors(forward(image)))
    assert replaced
    assert all(torch.equal(first, second) for first, second in zip(expected, found, strict=True))


def test_the_backbone_has_no_say():
    assert require_supported(build({**single_stage("RetinaHead"), "backbone": {**BACKBONE, "depth": 34}}))


def test_a_first_stage_without_a_coder_is_refused_by_name():
    from core.detectors.families.faster_rcnn import FAMILY

    class CascadeRPNHead:
        pass

    roi_head = SimpleNamespace(bbox_head=None, bbox_roi_extractor=None, with_mask=False)
    problem = FAMILY.problem(SimpleNamespace(rpn_head=CascadeRPNHead(), roi_head=roi_head))
    assert "RPNHead as rpn_head, and it is CascadeRPNHead" in problem
