import statistics

import pytest

from core.errors import UserError
from core.inference.speed import compare_speed

pytestmark = pytest.mark.usefixtures("openvino")


def test_both_models_are_timed_in_every_repeat(toy_ir, int8_ir):
    speed = compare_speed(toy_ir, int8_ir, repeats=3, seconds=0.05, warm_up=0.02, threads=1)
    for model in (speed.fp32, speed.compressed):
        assert len(model.fps_repeats) == 3 and min(model.fps_repeats) > 0
        assert model.fps == statistics.median(model.fps_repeats)
        assert 0 < model.latency_ms_p50 < 1000
    assert speed.speedup == statistics.median(
        compressed / fp32 for compressed, fp32 in zip(speed.compressed.fps_repeats, speed.fp32.fps_repeats))


def test_a_model_is_as_fast_as_itself(toy_ir):
    speed = compare_speed(toy_ir, toy_ir, repeats=5, seconds=0.1, warm_up=0.05, threads=1)
    assert speed.speedup == pytest.approx(1, rel=0.5)


def test_a_missing_ir_is_an_error(tmp_path, toy_ir):
    with pytest.raises(UserError, match="It must hold model.xml and model.bin"):
        compare_speed(toy_ir, tmp_path)
