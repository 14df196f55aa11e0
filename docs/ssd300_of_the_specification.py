# The example of the integration's specification, in the words of NNCF 1.x; its sample_size made Python and its
# work_dir a value. NNCF 2.0.0 refuses it:
#     python -m core.compression.check docs/ssd300_of_the_specification.py --migrate
work_dir = 'work_dirs/ssd300'
nncf_config = dict(
    input_info=dict(
        sample_size=[1, 3, 1000, 600]
    ),
    compression=dict(
        algorithm='quantization',
        initializer=dict(
            range=dict(
                num_init_steps=10
            ),
            batchnorm_adaptation=dict(
                num_bn_adaptation_steps=30,
            )
        )
    ),
    log_dir=work_dir
)
