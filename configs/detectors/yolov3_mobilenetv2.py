# YOLOv3 with MobileNetV2 at 416x416.
_base_ = ['../_base_/models/yolov3.py', '../_base_/data/steps.py']

model = dict(
    backbone=dict(type='MobileNetV2', out_indices=(2, 4, 6), act_cfg=dict(type='LeakyReLU', negative_slope=0.1)),
    neck=dict(in_channels=[320, 96, 32], out_channels=[96, 96, 96]),
    bbox_head=dict(in_channels=[96, 96, 96], out_channels=[96, 96, 96]))

normalize = dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [
    {{_base_.steps.load}},
    {{_base_.steps.boxes}},
    dict(type='Expand', mean=[123.675, 116.28, 103.53], to_rgb=True, ratio_range=(1, 2)),
    {{_base_.steps.gentle_crop}},
    dict(type='Resize', img_scale=[(320, 320), (416, 416)], multiscale_mode='range', keep_ratio=True),
    {{_base_.steps.flip}},
    dict(type='PhotoMetricDistortion'),
    normalize,
    {{_base_.steps.pad}},
    {{_base_.steps.bundle}},
    {{_base_.steps.collect}},
]
# Padded to the square, not only to a multiple of 32: the exported network has a fixed input.
test_transforms = [
    {{_base_.steps.fit}}, normalize, dict(type='Pad', size=(416, 416)), {{_base_.steps.tensor}},
    {{_base_.steps.collect_image}}]
test_pipeline = [
    {{_base_.steps.load}},
    dict(type='MultiScaleFlipAug', img_scale=(416, 416), flip=False, transforms=test_transforms),
]
data = dict(
    samples_per_gpu=24,
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline))

# For one device and 24 images a step. The 300 epochs stand for MMDetection's 30 passes over ten repeats.
optimizer = dict(type='SGD', lr=0.000375, momentum=0.9, weight_decay=0.0005)
lr_config = dict(policy='step', warmup='linear', warmup_iters=4000, warmup_ratio=0.0001, step=[240, 280])
runner = dict(type='EpochBasedRunner', max_epochs=300)
evaluation = dict(interval=10)
log_config = dict(interval=50)
