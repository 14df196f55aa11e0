"""--submit --wait: what is shown of a run, and how following it ends."""

import io

import pytest

TASKS = {"resolve": "SUCCEEDED", "train": "RUNNING"}
FAST = ["--wait", "--poll", "0.01"]


@pytest.fixture(name="wait")
def fixture_wait(cluster):
    """Return a function that submits and waits while a run goes through ``script``, and returns what is shown of it."""
    def wait(script, *options):
        cluster.stand_in.script = script
        code, lines, err = cluster.run("--submit", "--run-name", "r", *FAST, *options)
        return code, lines[2:], err

    return wait


def changes(lines):
    """Return lines without the time."""
    return [line.partition(" ")[2] if line[:1].isdigit() else line for line in lines]


def test_each_change_is_shown_once_by_the_tasks_own_name(wait):
    code, lines, err = wait([
        ("PENDING", {}, None), ("RUNNING", {"resolve": "RUNNING"}, None), ("RUNNING", {"resolve": "RUNNING"}, None),
        ("RUNNING", {"resolve": "SUCCEEDED", "evaluate-2": "PENDING"}, None),
        ("RUNNING", {"resolve": "SUCCEEDED", "evaluate-2": "SKIPPED", "train": "SKIPPED"}, None),
        ("SUCCEEDED", {"resolve": "SUCCEEDED", "evaluate-2": "SKIPPED", "train": "SKIPPED"}, None)])
    assert (code, err) == (0, "")
    assert changes(lines) == ["resolve runs", "resolve is done", "evaluate-compressed waits for its pod",
                              "evaluate-compressed was in the cache", "train was in the cache",
                              "The run has ended: SUCCEEDED."]


def test_failed_run_names_its_task_its_reason_and_the_last_lines(wait, cluster):
    cluster.stand_in.logs["pod-train"] = "".join(f"epoch {number}\n" for number in range(30))
    code, lines, _ = wait([("RUNNING", TASKS, None), ("FAILED", {**TASKS, "train": "FAILED"}, "OOMKilled (137)")])
    assert code == 1
    assert changes(lines)[2:5] == ["train FAILED", "train failed: OOMKilled (137) (image mmdet-compress/train:0.1.0)",
                                   "train | epoch 10"]
    assert lines[-2:] == ["train | epoch 29", "The run has ended: FAILED."]


def test_where_no_log_is_to_be_had_the_command_for_it_is_shown(wait, cluster):
    code, lines, _ = wait([("FAILED", {"train": "FAILED"}, "exit code 2")])
    (run_id,) = cluster.stand_in.runs
    assert code == 1
    assert lines[-2] == (f"Its log is not to be had from {cluster.url}. Look with: kubectl -n kubeflow logs --tail=50 "
                         f"-c main -l pipeline/runid={run_id},app.kubernetes.io/component=train")


def test_failed_run_without_a_failed_task_points_at_the_pods(wait):
    code, lines, _ = wait([("FAILED", {}, None)])
    assert code == 1 and "No task says why" in lines[-2]


def test_cancelled_run_ends_the_following_with_1(wait):
    code, lines, _ = wait([("RUNNING", TASKS, None), ("CANCELING", TASKS, None),
                           ("CANCELED", {**TASKS, "train": "CANCELED"}, None)])
    assert code == 1
    assert changes(lines)[-2:] == ["train was cancelled", "The run has ended: CANCELED."]


@pytest.mark.parametrize(("does", "said"), [("drop", "It does not answer"), (503, "could not answer (503"),
                                            ("page", "a web page where the API should be"), (429, "(429")])
def test_lost_connection_does_not_end_the_following(wait, cluster, does, said):
    from kfp_api.server import Fault

    cluster.stand_in.faults.append(Fault("GET", "/runs/", does, times=9))
    code, lines, _ = wait([("RUNNING", TASKS, None), ("SUCCEEDED", {**TASKS, "train": "SUCCEEDED"}, None)])
    assert code == 0
    assert lines[0].startswith("The connection is lost; the run continues") and said in lines[0]
    assert lines[1] == "The connection is back."
    assert lines[-1] == "The run has ended: SUCCEEDED."


