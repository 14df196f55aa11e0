# YOLOv3 with DarkNet53 at 608x608.
_base_ = ['../_base_/models/yolov3.py', '../_base_/data/steps.py']

model = dict(
    backbone=dict(type='Darknet', depth=53, out_indices=(3, 4, 5)),
    neck=dict(in_channels=[1024, 512, 256], out_channels=[512, 256, 128]),
    bbox_head=dict(in_channels=[512, 256, 128], out_channels=[1024, 512, 256]))

normalize = dict(type='Normalize', mean=[0, 0, 0], std=[255., 255., 255.], to_rgb=True)
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    {{_base_.steps.boxes}},
    dict(type='Expand', mean=[0, 0, 0], to_rgb=True, ratio_range=(1, 2)),
    {{_base_.steps.gentle_crop}},
    dict(type='Resize', img_scale=[(320, 320), (608, 608)], keep_ratio=True),
    {{_base_.steps.flip}},
    dict(type='PhotoMetricDistortion'),
    normalize,
    {{_base_.steps.pad}},
    {{_base_.steps.bundle}},
    {{_base_.steps.collect}},
]
# Padded to the square, not only to a multiple of 32: the exported network has a fixed input.
test_transforms = [
    {{_base_.steps.fit}}, normalize, dict(type='Pad', size=(608, 608)), {{_base_.steps.tensor}},
    {{_base_.steps.collect_image}}]
test_pipeline = [
    {{_base_.steps.load}},
    dict(type='MultiScaleFlipAug', img_scale=(608, 608), flip=False, transforms=test_transforms),
]
data = dict(
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline))

# For one device and eight images a step.
optimizer = dict(type='SGD', lr=0.000125, momentum=0.9, weight_decay=0.0005)
lr_config = dict(policy='step', warmup='linear', warmup_iters=2000, warmup_ratio=0.1, step=[218, 246])
runner = dict(type='EpochBasedRunner', max_epochs=273)
evaluation = dict(interval=5)
log_config = dict(interval=50)
