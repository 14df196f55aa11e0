# YOLOv3 with DarkNet53 at 608x608.
_base_ = '../_base_/models/yolov3.py'

model = dict(
    backbone=dict(type='Darknet', depth=53, out_indices=(3, 4, 5)),
    neck=dict(in_channels=[1024, 512, 256], out_channels=[512, 256, 128]),
    bbox_head=dict(in_channels=[512, 256, 128], out_channels=[1024, 512, 256]))

img_norm_cfg = dict(mean=[0, 0, 0], std=[255., 255., 255.], to_rgb=True)
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Expand', mean=[0, 0, 0], to_rgb=True, ratio_range=(1, 2)),
    dict(type='MinIoURandomCrop', min_ious=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9), min_crop_size=0.3),
    dict(type='Resize', img_scale=[(320, 320), (608, 608)], keep_ratio=True),
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
        img_scale=(608, 608),
        flip=False,
        transforms=[
            dict(type='Resize', keep_ratio=True),
            dict(type='Normalize', **img_norm_cfg),
            dict(type='Pad', size=(608, 608)),
            dict(type='ImageToTensor', keys=['img']),
            dict(type='Collect', keys=['img']),
        ]),
]
data = dict(
    samples_per_gpu=8,
    workers_per_gpu=4,
    train=dict(type='CocoDataset', pipeline=train_pipeline),
    val=dict(type='CocoDataset', pipeline=test_pipeline),
    test=dict(type='CocoDataset', pipeline=test_pipeline))

# For one device and eight images a step.
optimizer = dict(type='SGD', lr=0.000125, momentum=0.9, weight_decay=0.0005)
lr_config = dict(policy='step', warmup='linear', warmup_iters=2000, warmup_ratio=0.1, step=[218, 246])
runner = dict(type='EpochBasedRunner', max_epochs=273)
evaluation = dict(interval=5)
log_config = dict(interval=50)
