"""--submit: the pipeline's version, the run, and what stops it before anything is made."""

import pytest

OWN = ["-p", "data=s3://bucket/cells", "-p", "destination=s3://bucket/models", "-p", "seed=3", "-p", "classes=a,b",
       "-p", "max_map_drop=0.02", "-p", "preflight=true", "-p", 'model_options={"runner.max_epochs": 2}']


def made(stand_in):
    """Return how many of everything the server holds."""
    return {kind: len(getattr(stand_in, kind)) for kind in ("pipelines", "versions", "experiments", "runs",
                                                            "schedules")}


NOTHING = {"pipelines": 0, "versions": 0, "experiments": 0, "runs": 0, "schedules": 0}


def test_a_run_is_started_and_its_address_printed(cluster):
    code, lines, err = cluster.run("--submit", *OWN, "--run-name", "first", "--experiment", "cells",
                                   "--service-account", "trainer", "--pipeline-root", "s3://bucket/runs")
    assert (code, err) == (0, "")
    (run,) = cluster.stand_in.runs.values()
    (version,) = cluster.stand_in.versions.values()
    (experiment,) = cluster.stand_in.experiments.values()
    assert lines == [f"pipeline mmdet-compress, version {version['name']}",
                     f"run first: {cluster.url}/#/runs/details/{run['run_id']}"]
    assert experiment["display_name"] == "cells"
    assert (run["display_name"], run["service_account"], run["experiment_id"]) == (
        "first", "trainer", experiment["experiment_id"])
    assert run["pipeline_version_reference"] == {key: version[key] for key in ("pipeline_id", "pipeline_version_id")}
    assert run["runtime_config"]["pipeline_root"] == "s3://bucket/runs"


def test_parameters_have_the_types_that_the_pipeline_declares(cluster):
    assert cluster.run("--submit", *OWN)[0] == 0
    (run,) = cluster.stand_in.runs.values()
    given = run["runtime_config"]["parameters"]
    assert {name: given[name] for name in ("data", "seed", "classes", "max_map_drop", "preflight", "model_options",
                                           "gpus", "gpu_tolerations")} == {
        "data": "s3://bucket/cells", "seed": 3, "classes": ["a", "b"], "max_map_drop": 0.02, "preflight": True,
        "model_options": {"runner.max_epochs": 2}, "gpus": 0, "gpu_tolerations": []}
    assert run["display_name"].startswith("mmdet-compress 20")


def test_the_same_content_is_uploaded_once_and_a_change_makes_a_version(cluster, monkeypatch):
    assert cluster.run("--submit")[0] == 0
    code, lines, _ = cluster.run("--submit")
    assert code == 0 and lines[0].endswith(" (there already)")
    assert made(cluster.stand_in) == {**NOTHING, "pipelines": 1, "versions": 1, "experiments": 1, "runs": 2}

    from pipelines import compress
    from pipelines.graph import define_pipeline

    changed = define_pipeline()
    changed.pipeline_spec.pipeline_info.description = "changed"
    monkeypatch.setattr(compress, "define_pipeline", lambda: changed)
    assert cluster.run("--submit")[0] == 0
    names = [version["name"] for version in cluster.stand_in.versions.values()]
    assert len(set(names)) == 2 and all(name.startswith("sha256-") and len(name) == 23 for name in names)


def test_what_is_looked_for_is_found_on_a_later_page(cluster):
    stand_in = cluster.stand_in
    cluster.run("--submit", "--pipeline-name", "other", "--experiment", "other")
    stand_in.page_size = 1
    for _ in range(2):
        assert cluster.run("--submit")[0] == 0
    assert made(stand_in) == {**NOTHING, "pipelines": 2, "versions": 2, "experiments": 2, "runs": 3}


