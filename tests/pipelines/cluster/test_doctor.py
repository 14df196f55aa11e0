"""--doctor: what an installation lacks, one line a thing."""

import pytest

from tests.pipelines.cluster import kubernetes_standin

KEYS = {"AWS_ACCESS_KEY_ID": "AKIA-canary", "AWS_SECRET_ACCESS_KEY": "canary/secret"}
PROVIDERS = """
s3: {default: {endpoint: "https://s3.cells.example.org", region: r, credentials: {fromEnv: false, secretRef: {
  secretName: mmdet-compress-s3, accessKeyKey: AWS_ACCESS_KEY_ID, secretKeyKey: AWS_SECRET_ACCESS_KEY}}}}
"""
LAUNCHER = {"defaultPipelineRoot": "s3://cells/kfp", "providers": PROVIDERS}
STOCK = {"workflowDefaults": """
spec: {ttlStrategy: {secondsAfterCompletion: 3600}, templateDefaults: {
  retryStrategy: {limit: '2', retryPolicy: OnError}}}
"""}
NODE = {"metadata": {"name": "gpu-1", "labels": {"gpu": "a10"}}, "spec": {"taints": [
    {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]}, "status": {"allocatable": {
        "cpu": "3920m", "memory": "13956636Ki", "nvidia.com/gpu": "1"}}}
PLAIN = {"metadata": {"name": "cpu-1"}, "spec": {}, "status": {"allocatable": {"cpu": "4", "memory": "16368361472"}}}
DIGEST = "registry.example.com/a@sha256:" + "0" * 64


@pytest.fixture(name="kubernetes")
def fixture_kubernetes(tmp_path, monkeypatch):
    stand_in = kubernetes_standin.KubernetesStandIn(
        secrets={"mmdet-compress-s3": dict(KEYS), "mmdet-compress-registry": {".dockerconfigjson": "{}"}},
        config_maps={"kfp-launcher": dict(LAUNCHER), "workflow-controller-configmap": dict(STOCK)}, nodes=[NODE, PLAIN])
    server, config = kubernetes_standin.start(stand_in, tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(config))
    yield stand_in
    server.shutdown()
    server.server_close()


@pytest.fixture(name="examine")
def fixture_examine(cluster, monkeypatch):
    """Return a function that runs --doctor and returns its exit code and its findings by thing."""
    from components import images
    from pipelines.cluster import command

    monkeypatch.setattr(images, "TRAIN", DIGEST)
    monkeypatch.setattr(images, "OPENVINO", DIGEST)
    monkeypatch.setattr(command, "_list_bucket", lambda address: None)

    def examine(*options):
        code, lines, err = cluster.run("--doctor", "-p", "gpus=1", *options)
        assert err == "" and not any("canary" in line for line in lines)
        found = {}
        for line in lines[:-1]:
            if not line.startswith(" "):
                thing, _, rest = line[8:].partition(": ")
                found[thing] = (line[:8].strip(), rest)
        return code, found, lines[-1]

    return examine


def test_sound_installation_lacks_nothing(examine, kubernetes, cluster):
    code, found, last = examine("-p", "destination=s3://cells/models")
    assert code == 0 and {verdict for verdict, _ in found.values()} == {"ok"}, found
    assert found["version"][1] == "2.17.0"
    assert found["ConfigMap kfp-launcher"][1] == "artifacts go to s3://cells/kfp, with the secret mmdet-compress-s3"
    assert found["secret mmdet-compress-s3"][1] == "has AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
    assert found["node for train"][1] == "1 of 2 could hold 3 cpu, 11Gi memory, 1 nvidia.com/gpu"
    assert {"destination", "pipeline root"} <= found.keys()
    assert found["vanished pods"][1] == (
        "come again (OnError, 2 times where a stage has no number of its own, and every graph around it likewise); "
        "workflows and pods are deleted 3600 s after their end")
    assert last.endswith("0 lacking, 0 that cannot be told from here.")
    assert {method for method, path in cluster.stand_in.seen} == {"GET"}
    assert all(method == "GET" or path.endswith("selfsubjectaccessreviews") for method, path in kubernetes.asked)


@pytest.mark.parametrize(("spoil", "thing", "verdict", "said"), [
    (lambda k: k.secrets.update({"mmdet-compress-s3": {"AWS_ACCESS_KEY_ID": "a"}}), "secret mmdet-compress-s3", "lacks",
     "only AWS_ACCESS_KEY_ID of a pair"),
    (lambda k: k.secrets["mmdet-compress-s3"].update(ACCESS_KEY="a"), "secret mmdet-compress-s3", "lacks",
     "do not read its entries ACCESS_KEY"),
    (lambda k: k.secrets["mmdet-compress-s3"].update(AWS_DEFAULT_REGION="fill in"), "secret mmdet-compress-s3", "lacks",
     "AWS_DEFAULT_REGION still reads 'fill in'"),
    (lambda k: k.secrets["mmdet-compress-s3"].update(AWS_CA_BUNDLE="/etc/mmdet-compress/s3/ca.crt"),
     "secret mmdet-compress-s3", "lacks", "there is no entry ca.crt"),
    (lambda k: k.secrets.clear(), "secret mmdet-compress-s3", "unknown", "is not there in kubeflow"),
    (lambda k: k.secrets.clear(), "ConfigMap kfp-launcher", "lacks", "has no entries AWS_ACCESS_KEY_ID and"),
    (lambda k: k.secrets["mmdet-compress-s3"].update(AWS_SESSION_TOKEN="a"), "ConfigMap kfp-launcher", "lacks",
     "drops the session token"),
    (lambda k: k.secrets.pop("mmdet-compress-registry"), "secret mmdet-compress-registry", "unknown", "is not there"),
    (lambda k: k.config_maps.clear(), "ConfigMap kfp-launcher", "unknown", "is not there"),
    (lambda k: k.config_maps["kfp-launcher"].update(defaultPipelineRoot="s3://my-bucket/kfp"),
     "ConfigMap kfp-launcher", "lacks", "defaultPipelineRoot still reads 'my-bucket'"),
    (lambda k: k.config_maps["kfp-launcher"].update(
        providers="s3: {default: {endpoint: 'https://s3.example.com', credentials: {fromEnv: true}}}"),
     "ConfigMap kfp-launcher", "lacks", "providers still reads 's3.example.com'"),
    (lambda k: k.secrets["mmdet-compress-s3"].update(AWS_ENDPOINT_URL="https://s3.example.com"),
     "secret mmdet-compress-s3", "lacks", "AWS_ENDPOINT_URL still reads 's3.example.com'"),
    (lambda k: k.secrets["mmdet-compress-registry"].update({".dockerconfigjson": '{"password": "fill in"}'}),
     "secret mmdet-compress-registry", "lacks", ".dockerconfigjson still reads 'fill in'"),
    (lambda k: k.config_maps["kfp-launcher"].update(providers="s3: ["), "ConfigMap kfp-launcher", "lacks",
     "its providers cannot be read"),
    (lambda k: k.config_maps["kfp-launcher"].update(providers="s3: {default: {credentials: {fromEnv: true}}}"),
     "ConfigMap kfp-launcher", "ok", "with the stages' own access"),
    (lambda k: k.config_maps["workflow-controller-configmap"].clear(), "vanished pods", "lacks", "do not come again"),
    (lambda k: k.config_maps["workflow-controller-configmap"].update(workflowDefaults="spec: 3"), "vanished pods",
     "unknown", ""),
    (lambda k: k.forbidden.add("secrets"), "secret mmdet-compress-s3", "unknown", "may not read secrets (403"),
    (lambda k: k.forbidden.add("nodes"), "nodes", "unknown", "may not read the nodes (403"),
    (lambda k: k.nodes.remove(NODE), "node for train", "lacks", "none of 1 has 3 cpu, 11Gi memory, 1 nvidia.com/gpu"),
    (lambda k: setattr(k, "rights", set()), "right to get pods/log in kubeflow", "lacks", "no, of")])
def test_what_is_lacking_is_said_with_what_to_do(examine, kubernetes, spoil, thing, verdict, said):
    spoil(kubernetes)
    code, found, _ = examine()
    assert found[thing][0] == verdict and said in found[thing][1], found[thing]
    assert code == (1 if any(one == "lacks" for one, _ in found.values()) else 0)


@pytest.mark.parametrize(("options", "thing", "said"), [
    (["-p", "gpu_node_selector={\"gpu\": \"h100\"}"], "node for train", "none of 2"),
    (["-p", "train_memory=14Gi"], "node for train", "none of 2"),
    (["-p", "eval_memory=300Gi"], "node for eval", "none of 2 has 3 cpu, 300Gi memory"),
    (["-p", "gpus=0", "-p", "train_cpu=64"], "node for train", "none of 2 has 64 cpu, 11Gi memory,"),
    (["-p", "export_cpu=64"], "node for export", "none of 2 has 64 cpu"),
    (["-p", "measure_cpu=64"], "node for measure", "none of 2 has 64 cpu"),
    (["-p", "gpus=9"], "parameter gpus", "9. A stage runs in one pod"),
    (["--pipeline-root", "s3://b c"], "--pipeline-root", "After s3:// stands a bucket"),
    (["-p", "s3_secret=my.secret"], "parameter s3_secret", "'my.secret'. It must be a secret's name")])
def test_the_runs_own_parameters_are_looked_at(examine, kubernetes, options, thing, said):
    code, found, _ = examine(*options)
    assert code == 1 and found[thing][0] == "lacks" and said in found[thing][1]


def test_each_wrong_parameter_is_said_with_what_to_do(examine, kubernetes, cluster):
    wrong = {"s3_secret": "", "image_pull_secret": "", "accelerator": "", "train_cpu": "x", "train_memory": "x",
             "eval_cpu": "x", "eval_memory": "x", "objective": "x"}
    code, lines, _ = cluster.run("--doctor", *(part for name, value in wrong.items()
                                               for part in ("-p", f"{name}={value}")))
    assert code == 1
    said = {line[8:].partition(": ")[0]: after for line, after in zip(lines, lines[1:]) if line.startswith("lacks")}
    assert {f"parameter {name}" for name in wrong} <= said.keys()
    assert all(after.startswith(" " * 8) and after.strip() for after in said.values())
    # An empty name would list all secrets.
    assert not any(path.rstrip("/").endswith("/secrets") for _, path in kubernetes.asked)


def test_node_that_takes_no_pods_holds_none(examine, kubernetes):
    kubernetes.nodes[0] = {**NODE, "spec": {**NODE["spec"], "unschedulable": True}}
    code, found, _ = examine()
    assert code == 1 and found["node for train"][0] == "lacks"


MINIO = {"accesskey": "canary", "secretkey": "canary"}


@pytest.mark.parametrize(("data", "options", "verdict", "said"), [
    # A stock installation for one user (pipeline-install-config.yaml:49 of KFP 2.17.0).
    ({"defaultPipelineRoot": ""}, [], "unknown", "artifacts go to the installation's own store, minio://mlpipeline"),
    ({"defaultPipelineRoot": ""}, ["--pipeline-root", "s3://cells/kfp"], "ok",
     "artifacts go to s3://cells/kfp, with the stages' own access"),
    ({"defaultPipelineRoot": "s3://my-bucket/kfp", "providers": PROVIDERS}, ["--pipeline-root", "s3://cells/kfp"], "ok",
     "artifacts go to s3://cells/kfp, with the secret mmdet-compress-s3"),
    ({"defaultPipelineRoot": "minio://mlpipeline/private-artifacts/a"}, [], "ok",
     "the secret mlpipeline-minio-artifact"),
    ({"defaultPipelineRoot": "gs://cells/kfp"}, [], "ok", "with what the installation has for gs://"),
    (None, ["--pipeline-root", "s3://cells/kfp"], "ok", "artifacts go to s3://cells/kfp")])
def test_launcher_is_judged_by_the_root_of_the_run(examine, kubernetes, data, options, verdict, said):
    kubernetes.secrets["mlpipeline-minio-artifact"] = MINIO
    if data is None:
        del kubernetes.config_maps["kfp-launcher"]
    else:
        kubernetes.config_maps["kfp-launcher"] = data
    code, found, _ = examine(*options)
    assert code == 0 and found["ConfigMap kfp-launcher"][0] == verdict
    assert said in found["ConfigMap kfp-launcher"][1]


def test_minio_without_the_installations_secret(examine, kubernetes):
    kubernetes.config_maps["kfp-launcher"] = {"defaultPipelineRoot": "minio://mlpipeline/a"}
    code, found, _ = examine()
    assert code == 1 and "'mlpipeline-minio-artifact' has no entries" in found["ConfigMap kfp-launcher"][1]


def test_rights_in_an_installation_for_many_users(examine, kubernetes, cluster):
    cluster.stand_in.namespaces = {"team-a"}
    from pipelines.cluster.doctor import RIGHTS

    lacking = {("list", "experiments"), ("get", "runs"), ("create", "pipelines/versions"), ("create", "jobs")}
    kubernetes.rights = {(verb, resource) for verb, _, resource in RIGHTS} - lacking
    code, found, _ = examine("--namespace", "team-a")
    assert code == 1
    assert {thing for thing, (verdict, _) in found.items() if verdict == "lacks"} == {
        f"right to {verb} {kind}.pipelines.kubeflow.org in team-a" for verb, kind in lacking}


def test_without_a_kubeconfig_the_rest_is_still_looked_at(examine, monkeypatch, tmp_path, cluster):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    cluster.stand_in.version = "2.5.0"
    code, found, _ = examine()
    assert code == 0
    assert found["Kubernetes"][0] == "unknown" and "no kubeconfig" in found["Kubernetes"][1]
    assert found["version"] == ("unknown", "2.5.0") and found["API server"][0] == "ok"


def test_images_by_tag_are_said(examine, kubernetes, monkeypatch):
    from components import images

    monkeypatch.setattr(images, "TRAIN", "registry.example.com/train:1")
    code, found, _ = examine()
    assert code == 1 and found["image"] == ("ok", DIGEST)


def test_bucket_that_cannot_be_listed_from_here_is_not_lacking(examine, kubernetes, monkeypatch):
    from core.base.errors import UserError
    from pipelines.cluster import command

    def refuse(address):
        raise UserError(f"object {address}", "AccessDenied (HTTP 403)", "It must be allowed.", "Check.")

    monkeypatch.setattr(command, "_list_bucket", refuse)
    code, found, _ = examine()
    assert code == 0 and found["pipeline root"][0] == "unknown" and "AccessDenied" in found["pipeline root"][1]
