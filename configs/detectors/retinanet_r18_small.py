# A RetinaNet that trains from scratch on a CPU in minutes: ResNet-18 of half width, a narrow FPN without the
# stride-4 level, anchors from 16 pixels, two convolutions a head, batch norm everywhere so that it learns from random
# weights.
_base_ = [
    '../_base_/models/retinanet_r50.py', '../_base_/data/small.py', '../_base_/schedules/adamw_16_epochs.py']

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(depth=18, base_channels=32, frozen_stages=-1, norm_eval=False),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, num_outs=4, norm_cfg=norm_cfg),
    bbox_head=dict(
        num_classes=3,
        in_channels=64,
        stacked_convs=2,
        feat_channels=64,
        norm_cfg=norm_cfg,
        anchor_generator=dict(octave_base_scale=2, strides=[8, 16, 32, 64])))
