"""--submit --wait: what is shown of a run, and how following it ends."""

import io

import pytest

from kfp_api.workflow import CACHED, Look, driver_name, node_id, pod_name

FAST = ["--wait", "--poll", "0.01"]
UNSCHEDULABLE = "Unschedulable: 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


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
        Look("PENDING", {}), Look("RUNNING", {"resolve": "driver: Running"}), Look("RUNNING", {"resolve": "Pending"}),
        Look("RUNNING", {"resolve": "Running"}), Look("RUNNING", {"resolve": "Running"}),
        Look("RUNNING", {"resolve": "Succeeded", "evaluate": ("Pending", "ContainerCreating")}),
        Look("SUCCEEDED", {"resolve": "Succeeded", "evaluate": "Succeeded", "train": CACHED,
                           "for-loop-1/1/compress": "Succeeded"})])
    assert (code, err) == (0, "")
    assert changes(lines) == [
        "resolve waits for its pod", "resolve runs", "resolve is done", "evaluate-fp32 waits for its pod",
        "evaluate-fp32 is done", "train was in the cache", "compress (candidate 2) is done",
        "The run has ended: SUCCEEDED."]


def test_pod_that_waits_says_why_and_each_reason_once(wait):
    code, lines, _ = wait([
        Look("RUNNING", {"train": "Pending"}), Look("RUNNING", {"train": ("Pending", UNSCHEDULABLE)}),
        Look("RUNNING", {"train": ("Pending", UNSCHEDULABLE.replace("3 ", "2 "))}),
        Look("RUNNING", {"train": ("Pending", "PodInitializing")}),
        Look("RUNNING", {"train": ("Pending", "ErrImagePull: pull access denied")}),
        Look("RUNNING", {"train": ("Pending", "ImagePullBackOff: Back-off pulling image")}),
        Look("RUNNING", {"train": ("Pending", "ErrImagePull: pull access denied")}),
        Look("SUCCEEDED", {"train": "Succeeded"})])
    assert code == 0
    assert changes(lines)[:-1] == [
        "train waits for its pod", f"train waits for its pod: {UNSCHEDULABLE}",
        "train waits for its pod: ErrImagePull: pull access denied",
        "train waits for its pod: ImagePullBackOff: Back-off pulling image", "train is done"]


def test_retries_are_told_with_what_ended_the_pod_before(wait):
    lost = ("Error", "pod deleted")
    code, lines, _ = wait([
        Look("RUNNING", {"train": "Running"}), Look("RUNNING", {"train": [lost]}, retrying=("train",)),
        Look("RUNNING", {"train": [lost, "Running"]}), Look("SUCCEEDED", {"train": [lost, "Succeeded"]})])
    assert code == 0
    assert changes(lines)[:-1] == ["train runs", "train comes again, after attempt 1: pod deleted",
                                   "train runs, attempt 2", "train is done, attempt 2"]


def test_stage_whose_graph_begins_anew_has_not_failed(wait):
    lost = ("Error", "pod deleted")
    code, lines, _ = wait([
        Look("RUNNING", {"train": [lost] * 5}, graph_retrying=("train",)),
        Look("FAILED", {"train": [lost] * 5})])
    assert code == 1
    assert changes(lines)[:2] == ["train comes again, after attempt 5: pod deleted", "train FAILED"]


@pytest.mark.parametrize("place", ["pod", "archive"])
def test_failed_run_names_its_stage_its_reason_and_the_last_lines(wait, cluster, place):
    # The launcher ends with 1 whatever our exit code was; the log says more.
    key = pod_name("train") if place == "pod" else node_id("compress-x7k2p(0).root(0).train(0).executor(0)")
    cluster.stand_in.logs[key] = "".join(f"epoch {number}\n" for number in range(30))
    code, lines, _ = wait([Look("RUNNING", {"resolve": "Succeeded", "train": "Running"}),
                           Look("FAILED", {"train": ("Failed", "main: Error (exit code 1)")})])
    assert code == 1
    assert changes(lines)[2:5] == [
        "train FAILED", "train: failed (image mmdet-compress/train:0.1.0): main: Error (exit code 1)",
        "train | epoch 10"]
    assert lines[-2:] == ["train | epoch 29", "The run has ended: FAILED."]


def test_log_that_breaks_off_ends_before_the_servers_error(wait, cluster):
    cluster.stand_in.logs[pod_name("train")] = 'x' * 200_000 + '\n{"loss": 1}\n{"error_message":"Failed to read logs"}'
    _, lines, _ = wait([Look("FAILED", {"train": ("Failed", "OOMKilled (exit code 137)")})])
    assert lines[-2] == 'train | {"loss": 1}'


def test_where_no_log_is_to_be_had_the_places_for_it_are_shown(wait, cluster):
    code, lines, _ = wait([Look("FAILED", {"train": ("Failed", "OOMKilled (exit code 137)")})])
    assert code == 1
    assert lines[-2] == (
        f"Its log is not to be had from {cluster.url}. Look with: kubectl -n kubeflow logs --tail=50 -c main "
        f"{pod_name('train')}; where the pod is gone, at the artifact executor-logs of the stage in the UI, or in "
        "Argo's archive under this pod's name")


