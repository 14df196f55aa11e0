"""--schedule, --every, --list-schedules, --unschedule."""

import pytest

MONDAY = ["--schedule", "0 0 2 * * 1", "--run-name", "weekly"]


def the_schedule(cluster):
    (schedule,) = cluster.stand_in.schedules.values()
    return schedule


def test_schedule_is_pinned_to_a_version_and_starts_one_run_at_a_time(cluster):
    code, lines, err = cluster.run(*MONDAY, "-p", "data=s3://bucket/cells", "--pipeline-root", "s3://bucket/runs",
                                   "--service-account", "trainer", "--experiment", "cells")
    assert (code, err) == (0, "")
    schedule, (version,) = the_schedule(cluster), cluster.stand_in.versions.values()
    assert lines[1] == (f"schedule weekly created: cron 0 0 2 * * 1, version {version['name']}, one run at a time, "
                        "missed times are not made up for")
    assert (schedule["status"], schedule["max_concurrency"], schedule["no_catchup"]) == ("ENABLED", 1, True)
    assert schedule["trigger"] == {"cron_schedule": {"cron": "0 0 2 * * 1"}}
    assert schedule["pipeline_version_reference"] == {key: version[key] for key in ("pipeline_id",
                                                                                    "pipeline_version_id")}
    assert (schedule["service_account"], schedule["runtime_config"]["pipeline_root"]) == (
        "trainer", "s3://bucket/runs")
    assert schedule["runtime_config"]["parameters"]["data"] == "s3://bucket/cells"


def test_interval(cluster):
    assert cluster.run("--every", "7d")[0] == 0
    schedule = the_schedule(cluster)
    assert schedule["trigger"] == {"periodic_schedule": {"interval_second": 604800}}
    assert schedule["display_name"] == "mmdet-compress"


def test_crontab_line_is_converted_and_said_to_be(cluster):
    code, lines, _ = cluster.run("--schedule", "0 2 * * 7")
    assert code == 0
    assert lines[0] == "crontab line '0 2 * * 7' was read as '0 0 2 * * 0': the first field is seconds"
    assert the_schedule(cluster)["trigger"]["cron_schedule"]["cron"] == "0 0 2 * * 0"


def test_the_same_again_keeps_the_schedule_as_it_is(cluster):
    cluster.run(*MONDAY)
    before = the_schedule(cluster)["recurring_run_id"]
    code, lines, _ = cluster.run(*MONDAY)
    assert code == 0 and lines[-1].startswith("schedule weekly kept")
    assert the_schedule(cluster)["recurring_run_id"] == before


@pytest.mark.parametrize("change", [
    ["--schedule", "0 0 3 * * 1"], ["--every", "1d"], ["--schedule", "0 0 2 * * 1", "-p", "seed=5"],
    ["--schedule", "0 0 2 * * 1", "--experiment", "other"],
    ["--schedule", "0 0 2 * * 1", "--service-account", "other"],
    ["--schedule", "0 0 2 * * 1", "--pipeline-root", "s3://bucket/other"]])
def test_a_change_replaces_the_schedule_of_that_name(cluster, change):
    cluster.run(*MONDAY)
    cluster.run("--every", "1d", "--run-name", "daily")
    before = set(cluster.stand_in.schedules)
    code, lines, _ = cluster.run(*change, "--run-name", "weekly")
    assert code == 0 and lines[-1].startswith("schedule weekly replaced")
    assert sorted(cluster.stand_in.awake()) == ["daily", "weekly"]
    assert len(cluster.stand_in.schedules) == 2 and len(before & set(cluster.stand_in.schedules)) == 1


def test_never_are_two_of_a_name_awake(cluster, monkeypatch):
    from kfp_api.server import StandIn

    cluster.run(*MONDAY)
    seen = []

    def watched(name):
        original = getattr(StandIn, name)

        def operation(self, request):
            answer = original(self, request)
            seen.append(self.awake())
            return answer

        monkeypatch.setattr(StandIn, name, operation)

    for name in ("post_recurringruns", "post_recurringruns_recurring_run_id_enable",
                 "post_recurringruns_recurring_run_id_disable", "delete_recurringruns_recurring_run_id"):
        watched(name)
    assert cluster.run("--every", "1d", "--run-name", "weekly")[0] == 0
    assert seen == [["weekly"], [], ["weekly"], ["weekly"]]