@pytest.mark.parametrize(("options", "message"), [
    (["-p", "data=/data/cells"], "parameter data: /data/cells. A pod of the cluster does not see"),
    (["-p", "data=cells"], "Upload it and give its address"),
    (["-p", "checkpoint=file:///a.pth"], "parameter checkpoint: file:///a.pth"),
    (["-p", "destination=models"], "parameter destination: models"),
    (["-p", "model_config=my_detector.py"], "parameter model_config: my_detector.py. The images hold"),
    (["-p", "compression_config=configs/../../x.py"], "parameter compression_config"),
    (["-p", "seed=x"], "parameter seed: 'x'. It must be a whole number"),
    (["-p", "seeds=1"], "Did you mean `seed`"),
    (["-p", "s3_secret="], "parameter s3_secret: ''. It must be a secret's name"),
    (["-p", 'gpu_node_selector={"gpu": true}'], "parameter gpu_node_selector"),
    (["-p", 'cpu_tolerations=["spot"]'], "parameter cpu_tolerations: 'spot'. It is no object"),
    (["-p", "train_memory=11"], "parameter train_memory: '11'"), (["-p", "accelerator="], "parameter accelerator: ''"),
    (["--service-account", "My Account"], "--service-account: 'My Account'"),
    (["--service-account", "a..b"], "--service-account: 'a..b'"),
    (["-p", "gpus=9"], "parameter gpus: 9. A stage runs in one pod"), (["-p", "gpus=-1"], "parameter gpus: -1"),
    (["-p", "checkpoint_minutes=0"], "parameter checkpoint_minutes: 0.0"),
    (["-p", "max_map_drop=-1"], "max_map_drop"), (["-p", "objective=speed"], "parameter objective: speed"),
    (["-p", "price_per_hour=-1"], "parameter price_per_hour: -1"),
    (["-p", "min_initial_map_ratio=2"], "parameter min_initial_map_ratio: 2.0"),
    (["-p", "fine_tune=maybe"], "parameter fine_tune: maybe"),
    (["-p", "candidates=int9"], "parameter candidates: int9"),
    (["-p", "max_candidates=-1"], "parameter max_candidates: -1"),
    (["--pipeline-root", "s3:///x"], "--pipeline-root: s3:///x. After s3:// stands a bucket"),
    (["--pipeline-root", "s3://b c"], "--pipeline-root: s3://b c"), (["--pipeline-root", "gs://"], "--pipeline-root"),
    (["--pipeline-root", "minio:///x"], "--pipeline-root"),
    (["--pipeline-root", "/runs"], "--pipeline-root: /runs. Artifacts go to object storage"),
    (["--wait", "--poll", "0"], "--poll: 0.0"), (["--wait", "--wait-timeout", "soon"], "--wait-timeout: 'soon'")])
def test_bad_input_stops_before_the_cluster_is_asked(cluster, options, message):
    code, lines, err = cluster.run("--submit", *options)
    assert (code, lines) == (2, []) and message in err and err.count("\n") == 1
    assert cluster.stand_in.seen == []


@pytest.mark.parametrize(("path", "before"), [
    ("/pipelines$", NOTHING), ("/pipelines/upload_version$", NOTHING),
    ("/experiments$", {**NOTHING, "pipelines": 1, "versions": 1}), ("/runs$", {**NOTHING, "pipelines": 1,
                                                                               "versions": 1})])
@pytest.mark.parametrize(("status", "message"), [
    (401, "does not know who asks (401, a fault of 401). Give a valid token"),
    (403, "You have no right to this (403, a fault of 403). Check --namespace and --service-account"),
    (503, "could not answer (503, a fault of 503). Try again"), (400, "refuses it (400, a fault of 400)")])
def test_refusal_on_the_way_leaves_nothing_half_made(cluster, path, before, status, message):
    from kfp_api.server import Fault

    cluster.stand_in.faults.append(Fault("POST", path, status))
    code, _, err = cluster.run("--submit")
    assert code == 2 and message in err and err.count("\n") == 1
    assert made(cluster.stand_in) == before

    assert cluster.run("--submit")[0] == 0
    assert made(cluster.stand_in) == {**NOTHING, "pipelines": 1, "versions": 1, "experiments": 1, "runs": 1}


