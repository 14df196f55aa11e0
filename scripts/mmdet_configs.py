"""MMDetection's own configs, one of each folder, cut down so that a walk on random weights takes a minute."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.trial_configs import BATCH, PROPOSALS, shorten_compression

CLASSES = ("cell", "digit", "ship", "tree")
SIZE = (128, 160)
NARROW, SHALLOW = "base_channels=16", "depth=18"
ALGORITHMS = ("int8", "pruning", "int8_pruning")
_BATCH_NORM = dict(batchnorm_adaptation=dict(num_bn_adaptation_samples=BATCH))
_INT8 = dict(algorithm="quantization", initializer=dict(range=dict(num_init_samples=BATCH), **_BATCH_NORM))
_PRUNING = dict(algorithm="filter_pruning", initializer=_BATCH_NORM, pruning_init=0.05, params=dict(
    schedule="exponential", pruning_target=0.4, pruning_steps=1, filter_importance="geometric_median"))
COMPRESSION = {"int8": [_INT8], "pruning": [_PRUNING], "int8_pruning": [_PRUNING, _INT8]}
_MOST = {"fc_out_channels": 128, "stacked_convs": 2, "num_convs": 2}
"""Of hidden features and of equal layers behind one another in a head."""


@dataclass(frozen=True)
class Entry:
    """The config that stands for a folder.

    Attributes:
        config: File in the folder.
        backbone: How a ResNet is cut down: to another depth, or its width where the folder is about its blocks.
        size: Height and width of the input.
        options: Changes that the refusal of the stock config asks for, dotted key to value.
        smaller: Changes that only make the trial shorter.
        note: What is to be known of its holes.
    """

    config: str
    backbone: str = SHALLOW
    size: tuple[int, int] = SIZE
    options: Mapping[str, Any] = field(default_factory=dict)
    smaller: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


_HRNET = {f"model.backbone.extra.stage{stage}": dict(
    num_modules=1, num_branches=stage, block="BASIC" if stage > 1 else "BOTTLENECK", num_blocks=(1,) * stage,
    num_channels=tuple(16 * 2 ** branch for branch in range(stage))) for stage in (1, 2, 3, 4)}
_SWIN = {"model.backbone.embed_dims": 32, "model.backbone.depths": [2, 2, 2, 1],
         "model.backbone.num_heads": [1, 2, 4, 8]}
_SIDE_OF_YOLO = (128, 128)
CONFIGS = "{configs}"
"""In a value of ``options``: the folder of MMDetection's configs."""
_TRANSFORMER = {f"model.bbox_head.transformer.{part}.num_layers": 2 for part in ("encoder", "decoder")}
_PROPOSALS = {"model.rpn_head.num_proposals": PROPOSALS}
# CenterNet pads and flips an image in testing, which a deployed model cannot.
_PLAIN_TEST = [dict(type="LoadImageFromFile"), dict(
    type="MultiScaleFlipAug", img_scale=(512, 512), flip=False, transforms=[
    dict(type="Resize", keep_ratio=True), dict(type="RandomFlip"),
    dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    dict(type="Pad", size_divisor=32), dict(type="DefaultFormatBundle"), dict(type="Collect", keys=["img"])])]

