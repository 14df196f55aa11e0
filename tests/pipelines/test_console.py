import pytest

from pipelines.console import duration


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (151, "2:31"), (3600, "1:00:00"),
                                               (7325, "2:02:05")])
def test_duration(seconds, text):
    assert duration(seconds) == text