def test_run_whose_answer_was_lost_is_found_and_not_started_twice(cluster):
    from kfp_api.server import Fault

    assert cluster.run("--submit", "--run-name", "twice")[0] == 0
    cluster.stand_in.faults.append(Fault("POST", "/runs$", "lose"))
    code, lines, _ = cluster.run("--submit", "--run-name", "twice")
    assert code == 0
    assert lines[-1].endswith(list(cluster.stand_in.runs)[-1])
    assert len(cluster.stand_in.runs) == 2


def test_version_that_someone_else_uploads_meanwhile_is_taken(cluster, monkeypatch):
    cluster.run("--submit")
    from pipelines.cluster import versions

    original, asked = versions._find_version, []

    def find(*arguments):
        asked.append(arguments)
        return None if len(asked) == 1 else original(*arguments)

    monkeypatch.setattr(versions, "_find_version", find)
    assert cluster.run("--submit")[0] == 0
    assert len(cluster.stand_in.versions) == 1 and len(asked) == 2


def test_back_end_that_does_not_know_a_field_is_too_old(cluster, monkeypatch):
    from kfp_api import rules, server

    def read(content):
        raise rules.Refused(400, 'invalid v2 pipeline spec: proto: unknown field "resourceCpuLimit"')

    monkeypatch.setattr(server, "read_package", read)
    code, _, err = cluster.run("--submit")
    assert code == 2 and "It does not know a part of this pipeline" in err and "to the version of the SDK" in err
    assert made(cluster.stand_in) == NOTHING


def test_image_without_a_registry_is_remarked_on(cluster):
    code, lines, _ = cluster.run("--submit", quiet=False)
    assert code == 0
    assert [line for line in lines if line.startswith("notice: ")] == [
        f"notice: image mmdet-compress/{name}:0.1.0 names no registry, so nodes look for it on Docker Hub; name yours "
        "as docs/cluster.md says" for name in ("openvino", "train")]


@pytest.mark.parametrize(("options", "remarked"), [
    (["-p", "gpus=1"], True), (["-p", "gpus=1", "-p", "training_state=s3://bucket/states"], False), ([], False)])
def test_training_that_a_vanished_pod_would_begin_anew_is_remarked_on(cluster, options, remarked):
    code, lines, _ = cluster.run("--submit", *options, quiet=False)
    assert code == 0 and any("training_state is empty" in line for line in lines) == remarked


@pytest.mark.parametrize(("image", "registry"), [
    ("registry.example.com/a/train@sha256:0", True), ("localhost:5000/train:1", True), ("localhost/train", True),
    ("mmdet-compress/train:0.1.0", False), ("train", False)])
def test_registry_is_told_from_a_folder_of_docker_hub(image, registry):
    from pipelines.cluster.command import names_registry

    assert names_registry(image) == registry


@pytest.mark.parametrize(("options", "message"), [
    (["--host", "http://x"], "--host says something about a cluster"),
    (["--wait"], "--wait says something about a cluster"), (["--experiment", "a"], "--experiment says something"),
    (["--submit", "--no-cache"], "--no-cache is for this machine"),
    (["--submit", "--runner", "docker"], "--runner is for this machine"),
    (["--submit", "--compile", "a.yaml"], "--compile is for this machine"),
    (["--submit", "--every", "1d"], "not allowed with"), (["--every", "1d", "--wait"], "--wait follows a run"),
    (["--submit", "--poll", "1"], "--poll goes with --wait"),
    (["--list-schedules", "-p", "seed=1"], "-p shapes a run"),
    (["--doctor", "--wait"], "--wait follows a run"), (["--doctor", "--submit"], "not allowed with"),
    (["--unschedule", "a", "--run-name", "b"], "--run-name shapes a run")])
def test_options_that_do_not_go_together(options, message, capsys):
    from pipelines import compress

    with pytest.raises(SystemExit) as ended:
        compress.main(options)
    assert ended.value.code == 2 and message in capsys.readouterr().err