ENTRIES: dict[str, Entry] = {
    "retinanet": Entry("retinanet_r50_fpn_1x_coco.py"),
    "faster_rcnn": Entry("faster_rcnn_r50_fpn_1x_coco.py"),
    "mask_rcnn": Entry("mask_rcnn_r50_fpn_1x_coco.py"),
    "ssd": Entry("ssd300_coco.py", size=(300, 300)),
    "yolo": Entry("yolov3_mobilenetv2_mstrain-416_300e_coco.py", size=_SIDE_OF_YOLO),
    "yolox": Entry("yolox_tiny_8x8_300e_coco.py", size=_SIDE_OF_YOLO, note="Layer by layer PyTorch and the IR differ "
                   "by 0.6 % in the first stage and by 8 % before the last layers, with the runtime's 8-bit kernels "
                   "and without them: sixty layers of random weights amplify each rounding, and of every place YOLOX "
                   "keeps the best class alone."),
    "cascade_rcnn": Entry("cascade_mask_rcnn_r50_fpn_1x_coco.py"),
    "atss": Entry("atss_r50_fpn_1x_coco.py"),
    "fcos": Entry("fcos_r50_caffe_fpn_gn-head_1x_coco.py"),
    "gfl": Entry("gfl_r50_fpn_1x_coco.py"),
    "swin": Entry("mask_rcnn_swin-t-p4-w7_fpn_1x_coco.py", smaller=_SWIN),
    "pvt": Entry("retinanet_pvtv2-b0_fpn_1x_coco.py", smaller={"model.backbone.num_layers": [1, 1, 1, 1]}),
    "hrnet": Entry("faster_rcnn_hrnetv2p_w18_1x_coco.py", smaller=_HRNET),
    "res2net": Entry("faster_rcnn_r2_101_fpn_2x_coco.py", smaller={"model.backbone.depth": 50}),
    "resnest": Entry("faster_rcnn_s50_fpn_syncbn-backbone+head_mstrain-range_1x_coco.py"),
    "regnet": Entry("retinanet_regnetx-800MF_fpn_1x_coco.py", smaller={"model.backbone.arch": "regnetx_400mf"}),
    "efficientnet": Entry("retinanet_effb3_fpn_crop896_8x4_1x_coco.py", size=(128, 128),
                          smaller={"model.backbone.arch": "b0"}),
    "convnext": Entry("mask_rcnn_convnext-t_p4_w7_fpn_fp16_ms-crop_3x_coco.py"),
    "pafpn": Entry("faster_rcnn_r50_pafpn_1x_coco.py"),
    "nas_fpn": Entry("retinanet_r50_nasfpn_crop640_50e_coco.py", size=(128, 128)),
    "foveabox": Entry("fovea_r50_fpn_4x4_1x_coco.py"),
    "fsaf": Entry("fsaf_r50_fpn_1x_coco.py"),
    "autoassign": Entry("autoassign_r50_fpn_8x2_1x_coco.py"),
    # The coarsest level must hold a deformable kernel of three.
    "ddod": Entry("ddod_r50_fpn_1x_coco.py", size=(384, 384)),
    "yolof": Entry("yolof_r50_c5_8x8_1x_coco.py"),
    "free_anchor": Entry("retinanet_free_anchor_r50_fpn_1x_coco.py"),
    "dynamic_rcnn": Entry("dynamic_rcnn_r50_fpn_1x_coco.py"),
    "libra_rcnn": Entry("libra_faster_rcnn_r50_fpn_1x_coco.py"),
    "ghm": Entry("retinanet_ghm_r50_fpn_1x_coco.py"),
    "pisa": Entry("pisa_retinanet_r50_fpn_1x_coco.py"),
    "pascal_voc": Entry("ssd512_voc0712.py", size=(512, 512)),
    "cityscapes": Entry("faster_rcnn_r50_fpn_1x_cityscapes.py"),
    "deepfashion": Entry("mask_rcnn_r50_fpn_15e_deepfashion.py"),
    "wider_face": Entry("ssd300_wider_face.py", size=(300, 300), options={"data.train.dataset.min_size": None}),
    "openimages": Entry("retinanet_r50_fpn_32x2_1x_openimages.py"),
    "objects365": Entry("retinanet_r50_fpn_1x_obj365v1.py"),
    "lvis": Entry("mask_rcnn_r50_fpn_sample1e-3_mstrain_1x_lvis_v1.py"),
    "gn": Entry("mask_rcnn_r50_fpn_gn-all_2x_coco.py"),
    "gn+ws": Entry("faster_rcnn_r50_fpn_gn_ws-all_1x_coco.py"),
    "gcnet": Entry("mask_rcnn_r50_fpn_r16_gcb_c3-c5_1x_coco.py", NARROW),
    "empirical_attention": Entry("faster_rcnn_r50_fpn_attention_1111_1x_coco.py", NARROW),
    "resnet_strikes_back": Entry("retinanet_r50_fpn_rsb-pretrain_1x_coco.py"),
    "selfsup_pretrain": Entry("mask_rcnn_r50_fpn_mocov2-pretrain_1x_coco.py"),
    "scratch": Entry("faster_rcnn_r50_fpn_gn-all_scratch_6x_coco.py"),
    "strong_baselines": Entry("mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_lsj_100e_coco.py", size=(128, 128)),
    "simple_copy_paste": Entry("mask_rcnn_r50_fpn_syncbn-all_rpn-2conv_ssj_scp_32x2_270k_coco.py", size=(128, 128)),
    "instaboost": Entry("mask_rcnn_r50_fpn_instaboost_4x_coco.py"),
    "albu_example": Entry("mask_rcnn_r50_fpn_albu_1x_coco.py"),
    "legacy_1.x": Entry("retinanet_r50_fpn_1x_coco_v1.py"),
    "fpg": Entry("retinanet_r50_fpg_crop640_50e_coco.py", size=(128, 128)),
    "vfnet": Entry("vfnet_r50_fpn_1x_coco.py"),
    "tood": Entry("tood_r50_fpn_1x_coco.py"),
    "paa": Entry("paa_r50_fpn_1x_coco.py"),
    "dyhead": Entry("atss_r50_fpn_dyhead_1x_coco.py", smaller={"model.neck.1.num_blocks": 2}),
    "reppoints": Entry("reppoints_moment_r50_fpn_1x_coco.py"),
    "centernet": Entry("centernet_resnet18_140e_coco.py", size=(128, 128), options={
        "data.val.pipeline": _PLAIN_TEST, "data.test.pipeline": _PLAIN_TEST}),
    "sabl": Entry("sabl_retinanet_r50_fpn_1x_coco.py"),
    "double_heads": Entry("dh_faster_rcnn_r50_fpn_1x_coco.py"),
    "grid_rcnn": Entry("grid_rcnn_r50_fpn_gn-head_2x_coco.py"),
    "htc": Entry("htc_without_semantic_r50_fpn_1x_coco.py"),
    "ms_rcnn": Entry("ms_rcnn_r50_fpn_1x_coco.py"),
    "solo": Entry("solo_r50_fpn_1x_coco.py"),
    "solov2": Entry("solov2_r50_fpn_1x_coco.py"),
    "yolact": Entry("yolact_r50_1x8_coco.py", size=(160, 160)),
    "point_rend": Entry("point_rend_r50_caffe_fpn_mstrain_1x_coco.py"),
    "detr": Entry("detr_r50_8x2_150e_coco.py", smaller=_TRANSFORMER),
    "deformable_detr": Entry("deformable_detr_r50_16x2_50e_coco.py", smaller=_TRANSFORMER),
    "sparse_rcnn": Entry("sparse_rcnn_r50_fpn_1x_coco.py", smaller=_PROPOSALS),
    "dcn": Entry("faster_rcnn_r50_fpn_dconv_c3-c5_1x_coco.py", NARROW),
    "dcnv2": Entry("faster_rcnn_r50_fpn_mdconv_c3-c5_1x_coco.py", NARROW),
    # Its images are padded to multiples of 64.
    "carafe": Entry("faster_rcnn_r50_fpn_carafe_1x_coco.py", size=(128, 128)),
    "groie": Entry("faster_rcnn_r50_fpn_groie_1x_coco.py"),
    "guided_anchoring": Entry("ga_retinanet_r50_fpn_1x_coco.py"),
    "cascade_rpn": Entry("crpn_faster_rcnn_r50_caffe_fpn_1x_coco.py"),
    "seesaw_loss": Entry("mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1.py"),
    "ld": Entry("ld_r18_gflv1_r101_fpn_coco_1x.py", options={
        "model.teacher_config": f"{CONFIGS}/gfl/gfl_r101_fpn_mstrain_2x_coco.py", "model.teacher_ckpt": None}),
    "lad": Entry("lad_r50_paa_r101_fpn_coco_1x.py", options={"model.teacher_ckpt": None}),
    "nas_fcos": Entry("nas_fcos_fcoshead_r50_caffe_fpn_gn-head_4x4_1x_coco.py"),
    "tridentnet": Entry("tridentnet_r50_caffe_1x_coco.py", NARROW),
    "detectors": Entry("detectors_cascade_rcnn_r50_1x_coco.py", NARROW, smaller={
        "model.neck.rfp_backbone.base_channels": 16}),
    "queryinst": Entry("queryinst_r50_fpn_1x_coco.py", smaller=_PROPOSALS),
    "scnet": Entry("scnet_r50_fpn_1x_coco.py"),
    "rpn": Entry("rpn_r50_fpn_1x_coco.py"),
    "fast_rcnn": Entry("fast_rcnn_r50_fpn_1x_coco.py"),
    "cornernet": Entry("cornernet_hourglass104_mstest_8x6_210e_coco.py"),
    "centripetalnet": Entry("centripetalnet_hourglass104_mstest_16x6_210e_coco.py"),
    "panoptic_fpn": Entry("panoptic_fpn_r50_fpn_1x_coco.py"),
    "maskformer": Entry("maskformer_r50_mstrain_16x1_75e_coco.py"),
    "mask2former": Entry("mask2former_r50_lsj_8x2_50e_coco.py"),
    "rfnext": Entry("rfnext_fixed_single_branch_cascade_mask_rcnn_hrnetv2p_w18_20e_coco.py"),
    "timm_example": Entry("retinanet_timm_efficientnet_b1_fpn_1x_coco.py"),
    "common": Entry("mstrain_3x_coco.py"),
}
"""Every folder but ``_base_``, what people deploy first."""


