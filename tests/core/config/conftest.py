"""Small configs, written where a test wants them."""

from collections.abc import Callable
from pathlib import Path

import pytest

DETECTOR = """
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', img_scale=(320, 240), keep_ratio=True),
    dict(type='Normalize', **img_norm_cfg),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(320, 240), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True),
        dict(type='RandomFlip'),
        dict(type='Normalize', **img_norm_cfg),
        dict(type='Pad', size_divisor=32),
        dict(type='ImageToTensor', keys=['img']),
        dict(type='Collect', keys=['img']),
    ])]
data = dict(
    samples_per_gpu=8,
    train=dict(type='CocoDataset', ann_file='train.json', pipeline=train_pipeline),
    val=dict(type='CocoDataset', ann_file='val.json', pipeline=test_pipeline),
    test=dict(type='CocoDataset', ann_file='test.json', pipeline=test_pipeline))
"""
MODEL = """
model = dict(
    type='RetinaNet',
    backbone=dict(type='ResNet', depth=18, out_indices=(0, 1, 2, 3)),
    bbox_head=dict(type='RetinaHead', num_classes=80, loss_cls=dict(type='FocalLoss', gamma=2.0)))
"""
SCHEDULE = """
optimizer = dict(type='SGD', lr=0.01, momentum=0.9)
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='step', step=[8, 11])
runner = dict(type='EpochBasedRunner', max_epochs=12)
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write files given as name=text below a folder ``configs``; return the path of the first."""

    def write_files(**files: str) -> Path:
        return write_named({name.replace("__", "/") + ".py": text for name, text in files.items()})

    def write_named(files: dict[str, str]) -> Path:
        paths = [tmp_path / "configs" / name for name in files]
        for path, text in zip(paths, files.values()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return paths[0]

    write_files.named = write_named
    return write_files


@pytest.fixture
def detector(write: Callable[..., Path]) -> Path:
    """A complete config in one file."""
    return write(detector=DETECTOR + MODEL + SCHEDULE)
