# For a network that begins with random weights and few images.
optimizer = dict(type='AdamW', lr=1e-3, weight_decay=1e-4)
optimizer_config = dict(grad_clip=dict(max_norm=10.0, norm_type=2))
lr_config = dict(policy='CosineAnnealing', min_lr_ratio=0.01, warmup='linear', warmup_iters=50, warmup_ratio=0.1)
runner = dict(type='EpochBasedRunner', max_epochs=16)
evaluation = dict(interval=4)
log_config = dict(interval=10)
