# YOLOX as it is trained in its last epochs: without mosaic and mix-up, which a short compression run does not need, and
# which MMDetection applies in a data set wrapper around the user's one. It keeps any number of boxes; max_per_img is
# for the exported graph, which has room for so many.
model = dict(
    type='YOLOX',
    size_multiplier=32,
    random_size_interval=10,
    backbone=dict(type='CSPDarknet', deepen_factor=0.33),
    neck=dict(type='YOLOXPAFPN', num_csp_blocks=1),
    bbox_head=dict(type='YOLOXHead', num_classes=80),
    train_cfg=dict(assigner=dict(type='SimOTAAssigner', center_radius=2.5)),
    test_cfg=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.65), max_per_img=300))
