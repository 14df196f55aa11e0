# FCOS with a Caffe-style ResNet-50, FPN and group norm in the head.
_base_ = ['../_base_/models/resnet50_fpn.py', '../_base_/data/fpn.py', '../_base_/schedules/sgd_12_epochs.py']

model = dict(
    type='FCOS',
    backbone=dict(norm_cfg=dict(type='BN', requires_grad=False), style='caffe'),
    neck=dict(start_level=1, add_extra_convs='on_output', relu_before_extra_convs=True),
    bbox_head=dict(
        type='FCOSHead',
        num_classes=80,
        in_channels=256,
        stacked_convs=4,
        feat_channels=256,
        strides=[8, 16, 32, 64, 128],
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='IoULoss', loss_weight=1.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1),
        allowed_border=-1,
        pos_weight=-1,
        debug=False),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100))

normalize = dict(type='Normalize', mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], to_rgb=False)
train_pipeline = [
    {{_base_.steps.load}},
    {{_base_.steps.boxes}},
    dict(type='Resize', img_scale=(1088, 800), keep_ratio=False),
    {{_base_.steps.flip}},
    normalize,
    {{_base_.steps.bundle}},
    {{_base_.steps.collect}},
]
test_transforms = [
    {{_base_.steps.stretch}}, normalize, {{_base_.steps.tensor}}, {{_base_.steps.collect_image}}]
test_pipeline = [
    {{_base_.steps.load}},
    dict(type='MultiScaleFlipAug', img_scale=(1088, 800), flip=False, transforms=test_transforms),
]
data = dict(
    train=dict(pipeline=train_pipeline), val=dict(pipeline=test_pipeline), test=dict(pipeline=test_pipeline))

optimizer = dict(paramwise_cfg=dict(bias_lr_mult=2., bias_decay_mult=0.))
optimizer_config = dict(_delete_=True, grad_clip=dict(max_norm=35, norm_type=2))
lr_config = dict(warmup='constant', warmup_ratio=0.333)
