# YOLOX-tiny, tested at 416x416.
_base_ = 'yolox_s.py'

model = dict(
    input_size=(416, 416),
    random_size_range=(10, 16),
    backbone=dict(widen_factor=0.375),
    neck=dict(in_channels=[96, 192, 384], out_channels=96),
    bbox_head=dict(in_channels=96, feat_channels=96))

pad = dict(type='Pad', size=(416, 416), pad_val=dict(img=(114.0, 114.0, 114.0)))
train_pipeline = [
    {{_base_.steps.load}},
    {{_base_.steps.boxes}},
    dict(type='YOLOXHSVRandomAug'),
    {{_base_.steps.flip}},
    dict(type='Resize', img_scale=(416, 416), keep_ratio=True),
    pad,
    {{_base_.steps.bundle}},
    {{_base_.steps.collect}},
]
test_transforms = [{{_base_.steps.fit}}, pad, {{_base_.steps.bundle}}, {{_base_.steps.collect_image}}]
test_pipeline = [
    {{_base_.steps.load}},
    dict(type='MultiScaleFlipAug', img_scale=(416, 416), flip=False, transforms=test_transforms),
]
data = dict(
    train=dict(pipeline=train_pipeline), val=dict(pipeline=test_pipeline), test=dict(pipeline=test_pipeline))
