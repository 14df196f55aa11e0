# RetinaNet with ResNet-18 and FPN.
_base_ = 'retinanet_r50.py'

model = dict(backbone=dict(depth=18), neck=dict(in_channels=[64, 128, 256, 512]))
