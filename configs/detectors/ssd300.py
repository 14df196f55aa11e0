# SSD300 with VGG16.
_base_ = ['../_base_/models/ssd.py', '../_base_/data/steps.py']

model = dict(
    backbone=dict(
        type='SSDVGG',
        depth=16,
        with_last_pool=False,
        ceil_mode=True,
        out_indices=(3, 4),
        out_feature_indices=(22, 34)),
    neck=dict(
        in_channels=(512, 1024),
        out_channels=(512, 1024, 512, 256, 256, 256),
        level_strides=(2, 2, 1, 1),
        level_paddings=(1, 1, 0, 0),
        l2_norm_scale=20),
    bbox_head=dict(
        in_channels=(512, 1024, 512, 256, 256, 256),
        anchor_generator=dict(
            type='SSDAnchorGenerator',
            scale_major=False,
            input_size=300,
            basesize_ratio_range=(0.15, 0.9),
            strides=[8, 16, 32, 64, 100, 300],
            ratios=[[2], [2, 3], [2, 3], [2, 3], [2], [2]])))

normalize = dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[1, 1, 1], to_rgb=True)
train_pipeline = [
    {{_base_.steps.load}},
    {{_base_.steps.boxes}},
    {{_base_.steps.expand}},
    {{_base_.steps.crop}},
    dict(type='Resize', img_scale=(300, 300), keep_ratio=False),
    {{_base_.steps.flip}},
    {{_base_.steps.distort}},
    normalize,
    {{_base_.steps.bundle}},
    {{_base_.steps.collect}},
]
test_transforms = [
    {{_base_.steps.stretch}}, normalize, {{_base_.steps.tensor}}, {{_base_.steps.collect_image}}]
test_pipeline = [
    {{_base_.steps.load}},
    dict(type='MultiScaleFlipAug', img_scale=(300, 300), flip=False, transforms=test_transforms),
]
data = dict(
    workers_per_gpu=3,
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline))

# For one device and eight images a step. The 120 epochs stand for MMDetection's 24 passes over five repeats.
optimizer = dict(type='SGD', lr=2.5e-4, momentum=0.9, weight_decay=5e-4)
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='step', warmup='linear', warmup_iters=500, warmup_ratio=0.001, step=[80, 110])
runner = dict(type='EpochBasedRunner', max_epochs=120)
evaluation = dict(interval=5)
log_config = dict(interval=50)
