"""The manifests are what Kubernetes takes, and fit the pipeline."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema_rs

# It holds Kubernetes' schemas; its own validator wants a newer jsonschema than NNCF.
import kubernetes_validate
import pytest
import yaml

from components.cluster_settings import ClusterSettings
from pipelines.resources import GPU_TOLERATION, SECRET_PATH, SECRET_VARIABLES, labels

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
# What is no manifest of Kubernetes' own kinds: kustomizations, eksctl's file and run parameters.
OTHER = {"kustomization.yaml", "eks-nodegroup.yaml", "gke.yaml", "eks.yaml", "bare-metal.yaml"}
FILES = sorted(path for path in DEPLOY.rglob("*.yaml") if path.name not in OTHER)
PARAMETERS = sorted(path for path in (DEPLOY / "gpu-nodes").glob("*.yaml") if path.name in OTHER and
                    "nodegroup" not in path.name)
VERSIONS = ["1.27", kubernetes_validate.latest_version().rpartition(".")[0]]
SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


def validate(document, version):
    """Raise ValidationError where Kubernetes ``version`` (two numbers) would not take ``document``."""
    folder = sorted(SCHEMAS.glob(f"v{version}.*-local-strict"))[-1]
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", document["apiVersion"])
    text = (folder / f"{document['kind'].lower()}-{group}.json").read_text(encoding="utf-8")
    schema = json.loads(text.replace("/api/_definitions.json#/", "#/"))
    schema["$defs"] = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    jsonschema_rs.validator_for(schema).validate(document)


def documents(path):
    return list(yaml.safe_load_all(path.read_text(encoding="ascii")))


def manifest(name):
    (document,) = documents(DEPLOY / name)
    return document


@pytest.fixture(name="rendered", scope="session")
def fixture_rendered():
    """Return what the example overlay renders to, by kind and name."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl, which renders kustomizations")
    done = subprocess.run(["kubectl", "kustomize", str(DEPLOY / "example")], check=True, capture_output=True, text=True)
    return {(document["kind"], document["metadata"]["name"]): document for document in yaml.safe_load_all(done.stdout)}


@pytest.fixture(name="defaults")
def fixture_defaults():
    pipeline, _ = documents(PROJECT / "pipelines" / "compress.yaml")
    return {name: declared.get("defaultValue") for name, declared in
            pipeline["root"]["inputDefinitions"]["parameters"].items()}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_manifest_keeps_the_schema(path, version):
    for document in documents(path):
        validate(document, version)


def test_schema_notices_a_field_that_is_not_there():
    document = {**manifest("example/s3-secret.yaml"), "stringdata": {}}
    with pytest.raises(jsonschema_rs.ValidationError):
        validate(document, VERSIONS[-1])


def test_secrets_have_the_names_that_runs_ask_for(defaults):
    assert manifest("example/s3-secret.yaml")["metadata"]["name"] == defaults["s3_secret"]
    assert manifest("example/registry-secret.yaml")["metadata"]["name"] == defaults["image_pull_secret"]


def test_storage_secret_has_entries_that_stages_read(defaults):
    entries = manifest("example/s3-secret.yaml")["stringData"]
    assert entries.keys() - {"ca.crt"} <= set(SECRET_VARIABLES)
    assert entries["AWS_CA_BUNDLE"] == entries["SSL_CERT_FILE"] == f"{SECRET_PATH}/ca.crt"
    assert entries["AWS_SECRET_ACCESS_KEY"] == "fill in"


def test_launcher_reads_the_same_secret(defaults):
    data = manifest("base/kfp-launcher.yaml")["data"]
    settings = yaml.safe_load(data["providers"])["s3"]["default"]
    reference = settings["credentials"]["secretRef"]
    assert reference["secretName"] == defaults["s3_secret"]
    entries = manifest("example/s3-secret.yaml")["stringData"]
    assert {reference["accessKeyKey"], reference["secretKeyKey"]} <= entries.keys()
    assert data["defaultPipelineRoot"].startswith("s3://")


def test_role_is_bound_to_its_service_account():
    account, role, binding = documents(DEPLOY / "base" / "rbac.yaml")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [account["metadata"]["name"]]


