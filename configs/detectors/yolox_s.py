# YOLOX-s at 640x640. The network takes raw BGR pixels; padding is gray.
_base_ = ['../_base_/models/yolox.py', '../_base_/data/steps.py']

model = dict(
    input_size=(640, 640),
    random_size_range=(15, 25),
    backbone=dict(widen_factor=0.5),
    neck=dict(in_channels=[128, 256, 512], out_channels=128),
    bbox_head=dict(in_channels=128, feat_channels=128))

pad = dict(type='Pad', size=(640, 640), pad_val=dict(img=(114.0, 114.0, 114.0)))
train_pipeline = [
    {{_base_.steps.load}},
    {{_base_.steps.boxes}},
    dict(type='YOLOXHSVRandomAug'),
    {{_base_.steps.flip}},
    dict(type='Resize', img_scale=(640, 640), keep_ratio=True),
    pad,
    {{_base_.steps.bundle}},
    {{_base_.steps.collect}},
]
test_transforms = [{{_base_.steps.fit}}, pad, {{_base_.steps.bundle}}, {{_base_.steps.collect_image}}]
test_pipeline = [
    {{_base_.steps.load}},
    dict(type='MultiScaleFlipAug', img_scale=(640, 640), flip=False, transforms=test_transforms),
]
data = dict(
    train=dict(pipeline=train_pipeline), val=dict(pipeline=test_pipeline), test=dict(pipeline=test_pipeline))

# For one device and eight images a step.
optimizer = dict(
    type='SGD',
    lr=0.00125,
    momentum=0.9,
    weight_decay=5e-4,
    nesterov=True,
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0.))
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='CosineAnnealing', warmup='exp', warmup_by_epoch=True, warmup_iters=5, warmup_ratio=0.001,
                 min_lr_ratio=0.05)
runner = dict(type='EpochBasedRunner', max_epochs=300)
evaluation = dict(interval=10)
log_config = dict(interval=50)
