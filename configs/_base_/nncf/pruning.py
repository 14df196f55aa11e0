# 40 % of the filters of every prunable layer, reached over eight epochs.
nncf_config = dict(
    compression=dict(
        algorithm='filter_pruning',
        initializer=dict(batchnorm_adaptation=dict(num_bn_adaptation_samples=256)),
        pruning_init=0.05,
        params=dict(
            schedule='exponential', pruning_target=0.4, pruning_steps=8, filter_importance='geometric_median')))