def test_role_grants_every_right_that_the_doctor_asks_for():
    from pipelines.cluster.doctor import RIGHTS

    _, role, _ = documents(DEPLOY / "base" / "rbac.yaml")
    granted = {(verb, group, resource) for rule in role["rules"] for verb in rule["verbs"]
               for group in rule["apiGroups"] for resource in rule["resources"]}
    assert set(RIGHTS) <= granted
    assert {resource for _, group, resource in granted if group} == {
        resource for _, group, resource in RIGHTS if group}


def test_every_file_of_a_kustomization_is_there_and_every_manifest_in_one():
    used = set()
    for path in DEPLOY.rglob("kustomization.yaml"):
        (content,) = documents(path)
        named = [*content.get("resources", []), *content.get("components", []),
                 *(patch["path"] for patch in content.get("patches", []) if "path" in patch)]
        for name in named:
            assert (path.parent / name).exists(), (path, name)
            used.add((path.parent / name).resolve())
    assert {path for path in FILES if path.parent.name in ("base", "example", "from-env")} <= used


@pytest.mark.parametrize("version", VERSIONS)
def test_overlay_renders_to_what_kubernetes_takes(rendered, version):
    for document in rendered.values():
        validate(document, version)
        assert document["metadata"]["namespace"] == "team-a"
        for subject in document.get("subjects", []):
            assert subject.get("namespace", "team-a") == "team-a"


def test_overlay_copied_as_the_readme_says_has_its_subjects_in_its_namespace(rendered, tmp_path):
    copy = shutil.copytree(DEPLOY, tmp_path / "my-deploy")
    overlay = copy / "example" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("namespace: team-a", "namespace: kubeflow"))
    done = subprocess.run(["kubectl", "kustomize", str(copy / "example")], check=True, capture_output=True, text=True)
    found = list(yaml.safe_load_all(done.stdout))
    assert {(one["kind"], one["metadata"]["name"]) for one in found} == rendered.keys()
    subjects = [subject for one in found for subject in one.get("subjects", []) if subject["kind"] == "ServiceAccount"]
    assert {subject["namespace"] for subject in subjects} == {"kubeflow"} and len(subjects) == 2
    # Only what the README's line opens in the editor is to be changed, and the overlay names all of it.
    (line,) = [line for line in (DEPLOY / "README.md").read_text().splitlines() if line.startswith("$EDITOR")]
    assert set(line.split()[1:]) == {path.name for path in (DEPLOY / "example").glob("*.yaml")}


def test_role_of_the_stages_is_one_that_the_overlays_namespace_has(rendered):
    """A profile's namespace has the ClusterRole kubeflow-edit, and no Role pipeline-runner."""
    binding = rendered["RoleBinding", "mmdet-compress-stages"]
    assert binding["metadata"]["namespace"] == "team-a"
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("ClusterRole", "kubeflow-edit")


def test_overlay_puts_bucket_access_and_subjects_in_their_places(rendered):
    launcher = rendered["ConfigMap", "kfp-launcher"]["data"]
    assert launcher["defaultPipelineRoot"] == "s3://my-bucket/kfp"
    assert yaml.safe_load(launcher["providers"])["s3"]["default"]["credentials"] == {"fromEnv": True}
    subjects = rendered["RoleBinding", "mmdet-compress-submitter"]["subjects"]
    assert [subject["kind"] for subject in subjects] == ["ServiceAccount", "User"]
    assert rendered["ResourceQuota", "mmdet-compress"]["spec"]["hard"] == {"requests.nvidia.com/gpu": "4"}


def test_variant_from_the_environment_differs_in_the_access_alone():
    base, variant = (yaml.safe_load(manifest(f"{folder}/kfp-launcher.yaml")["data"]["providers"])["s3"]["default"]
                     for folder in ("base", "example"))
    assert base.pop("credentials")["fromEnv"] is False
    assert variant.pop("credentials") == {"fromEnv": True}
    assert base == variant


def test_placeholders_are_left_in_files_alone_that_the_overlay_has_or_replaces():
    """Who fills in what stands in deploy/example leaves no placeholder of another file in force."""
    from pipelines.cluster.doctor import placeholders

    replaced = {path.name: manifest(f"example/{path.name}") for path in (DEPLOY / "example").glob("*.yaml")
                if path.name not in OTHER | {"service-account.yaml"}}
    for path in (*(DEPLOY / "base").glob("*.yaml"), *(DEPLOY / "from-env").glob("*.yaml")):
        for document in documents(path):
            left = {entry for entry, text in document.get("data", {}).items() if placeholders(str(text))}
            assert left <= replaced.get(path.name, {}).get("data", {}).keys(), (path, left)
    assert placeholders(replaced["kfp-launcher.yaml"]["data"]["providers"]) == ["s3.example.com"]
    for name in ("s3-secret.yaml", "registry-secret.yaml"):
        assert any(placeholders(text) for text in replaced[name]["stringData"].values())


