# Data of the detectors that train from scratch on a CPU in minutes.
_base_ = 'steps.py'

normalize = dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [
    {{_base_.steps.load}},
    {{_base_.steps.boxes}},
    dict(type='Resize', img_scale=(256, 192), keep_ratio=False),
    {{_base_.steps.flip}},
    normalize,
    {{_base_.steps.bundle}},
    {{_base_.steps.collect}},
]
test_transforms = [
    {{_base_.steps.stretch}}, normalize, {{_base_.steps.tensor}}, {{_base_.steps.collect_image}}]
test_pipeline = [
    {{_base_.steps.load}},
    dict(type='MultiScaleFlipAug', img_scale=(256, 192), flip=False, transforms=test_transforms),
]
data = dict(
    workers_per_gpu=1,
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline))
