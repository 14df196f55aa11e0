# SSDLite that trains from scratch on BCCD in a quarter of an hour of two cores: small batches, and anchors from 16
# pixels, for platelets are of 19 at this size.
_base_ = 'ssdlite_mobilenetv2.py'

model = dict(
    bbox_head=dict(
        num_classes=3,
        anchor_generator=dict(
            min_sizes=[24, 56, 104, 152, 202, 253],
            max_sizes=[56, 104, 152, 202, 253, 304])))
train_pipeline = [
    {{_base_.steps.load}},
    {{_base_.steps.boxes}},
    {{_base_.steps.gentle_crop}},
    dict(type='Resize', img_scale=(320, 320), keep_ratio=False),
    {{_base_.steps.flip}},
    {{_base_.normalize}},
    {{_base_.steps.bundle}},
    {{_base_.steps.collect}},
]
data = dict(samples_per_gpu=8, workers_per_gpu=1, train=dict(pipeline=train_pipeline))

optimizer = dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4)
optimizer_config = dict(_delete_=True, grad_clip=dict(max_norm=10.0, norm_type=2))
lr_config = dict(
    _delete_=True, policy='CosineAnnealing', min_lr_ratio=0.01, warmup='linear', warmup_iters=50, warmup_ratio=0.1)
runner = dict(max_epochs=16)
evaluation = dict(interval=8)
log_config = dict(interval=10)
