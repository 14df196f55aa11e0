_base_ = ['../../detectors/yolox_tiny.py', '../../_base_/nncf/pruning.py']

nncf_config = dict(input_info=dict(sample_size=[1, 3, 416, 416]))
lr_config = dict(_delete_=True, policy='CosineAnnealing', min_lr_ratio=0.01)
runner = dict(max_epochs=16)
evaluation = dict(interval=1)
