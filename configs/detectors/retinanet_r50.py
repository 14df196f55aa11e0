# RetinaNet with ResNet-50 and FPN.
_base_ = ['../_base_/models/retinanet_r50.py', '../_base_/data/fpn.py', '../_base_/schedules/sgd_12_epochs.py']
