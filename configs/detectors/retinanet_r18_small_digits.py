_base_ = 'retinanet_r18_small.py'

# A digit is no longer itself when mirrored.
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', img_scale=(256, 192), keep_ratio=False),
    dict(type='RandomFlip', flip_ratio=0.0),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels']),
]
model = dict(bbox_head=dict(num_classes=10))
# Small batches: more steps in the same time teach a network that starts from random weights faster.
data = dict(samples_per_gpu=4, train=dict(pipeline=train_pipeline))
runner = dict(max_epochs=8)
evaluation = dict(interval=2)
