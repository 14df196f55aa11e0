import itertools

import pytest

from core.base.errors import UserError
from pipelines.cluster.triggers import cron_trigger, duration_seconds, interval_trigger


@pytest.mark.parametrize("line", [
    "0 0 2 * * 1", "0 */5 * * * *", "0 0 0 1,15 * ?", "30 0 8-18/2 * JAN-jun Mon-Fri", "0 5/15 * * * *", "0 0 0 29 2 *",
    "0 0 0 31 2 0", "0 * * * * *", "59 * * * * *"])
def test_line_of_six_fields_stays_as_it_is(line):
    assert (cron_trigger(line).cron, cron_trigger(line).notice) == (line, None)


@pytest.mark.parametrize(("line", "cron"), [
    ("0 2 * * 1", "0 0 2 * * 1"), ("*/5 * * * *", "0 */5 * * * *"), ("0 2 * * 7", "0 0 2 * * 0"),
    ("0 2 * * 5-7", "0 0 2 * * 5-6,0"), ("0 2 * * 1,7", "0 0 2 * * 1,0"), ("0 2 * * 7-7", "0 0 2 * * 0"),
    ("0 2 * * sun", "0 0 2 * * sun")])
def test_crontab_line_gets_a_second(line, cron):
    trigger = cron_trigger(line)
    assert trigger.cron == cron and f"read as {cron!r}" in trigger.notice


@pytest.mark.parametrize(("line", "message"), [
    ("", "It has 0 fields"), ("* * * *", "It has 4 fields"), ("* * * * * * *", "It has 7 fields"),
    ("@daily", "It has 1 fields"), ("60 0 0 * * *", "In the field second, '60' is not one of 0 to 59"),
    ("0 0 24 * * *", "In the field hour, '24'"), ("0 0 0 0 * *", "'0' is not one of 1 to 31"),
    ("0 0 0 * 13 *", "In the field month, '13'"), ("0 0 0 * * 7", "'7' is not one of 0 to 6"),
    ("0 0 0 * * fri-mon", "'fri-mon' runs backwards"), ("0 0 0 * * L", "'L' is not one"),
    ("0 */0 0 * * *", "has no step"), ("0 */x 0 * * *", "has no step"), ("0 5, 0 * * *", "'' is not one"),
    ("* * * * * *", "It starts 60 runs a minute"), ("*/30 * * * * *", "It starts 2 runs a minute"),
    ("0,1 0 2 * * *", "the shortest interval is 60 s"), ("? * * * * *", "It starts 60 runs a minute"),
    ("0 -1 0 * * *", "'' is not one"), ("0 \u0663 0 * * *", "is not one"), ("0 0 0 31 4,6 *", "None of these months"),
    ("0 2 30 2 *", "None of these months")])
def test_line_that_cannot_be_is_refused_with_what_is_wrong(line, message):
    with pytest.raises(UserError) as refused:
        cron_trigger(line)
    assert message in str(refused.value) and "Write six fields" in str(refused.value)


def test_every_line_that_is_taken_is_one_for_another_parser_too():
    from croniter import croniter

    pieces = ["*", "0", "3", "7", "1-3", "*/2", "1,4", "2-6/2", "?", "31", "mon", "60", "5/2"]
    taken = refused = 0
    for minute, weekday in itertools.product(pieces, pieces):
        line = f"0 {minute} 2 * * {weekday}"
        try:
            cron_trigger(line)
        except UserError:
            refused += 1
            continue
        taken += 1
        # croniter has no ? and takes it for *.
        assert croniter.is_valid(line.replace("?", "*"), second_at_beginning=True), line
    assert taken > 50 and refused > 50


@pytest.mark.parametrize(("text", "seconds"), [
    ("90s", 90), ("5m", 300), ("12h", 43200), ("7d", 604800), ("2w", 1209600)])
def test_durations(text, seconds):
    assert duration_seconds(text, "--every") == seconds == interval_trigger(text).seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "0d", "1.5h", "7 d", "1y", "1d1h"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UserError, match="whole number with its unit"):
        duration_seconds(text, "--every")
