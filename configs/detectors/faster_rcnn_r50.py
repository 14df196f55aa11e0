# Faster R-CNN with ResNet-50 and FPN.
_base_ = ['../_base_/models/faster_rcnn_r50.py', '../_base_/data/fpn.py', '../_base_/schedules/sgd_12_epochs.py']

optimizer = dict(lr=0.0025)
