_base_ = ['../../detectors/ssdlite_mobilenetv2_bccd.py', '../../_base_/nncf/pruning.py']

# 40 % of the filters are reached in the third epoch; the last seven train what is left.
nncf_config = dict(
    input_info=dict(sample_size=[1, 3, 320, 320]),
    compression=dict(pruning_init=0.1, params=dict(pruning_steps=3)))
optimizer = dict(lr=3e-4)
lr_config = dict(_delete_=True, policy='CosineAnnealing', min_lr_ratio=0.01)
runner = dict(max_epochs=10)
evaluation = dict(interval=1)
