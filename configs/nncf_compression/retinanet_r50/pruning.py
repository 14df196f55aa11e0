_base_ = ['../../detectors/retinanet_r50.py', '../../_base_/nncf/pruning.py']

nncf_config = dict(input_info=dict(sample_size=[1, 3, 800, 1088]))
# NNCF prunes no frozen layer, and the stages before a pruned one must be able to follow.
model = dict(backbone=dict(frozen_stages=-1))
lr_config = dict(_delete_=True, policy='CosineAnnealing', min_lr_ratio=0.01)
runner = dict(max_epochs=16)
evaluation = dict(interval=1)
