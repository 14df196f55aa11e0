# SSDLite with MobileNetV2 at 320x320. Its last feature map is 1x1, so batch norm needs two images a step or more.
_base_ = ['../_base_/models/ssd.py', '../_base_/data/steps.py']

model = dict(
    backbone=dict(type='MobileNetV2', out_indices=(4, 7), norm_cfg=dict(type='BN', eps=0.001, momentum=0.03),
                  init_cfg=dict(type='TruncNormal', layer='Conv2d', std=0.03)),
    neck=dict(
        in_channels=(96, 1280),
        out_channels=(96, 1280, 512, 256, 256, 128),
        level_strides=(2, 2, 2, 2),
        level_paddings=(1, 1, 1, 1),
        l2_norm_scale=None,
        use_depthwise=True,
        norm_cfg=dict(type='BN', eps=0.001, momentum=0.03),
        act_cfg=dict(type='ReLU6'),
        init_cfg=dict(type='TruncNormal', layer='Conv2d', std=0.03)),
    bbox_head=dict(
        in_channels=(96, 1280, 512, 256, 256, 128),
        use_depthwise=True,
        norm_cfg=dict(type='BN', eps=0.001, momentum=0.03),
        act_cfg=dict(type='ReLU6'),
        init_cfg=dict(type='Normal', layer='Conv2d', std=0.001),
        anchor_generator=dict(
            type='SSDAnchorGenerator',
            scale_major=False,
            strides=[16, 32, 64, 107, 160, 320],
            ratios=[[2, 3], [2, 3], [2, 3], [2, 3], [2, 3], [2, 3]],
            min_sizes=[48, 100, 150, 202, 253, 304],
            max_sizes=[100, 150, 202, 253, 304, 320])))

normalize = dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [
    {{_base_.steps.load}},
    {{_base_.steps.boxes}},
    {{_base_.steps.expand}},
    {{_base_.steps.crop}},
    dict(type='Resize', img_scale=(320, 320), keep_ratio=False),
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
    dict(type='MultiScaleFlipAug', img_scale=(320, 320), flip=False, transforms=test_transforms),
]
data = dict(
    samples_per_gpu=24,
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline))

# For one device and 24 images a step. The 600 epochs stand for MMDetection's 120 passes over five repeats.
optimizer = dict(type='SGD', lr=0.001875, momentum=0.9, weight_decay=4.0e-5)
optimizer_config = dict(grad_clip=None)
lr_config = dict(policy='CosineAnnealing', warmup='linear', warmup_iters=500, warmup_ratio=0.001, min_lr=0)
runner = dict(type='EpochBasedRunner', max_epochs=600)
evaluation = dict(interval=25)
log_config = dict(interval=50)