def mmdetection_configs() -> Path:
    """Return the folder of MMDetection's configs within its installed package."""
    import mmdet

    return Path(mmdet.__file__).parent / ".mim" / "configs"


def stock_config(folder: str) -> Any:
    """Return the mmcv Config that stands for a folder, with the changes that its refusal asks for.

    Raises:
        UserError: As ``load_config``.
    """
    from core.config.loading import load_config

    configs = mmdetection_configs()
    options = {key: value.replace(CONFIGS, str(configs)) if isinstance(value, str) else value
               for key, value in ENTRIES[folder].options.items()}
    return load_config(configs / folder / ENTRIES[folder].config, options)


def small_config(folder: str, algorithm: str) -> Any:
    """Return the same config, cut down, with an ``nncf_config``.

    Backbone, classes, input, proposals and rows of equal layers become smaller; necks and heads keep their form.
    """
    from core.config.adapt import set_classes
    from core.training.sync_bn import replace_sync_bn

    config, entry = stock_config(folder), ENTRIES[folder]
    config.merge_from_dict(entry.smaller)
    config.nncf_config = dict(input_info=dict(sample_size=[1, 3, *entry.size]), compression=COMPRESSION[algorithm])
    config.load_from = config.resume_from = None
    set_classes(config, CLASSES)
    replace_sync_bn(config)
    _shrink_backbone(config.model.backbone, entry.backbone)
    _fit_neck(config)
    _shrink_heads(config.model)
    _set_size(config, *entry.size)
    shorten_compression(config, BATCH)
    return config


