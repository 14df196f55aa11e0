# YOLOv3 with MobileNetV2 at 416x416.
_base_ = '../_base_/models/yolov3.py'

model = dict(
    backbone=dict(type='MobileNetV2', out_indices=(2, 4, 6), act_cfg=dict(type='LeakyReLU', negative_slope=0.1)),
    neck=dict(in_channels=[320, 96, 32], out_channels=[96, 96, 96]),
    bbox_head=dict(in_channels=[96, 96, 96], out_channels=[96, 96, 96]))

img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Expand', mean=[123.675, 116.28, 103.53], to_rgb=True, ratio_range=(1, 2)),
    dict(type='MinIoURandomCrop', min_ious=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9), min_crop_size=0.3),
    dict(type='Resize', img_scale=[(320, 320), (416, 416)], multiscale_mode='range', keep_ratio=True),
    dict(type='RandomFlip', flip_ratio=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='Pad', size_divisor=32),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels']),
]
# Padded to the square, not only to a multiple of 32: the exported network has a fixed input.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='MultiScaleFlipAug',
        img_scale=(416, 416),
        flip=False,
        transforms=[
            dict(type='Resize', keep_ratio=True),
            dict(type='Normalize', **img_norm_cfg),
            dict(type='Pad', size=(416, 416)),
            dict(type='ImageToTensor', keys=['img']),
            dict(type='Collect', keys=['img']),
        ]),
]
data = dict(
    samples_per_gpu=24,
    workers_per_gpu=4,
    train=dict(type='CocoDataset', pipeline=train_pipeline),
    val=dict(type='CocoDataset', pipeline=test_pipeline),
    test=dict(type='CocoDataset', pipeline=test_pipeline))

# For one device and 24 images a step. The 300 epochs stand for MMDetection's 30 passes over ten repeats.
optimizer = dict(type='SGD', lr=0.000375, momentum=0.9, weight_decay=0.0005)
lr_config = dict(policy='step', warmup='linear', warmup_iters=4000, warmup_ratio=0.0001, step=[240, 280])
runner = dict(type='EpochBasedRunner', max_epochs=300)
evaluation = dict(interval=10)
log_config = dict(interval=50)
