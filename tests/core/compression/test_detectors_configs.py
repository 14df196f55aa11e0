"""The detectors' configs: read as data, valid for NNCF 2.0.0, with inputs that agree."""

from pathlib import Path

import pytest

from core.config.loading import load_config
from core.config.test_pipeline import preprocessing_of
from scripts.trial_configs import CONFIGS, detectors

ROOT = CONFIGS.parents[1]
DETECTORS = sorted(path.stem for path in (ROOT / "configs" / "detectors").glob("*.py"))
VARIANTS = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob("*/*.py"))


@pytest.mark.parametrize("detector", detectors())
def test_each_detector_has_a_config_of_8_bits(detector):
    assert (CONFIGS / detector / "int8.py").is_file()
    assert detector in DETECTORS


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_config_agrees_with_itself(variant):
    config = load_config(CONFIGS / variant)
    preprocessing = preprocessing_of(config)
    assert config.nncf_config.input_info.sample_size == [1, 3, preprocessing.input_height, preprocessing.input_width]
    for split in ("train", "val", "test"):
        assert config.data[split].type == "CocoDataset"
        assert "ann_file" not in config.data[split]


@pytest.mark.parametrize("variant", VARIANTS)
def test_nncf_accepts_its_part(variant):
    import nncf

    from core.config.adapt import nncf_config_of

    nncf.NNCFConfig.from_dict(nncf_config_of(load_config(CONFIGS / variant)))


@pytest.mark.parametrize("detector", DETECTORS)
def test_detectors_inherit_only_from_this_repository(detector):
    text = Path(ROOT / "configs" / "detectors" / f"{detector}.py").read_text()
    assert "import" not in text.replace("importance", "")
    assert "http" not in text and "://" not in text


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if "r50" in variant or "r18/" in variant])
def test_pruning_thaws_the_frozen_stages(variant):
    frozen = load_config(CONFIGS / variant).model.backbone.frozen_stages
    assert frozen == (1 if variant.endswith("/int8.py") else -1)


@pytest.mark.parametrize("classes", [20, 80], ids=["voc", "coco"])
@pytest.mark.parametrize("detector", DETECTORS)
def test_heads_take_the_class_sets_of_voc_and_coco(detector, classes):
    from core.config.adapt import set_classes

    config = load_config(ROOT / "configs" / "detectors" / f"{detector}.py")
    if "small" not in detector and "bccd" not in detector:
        assert set(class_counts(config.model)) == {80}, "released checkpoints are trained on COCO"
    set_classes(config, [f"class {number}" for number in range(classes)])
    assert set(class_counts(config.model)) == {classes}


def class_counts(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "num_classes":
                yield value
            elif key != "rpn_head":
                yield from class_counts(value)