def _shrink_backbone(backbone: Any, how: str) -> None:
    if "frozen_stages" in backbone:
        # Nothing is pretrained here, and all weights are to be trained.
        backbone.frozen_stages = 0 if backbone.type == "EfficientNet" else -1
    if backbone.type in ("ResNet", "ResNetV1d"):
        key, _, value = how.partition("=")
        backbone[key] = int(value)
    elif how == NARROW:
        backbone.base_channels = 16


def _fit_neck(config: Any) -> None:
    """Tell what reads the backbone how wide its outputs are."""
    import torch
    from mmdet.models import build_backbone

    from core.detectors.building import building

    model = config.model
    if model.backbone.type in ("SSDVGG", "MobileNetV2", "Darknet", "CSPDarknet", "HourglassNet"):
        return
    with building("backbone"), torch.no_grad():
        outputs = build_backbone(model.backbone)(torch.zeros(2, 3, 128, 128))
    # A recursive pyramid gets the image, too, which is the first.
    widths = [output.shape[1] for output in outputs][bool(model.backbone.get("output_img")):]
    neck = model.get("neck")
    reader = (neck[0] if isinstance(neck, (list, tuple)) else neck) or model.get("bbox_head") or {}
    for key in ("in_channels", "in_channel"):
        if key in reader:
            reader[key] = widths if isinstance(reader[key], (list, tuple)) else widths[-1]


def _shrink_heads(model: Any) -> None:
    for section in _sections([model.get(name) for name in ("roi_head", "bbox_head")]):
        for key, most in _MOST.items():
            if isinstance(section.get(key), int):
                section[key] = min(section[key], most)
        if section.get("type") == "FCNMaskHead":
            # Run for each of a hundred boxes, its layers are most of a walk.
            section.conv_out_channels = 64
    test, train = model.get("test_cfg") or {}, model.get("train_cfg") or {}
    for proposals in (test.get("rpn"), train.get("rpn_proposal")):
        if proposals:
            proposals.update(nms_pre=4 * PROPOSALS, max_per_img=PROPOSALS)
    for part in _sections(train.get("rcnn")):
        if "num" in part:
            part.num = PROPOSALS


def _sections(node: Any) -> Iterator[Any]:
    if isinstance(node, Mapping):
        yield node
    inner = node.values() if isinstance(node, Mapping) else node if isinstance(node, (list, tuple)) else ()
    yield from itertools.chain.from_iterable(_sections(item) for item in inner)


def _set_size(config: Any, height: int, width: int) -> None:
    """Give every transform that has a size this one."""
    config.data.update(samples_per_gpu=BATCH, workers_per_gpu=0)
    for section in (config.data, config.data.get("train_dataloader") or {}):
        # Of workers, of which there are none.
        section.pop("persistent_workers", None)
    for step in _sections(config.data):
        kind = step.get("type")
        if "img_scale" in step:
            step["img_scale"] = (width, height)
            step.pop("multiscale_mode", None)
        if kind == "Pad" and "size" in step:
            step["size"] = (height, width)
        if kind == "RandomAffine":
            step["border"] = (-height // 2, -width // 2)
        if kind in ("RandomCrop", "RandomCenterCropPad") and step.get("crop_size") is not None:
            step["crop_size"] = (height, width)
    if config.model.type == "YOLOX":
        config.model.update(input_size=(height, width), random_size_range=(height // 32, height // 32))
