import math
import os

import pytest

from core.openvino.load import LoadMeter, load_average


def stat(user, idle, waiting=0, stolen=0):
    return f"cpu  {user} 0 0 {idle} {waiting} 0 0 {stolen} 0 0\ncpu0 1 2 3\n"


def test_other_cores_are_what_this_process_did_not_use(tmp_path, monkeypatch):
    """Three seconds of CPU time were used in two seconds; one was this process's own."""
    ticks = os.sysconf("SC_CLK_TCK")
    file = tmp_path / "stat"
    file.write_text(stat(100, 50))
    clock, own = iter([10.0, 12.0]), iter([5.0, 6.0])
    monkeypatch.setattr("core.openvino.load.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("core.openvino.load.os.times", lambda: os.times_result((next(own), 0.0, 0.0, 0.0, 0.0)))
    meter = LoadMeter(average=0.7, stat=file)
    file.write_text(stat(100 + 2 * ticks, 50 + ticks, waiting=ticks, stolen=ticks))
    load = meter.read()
    assert load.average == 0.7 and load.other_cores == pytest.approx(1.0)
    assert load.busy and not load.disturbed


@pytest.mark.parametrize("other_seconds, cpu_share, disturbed", [(2, 0.6, True), (2, 0.95, False), (0, 0.6, False)])
def test_a_measurement_is_disturbed_where_others_are_busy_and_it_lacks_cpu_time(tmp_path, monkeypatch, other_seconds,
                                                                                cpu_share, disturbed):
    """A low share on a quiet machine is that of a program that waits, or of a container of fewer CPUs than its node."""
    file = tmp_path / "stat"
    file.write_text(stat(100, 50))
    clock = iter([10.0, 12.0])
    monkeypatch.setattr("core.openvino.load.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("core.openvino.load.os.times", lambda: os.times_result((0.0, 0.0, 0.0, 0.0, 0.0)))
    meter = LoadMeter(average=0.7, stat=file)
    file.write_text(stat(100 + other_seconds * os.sysconf("SC_CLK_TCK"), 51))
    assert meter.read(cpu_share).disturbed is disturbed


def test_a_system_that_does_not_tell(tmp_path):
    load = LoadMeter(average=0.1, stat=tmp_path / "absent").read()
    assert load.average == 0.1 and math.isnan(load.other_cores) and not load.busy


def test_this_machine():
    load = LoadMeter().read()
    assert load.average == load_average() or load.average >= 0
    assert math.isnan(load.other_cores) or load.other_cores >= 0
