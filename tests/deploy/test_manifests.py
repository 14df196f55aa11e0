"""The manifests are what Kubernetes takes, and fit the pipeline."""

import json
import re
from pathlib import Path

import jsonschema_rs

# It holds Kubernetes' schemas; its own validator wants a newer jsonschema than NNCF.
import kubernetes_validate
import pytest
import yaml

from pipelines.resources import SECRET_PATH, SECRET_VARIABLES

PROJECT = Path(__file__).parents[2]
FILES = sorted((PROJECT / "deploy").glob("*.yaml"))
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
    (document,) = documents(PROJECT / "deploy" / name)
    return document


@pytest.fixture(name="defaults")
def fixture_defaults():
    pipeline, _ = documents(PROJECT / "pipelines" / "compress.yaml")
    return {name: declared.get("defaultValue") for name, declared in
            pipeline["root"]["inputDefinitions"]["parameters"].items()}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifest_keeps_the_schema(path, version):
    for document in documents(path):
        validate(document, version)


def test_schema_notices_a_field_that_is_not_there():
    document = {**manifest("s3-secret.yaml"), "stringdata": {}}
    with pytest.raises(jsonschema_rs.ValidationError):
        validate(document, VERSIONS[-1])


def test_secrets_have_the_names_that_runs_ask_for(defaults):
    assert manifest("s3-secret.yaml")["metadata"]["name"] == defaults["s3_secret"]
    assert manifest("registry-secret.yaml")["metadata"]["name"] == defaults["image_pull_secret"]


def test_storage_secret_has_entries_that_stages_read(defaults):
    entries = manifest("s3-secret.yaml")["stringData"]
    assert entries.keys() - {"ca.crt"} <= set(SECRET_VARIABLES)
    assert entries["AWS_CA_BUNDLE"] == f"{SECRET_PATH}/ca.crt"
    assert entries["AWS_SECRET_ACCESS_KEY"] == "fill in"


def test_launcher_reads_the_same_secret(defaults):
    data = manifest("kfp-launcher.yaml")["data"]
    settings = yaml.safe_load(data["providers"])["s3"]["default"]
    reference = settings["credentials"]["secretRef"]
    assert reference["secretName"] == defaults["s3_secret"]
    assert {reference["accessKeyKey"], reference["secretKeyKey"]} <= manifest("s3-secret.yaml")["stringData"].keys()
    assert data["defaultPipelineRoot"].startswith("s3://")


def test_role_is_bound_to_its_service_account():
    account, role, binding = documents(PROJECT / "deploy" / "rbac.yaml")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert {document["metadata"]["namespace"] for document in (account, role, binding)} == {"team-a"}
    assert {"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": "team-a"} in binding["subjects"]