def test_network_policy_holds_for_the_pods_of_stages():
    policy = manifest("base/network-policy.yaml")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels("train").items()
    assert policy["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in policy


# The S3 port of the stock store: service port to the pod's port (manifests/kustomize/third-party/seaweedfs/base/
# seaweedfs/seaweedfs-service.yaml:18-21 of KFP 2.17.0). Argo's containers archive logs there (archiveLogs).
STOCK_STORE = {9000: 8333}


def test_network_policy_lets_logs_reach_the_stock_store_at_its_pods_port():
    egress = manifest("base/network-policy.yaml")["spec"]["egress"]
    (to_kubeflow,) = [rule for rule in egress if "to" in rule]
    assert set(STOCK_STORE.values()) <= {port["port"] for port in to_kubeflow["ports"]}


def test_roles_reach_their_keys_in_the_variant_that_takes_them_from_there():
    """Addresses of EKS Pod Identity and of the metadata service; with static keys neither is open."""
    (component,) = documents(DEPLOY / "from-env" / "kustomization.yaml")
    (patch,) = [one for one in component["patches"] if "target" in one]
    opened = [step["value"] for step in yaml.safe_load(patch["patch"])]
    assert {(rule["to"][0]["ipBlock"]["cidr"], rule["ports"][0]["port"]) for rule in opened} == {
        ("169.254.170.23/32", 80), ("169.254.169.254/32", 80)}
    policy = manifest("base/network-policy.yaml")
    assert patch["target"] == {"kind": policy["kind"], "name": policy["metadata"]["name"]}
    assert not any("ipBlock" in place for rule in policy["spec"]["egress"] for place in rule.get("to", []))
    policy["spec"]["egress"] += opened
    for version in VERSIONS:
        validate(policy, version)


def test_overlay_renders_the_ways_to_a_roles_keys(rendered):
    egress = rendered["NetworkPolicy", "mmdet-compress"]["spec"]["egress"]
    assert sum("ipBlock" in place for rule in egress for place in rule.get("to", [])) == 2


def test_retries_for_spot_nodes_keep_the_rest_of_the_stock_entry():
    spec = yaml.safe_load(manifest("argo-retry.yaml")["data"]["workflowDefaults"])["spec"]
    assert set(spec["ttlStrategy"].values()) == {3600}
    strategy = spec["templateDefaults"]["retryStrategy"]
    assert strategy["retryPolicy"] == "Always" and strategy["limit"] == "2"
    # What a stage that failed by itself ends with is not among them: the launcher's 1.
    assert re.search(r"in \[137, 143\]", strategy["expression"])


@pytest.mark.parametrize("path", PARAMETERS, ids=lambda path: path.name)
def test_parameters_for_gpu_nodes_are_ones_of_the_pipeline(path):
    from pipelines.graph import define_pipeline
    from pipelines.parameters import load_parameters, read_parameters

    given = load_parameters(path, read_parameters(define_pipeline().pipeline_spec))
    ClusterSettings(**{name: value for name, value in given.items() if name != "gpus"}).check()


def test_parameters_lead_to_the_nodes_of_eks():
    from pipelines.cluster.doctor import fits

    (group,) = manifest("gpu-nodes/eks-nodegroup.yaml")["managedNodeGroups"]
    given = manifest("gpu-nodes/eks.yaml")
    node = {"metadata": {"labels": group["labels"]}, "spec": {"taints": group["taints"]},
            "status": {"allocatable": {"cpu": "3920m", "memory": "15Gi", "nvidia.com/gpu": "1"}}}
    size = {"cpu": "3", "memory": "11Gi", "nvidia.com/gpu": "1"}
    assert fits(node, size, given["gpu_node_selector"], [*given["gpu_tolerations"], GPU_TOLERATION])
    assert not fits(node, size, given["gpu_node_selector"], [GPU_TOLERATION])
    assert not fits(node, {**size, "memory": "16Gi"}, given["gpu_node_selector"], given["gpu_tolerations"])
