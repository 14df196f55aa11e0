"""What NNCF may see of MMDetection's detectors, and small detectors that go the whole way."""

import importlib

import pytest
import torch
from mmdet.models import HEADS
from mmdet.models.dense_heads import RetinaHead

from core.base.errors import UserError
from core.compression.tracing import postprocessing_obstacle
from core.compression.wrap import compress_detector, fake_quantize_operators, named_quantizers
from core.config.adapt import nncf_config_of
from core.detectors.building import build_detector
from core.detectors.families.retinanet import RetinaNet
from core.detectors.graph import image_metas, untraced
from core.detectors.patches import LAYER_FUNCTIONS, LAYERS
from core.detectors.registry import families
from core.dry_run.dry_run import DryRun
from scripts.detectors import run_row
from scripts.trial_configs import CLASSES, trial_config

SMALL = (("retinanet_r18_small", "int8"), ("yolox_tiny", "int8_pruning"))
OWNERS = ("mmdet.models.dense_heads", "mmdet.models.dense_heads.base_dense_head", "mmdet.models.dense_heads.gfl_head",
          "mmdet.models.necks.ssd_neck", "mmdet.models.roi_heads",
          "mmdet.models.roi_heads.roi_extractors.base_roi_extractor", "mmdet.models.roi_heads.mask_heads", "mmcv.cnn",
          "mmcv.cnn.bricks", "mmcv.cnn.bricks.transformer", "mmcv.ops", "mmdet.models.backbones.pvt",
          "mmdet.models.dense_heads.fovea_head",
          "mmdet.models.dense_heads.guided_anchor_head", "mmdet.models.dense_heads.tood_head",
          "mmdet.models.detectors", "mmdet.models.utils.normed_predictor", "mmdet.models.utils.transformer")


@HEADS.register_module(force=True)
class HeadThatCountsBoxes(RetinaHead):
    """Its post-processing computes with traced scores, which would put quantizers where training never comes."""

    def get_bboxes(self, cls_scores, bbox_preds, *args, **kwargs):
        weighed = [(scores.sigmoid() * scores.sigmoid()).sum() for scores in cls_scores]
        assert len(weighed) == len(cls_scores)
        return super().get_bboxes(cls_scores, bbox_preds, *args, **kwargs)


@HEADS.register_module(force=True)
class HeadThatRefuses(RetinaHead):
    """Its post-processing cannot run while it is traced."""

    def get_bboxes(self, cls_scores, bbox_preds, *args, **kwargs):
        if type(cls_scores[0]) is not torch.Tensor:
            raise RuntimeError("only plain tensors are decoded here")
        return super().get_bboxes(cls_scores, bbox_preds, *args, **kwargs)


