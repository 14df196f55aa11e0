# Steps that the detectors' pipelines have in common; a config names them as {{_base_.steps.NAME}}.
steps = dict(
    load=dict(type='LoadImageFromFile'),
    boxes=dict(type='LoadAnnotations', with_bbox=True),
    expand=dict(type='Expand', mean=[123.675, 116.28, 103.53], to_rgb=True, ratio_range=(1, 4)),
    crop=dict(type='MinIoURandomCrop', min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
    gentle_crop=dict(type='MinIoURandomCrop', min_ious=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9), min_crop_size=0.3),
    flip=dict(type='RandomFlip', flip_ratio=0.5),
    distort=dict(
        type='PhotoMetricDistortion',
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18),
    pad=dict(type='Pad', size_divisor=32),
    bundle=dict(type='DefaultFormatBundle'),
    collect=dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels']),
    stretch=dict(type='Resize', keep_ratio=False),
    fit=dict(type='Resize', keep_ratio=True),
    tensor=dict(type='ImageToTensor', keys=['img']),
    collect_image=dict(type='Collect', keys=['img']))

data = dict(
    samples_per_gpu=8,
    workers_per_gpu=4,
    train=dict(type='CocoDataset'),
    val=dict(type='CocoDataset'),
    test=dict(type='CocoDataset'))
