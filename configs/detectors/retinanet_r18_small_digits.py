_base_ = 'retinanet_r18_small.py'

train_pipeline = [
    {{_base_.steps.load}},
    {{_base_.steps.boxes}},
    dict(type='Resize', img_scale=(192, 144), keep_ratio=False),
    # A digit is no longer itself when mirrored.
    dict(type='RandomFlip', flip_ratio=0.0),
    {{_base_.normalize}},
    {{_base_.steps.bundle}},
    {{_base_.steps.collect}},
]
test_pipeline = [
    {{_base_.steps.load}},
    dict(type='MultiScaleFlipAug', img_scale=(192, 144), flip=False, transforms={{_base_.test_transforms}}),
]
model = dict(bbox_head=dict(num_classes=10))
# Small batches: more steps in the same time teach a network that starts from random weights faster.
data = dict(
    samples_per_gpu=4,
    train=dict(pipeline=train_pipeline),
    val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline),
    val_dataloader=dict(samples_per_gpu=8),
    test_dataloader=dict(samples_per_gpu=8))
# Five epochs of scenes with up to ten digits, at this size and rate, reach what six did at 256x192 with up to six.
optimizer = dict(lr=2e-3)
runner = dict(max_epochs=5)
evaluation = dict(interval=5)