class _Batches(list):
    batch_size = 2


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Return a function that gives a small RetinaNet, its nncf_config and batches, its head of a class of choice."""
    # They decode boxes themselves, so that by rights they are of no family.
    monkeypatch.setattr(RetinaNet, "heads", (*RetinaNet.heads, "HeadThatCountsBoxes", "HeadThatRefuses"))

    def build(head="RetinaHead"):
        torch.manual_seed(0)
        config = trial_config("retinanet_r18_small", "int8")
        config.model.bbox_head.type = head
        detector = build_detector(config)
        detector.CLASSES = CLASSES
        image = torch.randn(2, 3, 64, 64)
        batch = {"img": image, "img_metas": image_metas(image)}
        return detector, {**nncf_config_of(config), "log_dir": str(tmp_path)}, _Batches([batch, batch])
    return build


PATCHES = sorted({*LAYERS, *(patch for adapter in families() for patch in adapter.patches)}, key=str)
FUNCTIONS = sorted({*LAYER_FUNCTIONS, *(function for adapter in families()
                                        for function in adapter.untraced_functions)}, key=str)


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: f"{patch.owner}.{patch.method}")
def test_every_patch_names_something_in_mmdet(patch):
    found = [getattr(importlib.import_module(name), patch.owner) for name in OWNERS
             if hasattr(importlib.import_module(name), patch.owner)]
    assert found, f"{patch.owner} is not in {', '.join(OWNERS)}"
    first = patch.method.split(".")[0]
    in_class = hasattr(found[0], first)
    # Coders, generators, assigners and samplers are made in __init__.
    assert in_class or "." in patch.method
    assert patch.reason


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_every_untraced_function_exists(function):
    assert callable(getattr(importlib.import_module(function.module), function.name))
    assert function.reason


def test_tracing_goes_on_after_an_exception_in_an_untraced_block():
    from nncf.torch.dynamic_graph.context import TracingContext

    with TracingContext() as context:
        with pytest.raises(KeyError), untraced():
            assert not context.is_tracing
            raise KeyError
        assert context.is_tracing


def test_tracing_stays_off_in_nested_untraced_blocks():
    from nncf.torch.dynamic_graph.context import TracingContext

    with TracingContext() as context, untraced():
        with untraced():
            assert not context.is_tracing
        assert not context.is_tracing


def test_postprocessing_in_the_graph_adds_quantizers_to_the_scores_only(small):
    names = {}
    for postprocessing in (False, True):
        detector, nncf_config, batches = small()
        compressed = compress_detector(detector, nncf_config, batches, postprocessing=postprocessing)
        assert compressed.postprocessing is postprocessing
        assert compressed.record().postprocessing is postprocessing
        names[postprocessing] = {name for name, _ in named_quantizers(compressed.controller)}
    added = names[True] - names[False]
    assert names[False] < names[True]
    assert added == {f"RetinaNet/RetinaHead[bbox_head]/NNCFConv2d[retina_cls]/conv2d_{level}|OUTPUT"
                     for level in range(4)}


@pytest.mark.parametrize(("head", "reason"), [("HeadThatCountsBoxes", "quantizers would lie in it"),
                                              ("HeadThatRefuses", "only plain tensors are decoded here")])
def test_untraceable_postprocessing_falls_back_with_the_reason(small, caplog, head, reason):
    detector, nncf_config, batches = small(head)
    compressed = compress_detector(detector, nncf_config, batches, postprocessing=True)
    assert compressed.postprocessing is False
    assert reason in compressed.obstacle
    assert "falls back to False for RetinaNet" in caplog.text and reason in caplog.text
    plain, nncf_config, batches = small()
    expected = compress_detector(plain, nncf_config, batches, postprocessing=False)
    assert len(named_quantizers(compressed.controller)) == len(named_quantizers(expected.controller))
    assert compressed.network.get_nncf_wrapped_model() is detector


def test_strict_turns_the_fall_back_into_an_error(small):
    detector, nncf_config, batches = small("HeadThatRefuses")
    with pytest.raises(UserError) as caught:
        compress_detector(detector, nncf_config, batches, postprocessing=True, strict=True)
    assert caught.value.thing == "nncf_compress_postprocessing"
    assert "only plain tensors" in caught.value.rule
    assert "postprocessing=False" in caught.value.hint


def test_sides_that_do_not_fit_the_strides_are_refused(tmp_path):
    config = trial_config("yolox_tiny", "int8")
    config.nncf_config.input_info.sample_size = [1, 3, 128, 100]
    with pytest.raises(UserError) as caught:
        compress_detector(build_detector(config), {**nncf_config_of(config), "log_dir": str(tmp_path)}, _Batches())
    assert caught.value.value == "[1, 3, 128, 100]"
    assert "multiples of 32" in caught.value.rule


def test_one_image_a_batch_is_refused_where_a_map_is_1x1(tmp_path):
    config = trial_config("ssdlite_mobilenetv2", "int8")
    image = torch.randn(1, 3, 160, 160)
    batches = _Batches([{"img": image, "img_metas": image_metas(image)}] * 2)
    batches.batch_size = 1
    with pytest.raises(UserError) as caught:
        compress_detector(build_detector(config), {**nncf_config_of(config), "log_dir": str(tmp_path)}, batches,
                          postprocessing=False)
    assert caught.value.thing == "data.samples_per_gpu"
    assert "samples_per_gpu=2" in caught.value.hint


def test_yolov3_is_known_to_mix_coordinates_and_scores():
    detector = build_detector(trial_config("yolov3_mobilenetv2", "int8"))
    assert "coordinates" in postprocessing_obstacle(detector)


def test_pruning_goes_through_leaky_relu():
    """All of DarkNet53's activations; NNCF 2.0.0 by itself finds nothing there that it could prune."""
    from core.compression.layers import inspect_layers

    config = trial_config("yolov3_darknet53", "pruning")
    plan = inspect_layers(build_detector(config), nncf_config_of(config)).pruning
    assert "leaky_relu" not in plan.barriers
    assert sum(group.removed for group in plan.groups) > 0.3 * sum(group.channels for group in plan.groups)


def test_detector_without_an_obstacle(small):
    assert postprocessing_obstacle(small()[0]) == ""


def test_quantizers_whose_result_is_thrown_away_are_not_expected_in_the_export():
    """YOLOv3 reads three stages of MobileNetV2, not its last layer with its weight and activation quantizers."""
    config = trial_config("yolov3_mobilenetv2", "int8")
    torch.manual_seed(0)
    image = torch.randn(2, 3, 128, 128)
    batch = {"img": image, "img_metas": image_metas(image)}
    compressed = compress_detector(build_detector(config), nncf_config_of(config), _Batches([batch, batch]))
    quantizers = named_quantizers(compressed.controller)
    shared = sum(len(info.affected_insertions) - 1 for info in compressed.controller.non_weight_quantizers.values())
    assert fake_quantize_operators(compressed) == len(quantizers) + shared - 2


@pytest.mark.detectors
@pytest.mark.parametrize(("detector", "algorithm"), SMALL)
def test_small_detectors_go_the_whole_way(detector, algorithm):
    row = run_row(detector, algorithm)
    failed = {stage: cell.seen for stage, cell in row.cells.items() if cell.outcome == "FAILED"}
    assert not failed
    assert row.cells["train step"].seen == f"{row.counts['points_with']}/{row.counts['points_with']}"
    assert row.cells["ONNX"].seen == f"{row.counts['fake_quantize_with']} FakeQuantize"


def test_pruned_channels_are_gone_and_the_heads_see_no_difference(tmp_path):
    from core.compression.tracing import tracing_forward
    from core.detectors.graph import forward_as
    from core.export.onnx import prepare_for_export

    trial = DryRun(trial_config("retinanet_r18_small", "pruning"), CLASSES, tmp_path)
    trial.build()
    trial.wrap(True)
    network, detector = trial.compression.network.eval(), trial.detector
    image = torch.randn(1, 3, 64, 64)

    def heads():
        with torch.no_grad(), forward_as(detector, tracing_forward(detector, False)):
            return [tensor.clone() for level in network(image) for tensor in level]

    before, parameters = heads(), sum(value.numel() for value in detector.parameters())
    assert prepare_for_export(trial.compression) == 0
    after = heads()
    assert all(torch.allclose(old, new, atol=1e-5) for old, new in zip(before, after))
    assert sum(value.numel() for value in detector.parameters()) < 0.8 * parameters