def test_driver_that_fails_is_told_as_the_driver(wait, cluster):
    cluster.stand_in.logs[driver_name("resolve")] = "failed to resolve secret name: Expected a non-empty string\n"
    code, lines, _ = wait([Look("FAILED", {"resolve": "driver: Failed: main: Error (exit code 1)"})])
    assert code == 1
    assert changes(lines)[:3] == [
        "resolve FAILED", "resolve: its driver, which prepares it, failed: main: Error (exit code 1)",
        "resolve | failed to resolve secret name: Expected a non-empty string"]


def test_failed_run_without_a_failed_stage_points_at_the_pods(wait):
    code, lines, _ = wait([Look("FAILED", {}, message="invalid spec")])
    assert code == 1 and lines[-2].startswith("No stage says why. Its workflow says: invalid spec. Look at the run's")


def test_terminated_run_is_told_from_a_failed_one(wait):
    # Its state is FAILED in the end; only its workflow tells.
    code, lines, _ = wait([Look("CANCELING", {"train": "Running"}, terminated=True),
                           Look("FAILED", {"train": ("Failed", "Step exceeded its deadline")}, terminated=True)])
    assert code == 1
    assert changes(lines)[-2:] == ["The run was terminated.", "The run has ended: FAILED."]


def test_api_server_without_workflows_still_tells_the_end(wait, cluster):
    cluster.stand_in.workflows = False
    code, lines, _ = wait([Look("RUNNING", {"train": "Running"}), Look("SUCCEEDED", {"train": "Succeeded"})])
    assert (code, lines) == (0, ["The run has ended: SUCCEEDED."])


@pytest.mark.parametrize(("does", "said"), [("drop", "It does not answer"), (503, "could not answer (503"),
                                            ("page", "a web page where the API should be"), (429, "(429")])
def test_lost_connection_does_not_end_the_following(wait, cluster, does, said):
    from kfp_api.server import Fault

    cluster.stand_in.faults.append(Fault("GET", "/runs/", does, times=9))
    code, lines, _ = wait([Look("RUNNING", {"train": "Running"}), Look("SUCCEEDED", {"train": "Succeeded"})])
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
    code, *_ = wait([Look("RUNNING", {"train": "Running"}), Look("SUCCEEDED", {})], "--token-file", str(token))
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


@pytest.mark.parametrize(("message", "cause"), [
    (UNSCHEDULABLE, f"No node has room for it or fits its selector and tolerations ({UNSCHEDULABLE})"),
    ("ImagePullBackOff: no such host",
     "Its image mmdet-compress/train:0.1.0 cannot be pulled (ImagePullBackOff: no such host)"),
    ('pods "x" is forbidden: exceeded quota: mmdet-compress', "The namespace's quota is used up "
     '(pods "x" is forbidden: exceeded quota: mmdet-compress)'),
    ("", "No node may have room for it, or its image mmdet-compress/train:0.1.0 may not be to be had")])
def test_stage_that_waits_long_is_named_with_the_cause(follower, cluster, message, cause):
    cluster.stand_in.script = [*[Look("RUNNING", {"train": ("Pending", message)})] * 8, Look("SUCCEEDED", {})]
    shown = io.StringIO()
    assert follower(shown).follow() == "SUCCEEDED"
    (hint,) = [line for line in shown.getvalue().splitlines() if "has been waiting" in line]
    assert hint == (f"train has been waiting for 10:00. {cause}. Look with: kubectl -n kubeflow describe pod "
                    f"{pod_name('train')}")


def test_api_server_that_hands_out_no_workflow_is_said_to_once(follower, cluster):
    cluster.stand_in.workflows = False
    cluster.stand_in.script = [*[Look("RUNNING", {"train": "Running"})] * 4, Look("SUCCEEDED", {})]
    shown = io.StringIO()
    assert follower(shown).follow() == "SUCCEEDED"
    assert shown.getvalue() == "The API server hands out no workflow, so only the end of the run can be told.\n"


def test_timeout_names_the_image_that_does_not_come(follower, cluster):
    from core.base.errors import UserError

    cluster.stand_in.script = [Look("RUNNING", {"resolve": "Succeeded", "train": ("Pending", "ErrImagePull: denied")})]
    with pytest.raises(UserError) as ended:
        follower(io.StringIO()).follow(timeout=3600)
    assert "--wait-timeout: 1:00:00. The run has not ended, with nothing running. train is waiting." in str(ended.value)
    assert "Its image mmdet-compress/train:0.1.0 cannot be pulled (ErrImagePull: denied)" in str(ended.value)
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
    code, lines, _ = wait([Look("RUNNING", {})])
    assert code == 130 and lines[-1].startswith("No longer following. The run continues: http")
    assert not any("terminate" in path for _, path in cluster.stand_in.seen)
