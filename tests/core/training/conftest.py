"""A detector and a data set small enough to train in seconds."""

import pytest


@pytest.fixture(scope="session")
def tiny_ref(tmp_path_factory):
    """Sixteen training scenes of the built-in sample, by reference."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MMDET_COMPRESS_CACHE", str(tmp_path_factory.mktemp("cache")))
    from core.data.dataset import resolve_data

    yield resolve_data("builtin://digits?train=16&val=4&test=4")
    patch.undo()


@pytest.fixture(scope="session")
def tiny_data(tiny_ref):
    """The same scenes, prepared once."""
    from core.data.dataset import open_dataset

    return open_dataset(tiny_ref)


@pytest.fixture
def tiny_config(tiny_data):
    """Return a function that gives the small RetinaNet's config on ``tiny_data``, at 64 x 64 pixels for one epoch."""
    from core.config.adapt import set_classes, set_data
    from core.config.loading import load_config

    def config(name="nncf_compression/retinanet_r18_small/digits_int8.py", **options):
        loaded = load_config(f"configs/{name}")
        loaded.merge_from_dict({"runner.max_epochs": 1, "log_config": dict(interval=1), "evaluation.interval": 1,
                                "data.workers_per_gpu": 0, **options})
        for part in (loaded.data.train, loaded.data.val, loaded.data.test):
            for step in part.pipeline:
                if "img_scale" in step:
                    step["img_scale"] = (64, 64)
        if loaded.get("nncf_config"):
            initializer = loaded.nncf_config.compression.initializer
            initializer.range.num_init_samples = initializer.batchnorm_adaptation.num_bn_adaptation_samples = 8
            loaded.nncf_config.input_info.sample_size = [1, 3, 64, 64]
        set_classes(loaded, tiny_data.classes)
        set_data(loaded, tiny_data)
        return loaded

    return config


def run(config, data, folder, name="out", **options):
    """Train; checkpoint, log and work folder are named after ``name``."""
    from core.training.fit import fit

    return fit(config, data, folder / f"{name}.pth", folder / f"{name}.log", folder / f"work-{name}", **options)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Where the plain and the compressed checkpoint are kept, with all that their trainings left."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def plain(trained, tiny_config, tiny_data):
    """A checkpoint of plain training; it is trained once."""
    from core.config.adapt import plain_config

    path = trained / "plain.pth"
    if not path.exists():
        run(plain_config(tiny_config()), tiny_data, trained, "plain")
    return path


@pytest.fixture
def compressed(trained, plain, tiny_config, tiny_data):
    """One with 8 bits, likewise."""
    path = trained / "int8.pth"
    if not path.exists():
        run(tiny_config(), tiny_data, trained, "int8", parent=plain)
    return path