@pytest.mark.parametrize("path", ["/recurringruns$", ":disable$", ":enable$"])
@pytest.mark.parametrize("does", [403, 500])
def test_replacement_that_fails_on_the_way_leaves_the_old_one_at_work(cluster, path, does):
    from kfp_api.server import Fault

    cluster.run(*MONDAY)
    before = dict(the_schedule(cluster))
    cluster.stand_in.faults.append(Fault("POST", path, does))
    code, _, err = cluster.run("--every", "1d", "--run-name", "weekly")
    assert code == 2 and "schedule: weekly" in err
    assert the_schedule(cluster) == before


def test_old_one_that_cannot_be_deleted_is_at_rest_and_goes_next_time(cluster):
    from kfp_api.server import Fault

    cluster.run(*MONDAY)
    cluster.stand_in.faults.append(Fault("DELETE", "/recurringruns/", 500))
    assert cluster.run("--every", "1d", "--run-name", "weekly")[0] == 2
    assert cluster.stand_in.awake() == ["weekly"] and len(cluster.stand_in.schedules) == 2
    assert cluster.run("--every", "1d", "--run-name", "weekly")[0] == 0
    assert the_schedule(cluster)["trigger"] == {"periodic_schedule": {"interval_second": 86400}}


@pytest.mark.parametrize(("option", "value", "message"), [
    ("--schedule", "0 0 2 * * 8", "'8' is not one of 0 to 6"), ("--schedule", "2 o'clock", "It has 2 fields"),
    ("--schedule", "0 0 0 30 2 *", "None of these months has such a day"), ("--every", "7", "with its unit"),
    ("--every", "30s", "The shortest interval is 60 s")])
def test_time_that_cannot_be_is_refused_before_the_cluster_is_asked(cluster, option, value, message):
    code, lines, err = cluster.run(option, value)
    assert (code, lines) == (2, []) and message in err
    assert cluster.stand_in.seen == []


def test_schedules_are_listed_with_time_state_and_version(cluster):
    assert cluster.run("--list-schedules")[1] == ["The pipeline mmdet-compress has no schedules."]
    cluster.run(*MONDAY)
    cluster.run("--every", "1d", "--run-name", "daily")
    cluster.run("--every", "1d", "--run-name", "others", "--pipeline-name", "other")
    cluster.stand_in.page_size = 1
    version = next(iter(cluster.stand_in.versions.values()))["name"]
    assert cluster.run("--list-schedules") == (0, [
        f"weekly: cron 0 0 2 * * 1, on, version {version}", f"daily: every 86400 s, on, version {version}"], "")


def test_version_deleted_under_a_schedule_is_told_and_scheduling_again_mends_it(cluster):
    cluster.run(*MONDAY)
    cluster.stand_in.versions.clear()
    code, lines, _ = cluster.run("--list-schedules")
    assert code == 0
    assert lines == ["weekly: cron 0 0 2 * * 1, on, version deleted",
                     "    Its version was deleted, so its runs fail. Schedule it again under this name."]
    assert cluster.run(*MONDAY)[1][-1].startswith("schedule weekly replaced")
    assert cluster.stand_in.fire(the_schedule(cluster))["state"] == "PENDING"


def test_what_a_schedule_starts_takes_its_parameters(cluster):
    cluster.run(*MONDAY, "-p", "checkpoint=s3://bucket/parents?latest=v*", "-p", "gpus=1")
    run = cluster.stand_in.fire(the_schedule(cluster))
    given = run["runtime_config"]["parameters"]
    assert (given["checkpoint"], given["gpus"]) == ("s3://bucket/parents?latest=v*", 1)


def test_schedule_is_ended_by_name(cluster):
    cluster.run(*MONDAY)
    cluster.run("--every", "1d", "--run-name", "daily")
    assert cluster.run("--unschedule", "weekly") == (
        0, ["The schedule weekly is gone; runs that it has started continue."], "")
    assert cluster.stand_in.awake() == ["daily"]
    code, _, err = cluster.run("--unschedule", "weekly")
    assert code == 2 and "There is no schedule of this name. Run with --list-schedules" in err
