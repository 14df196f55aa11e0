_base_ = ['../../detectors/ssdlite_mobilenetv2_bccd.py', '../../_base_/nncf/int8.py']

nncf_config = dict(input_info=dict(sample_size=[1, 3, 320, 320]))
optimizer = dict(lr=3e-4)
lr_config = dict(_delete_=True, policy='CosineAnnealing', min_lr_ratio=0.01)
runner = dict(max_epochs=2)
evaluation = dict(interval=1)
