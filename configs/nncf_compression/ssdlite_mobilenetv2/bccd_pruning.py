_base_ = '../../detectors/ssdlite_mobilenetv2_bccd.py'

# 40 % of the filters, reached in the third epoch; the last seven train what is left.
nncf_config = dict(
    input_info=dict(sample_size=[1, 3, 320, 320]),
    compression=dict(
        algorithm='filter_pruning',
        initializer=dict(batchnorm_adaptation=dict(num_bn_adaptation_samples=256)),
        pruning_init=0.1,
        params=dict(schedule='exponential', pruning_target=0.4, pruning_steps=3, filter_importance='geometric_median')))
optimizer = dict(lr=3e-4)
lr_config = dict(_delete_=True, policy='CosineAnnealing', min_lr_ratio=0.01)
runner = dict(max_epochs=10)
evaluation = dict(interval=1)
