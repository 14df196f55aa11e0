_base_ = '../../detectors/retinanet_r18_small_digits.py'

nncf_config = dict(
    input_info=dict(sample_size=[1, 3, 144, 192]),
    compression=dict(
        algorithm='quantization',
        initializer=dict(
            range=dict(num_init_samples=256),
            batchnorm_adaptation=dict(num_bn_adaptation_samples=128))))
optimizer = dict(lr=1e-4)
lr_config = dict(_delete_=True, policy='CosineAnnealing', min_lr_ratio=0.01)
runner = dict(max_epochs=1)
evaluation = dict(interval=1)
