# The small RetinaNet with a transformer for a backbone: PVTv2-b0 with one layer a stage.
_base_ = 'retinanet_r18_small.py'

model = dict(
    backbone=dict(_delete_=True, type='PyramidVisionTransformerV2', embed_dims=32, num_layers=[1, 1, 1, 1]),
    neck=dict(in_channels=[32, 64, 160, 256]))
