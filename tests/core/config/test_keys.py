import pytest

from core.base.errors import UserError
from core.config.keys import KNOWN_KEYS, check_top_level


@pytest.mark.parametrize("key, meant", [
    ("nncf_confg", "nncf_config"), ("optimzer", "optimizer"), ("modle", "model"), ("evaluaton", "evaluation"),
    ("nncf_compress_postprocesing", "nncf_compress_postprocessing"), ("lr_cfg", "lr_config"),
])
def test_a_misspelt_key_is_refused_with_the_nearest(key, meant):
    with pytest.raises(UserError, match=f"config x: unknown key `{key}`.*Did you mean `{meant}`"):
        check_top_level({key: 1}, "config x")


def test_known_keys_and_variables_pass():
    variables = ["img_norm_cfg", "img_scale", "train_pipeline", "dataset_type", "data_root", "max_epochs", "classes",
                 "checkpoint_file"]
    check_top_level(dict.fromkeys(list(KNOWN_KEYS) + variables), "config x")


@pytest.mark.parametrize("key", ["filename", "text", "pretty_text"])
def test_names_that_mmcv_reserves_are_refused(key):
    with pytest.raises(UserError, match=f"the key `{key}`"):
        check_top_level({key: 1}, "config x")
