# Data of the ResNet-FPN detectors. Images are stretched to one size, a multiple of the coarsest stride that is close to
# COCO's usual 4:3: the exported network has a fixed input, so PyTorch has to see the same pixels as OpenVINO.
_base_ = 'steps.py'

normalize = dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
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
    samples_per_gpu=2,
    workers_per_gpu=2,
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline))