def test_token_that_is_replaced_while_following_is_read_again(wait, cluster, tmp_path, monkeypatch):
    from kfp_api.server import StandIn

    token = tmp_path / "token"
    token.write_text("first\n")
    cluster.stand_in.token = "first"
    original = StandIn.get_runs_run_id

    def look(self, request):
        token.write_text("second\n")
        self.token = "second"
        return original(self, request)

    monkeypatch.setattr(StandIn, "get_runs_run_id", look)
    code, *_ = wait([("RUNNING", TASKS, None), ("SUCCEEDED", TASKS, None)], "--token-file", str(token))
    assert code == 0
    assert cluster.stand_in.authorizations == {"Bearer first", "Bearer second"}


@pytest.fixture(name="follower")
def fixture_follower(cluster, pipeline):
    """Return a function that makes a follower of a started run, with a clock that its pauses move."""
    from pipelines.cluster.auth import Access
    from pipelines.cluster.connection import Connection
    from pipelines.cluster.following import RunFollower, Stages
    from pipelines.console import Console

    cluster.run("--submit")
    (run_id,) = cluster.stand_in.runs
    now = [0.0]

    def make(stream):
        return RunFollower(Connection(cluster.url, Access()), run_id, Stages.of(pipeline.pipeline_spec),
                           Console(stream), pause=120.0, clock=lambda: now[0],
                           sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))

    return make


def test_task_that_waits_long_is_named_with_its_image_and_the_causes(follower, cluster):
    cluster.stand_in.script = [*[("RUNNING", {"train": "PENDING"}, None)] * 8, ("SUCCEEDED", {}, None)]
    shown = io.StringIO()
    assert follower(shown).follow() == "SUCCEEDED"
    (hint,) = [line for line in shown.getvalue().splitlines() if "has been waiting" in line]
    assert hint.startswith("train has been waiting for 10:00. No node has room for it or fits its selector, or its "
                           "image mmdet-compress/train:0.1.0 cannot be pulled. Look with: kubectl -n kubeflow describe")


def test_timeout_names_the_image_that_does_not_come(follower, cluster):
    from core.base.errors import UserError

    cluster.stand_in.script = [("RUNNING", {"resolve": "SUCCEEDED", "train": "PENDING"}, None)]
    with pytest.raises(UserError) as ended:
        follower(io.StringIO()).follow(timeout=3600)
    assert "--wait-timeout: 1:00:00. The run has not ended, with nothing running. train is waiting." in str(ended.value)
    assert "image mmdet-compress/train:0.1.0 cannot be pulled" in str(ended.value)
    assert "It continues: http" in str(ended.value)


def test_slow_answers_are_given_up_and_asked_for_again(follower, cluster, monkeypatch):
    from kfp_api.server import Fault
    from pipelines.cluster import connection

    shown = io.StringIO()
    following = follower(shown)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)
    cluster.stand_in.faults.append(Fault("GET", "/runs/", "slow", times=4, seconds=1.0))
    assert following.follow() == "SUCCEEDED"
    lines = shown.getvalue().splitlines()
    assert "Read timed out" in lines[0] and lines[-1] == "The connection is back."


def test_connection_that_stays_lost_ends_the_following(follower, cluster):
    from kfp_api.server import Fault
    from pipelines.cluster.connection import Unreachable

    cluster.stand_in.faults.append(Fault("GET", "/runs/", 502, times=10 ** 6))
    shown = io.StringIO()
    with pytest.raises(Unreachable, match="502"):
        follower(shown).follow()
    assert shown.getvalue().count("\n") == 1


def test_ctrl_c_ends_the_following_and_not_the_run(wait, cluster, monkeypatch):
    from pipelines.cluster import following

    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(following.RunFollower, "_look", interrupt)
    code, lines, _ = wait([("RUNNING", {}, None)])
    assert code == 130 and lines[-1].startswith("No longer following. The run continues: http")
    assert not any("terminate" in path for _, path in cluster.stand_in.seen)
