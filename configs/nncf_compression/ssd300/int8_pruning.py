_base_ = ['../../detectors/ssd300.py', '../../_base_/nncf/int8_pruning.py']

nncf_config = dict(input_info=dict(sample_size=[1, 3, 300, 300]))
lr_config = dict(_delete_=True, policy='CosineAnnealing', min_lr_ratio=0.01)
runner = dict(max_epochs=16)
evaluation = dict(interval=1)
