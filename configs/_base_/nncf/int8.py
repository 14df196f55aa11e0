# 8-bit weights and activations. Ranges are estimated and batch norms adapted on the training images.
nncf_config = dict(
    compression=dict(
        algorithm='quantization',
        initializer=dict(
            range=dict(num_init_samples=256),
            batchnorm_adaptation=dict(num_bn_adaptation_samples=256))))
