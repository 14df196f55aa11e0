"""What an installation still lacks for runs, as far as the client's side can tell: one line a thing, and what to do."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from components import images
from components.cluster_settings import SMALLEST_MEMORY, is_subdomain, quantity
from components.resolve.stage import Resolve
from components.stage import check_values
from core.base.errors import UserError
from core.base.faults import Faults
from core.base.text import shown
from core.config.data_only import data_from_yaml
from pipelines.cluster.connection import Connection
from pipelines.cluster.kubernetes_api import Kubernetes, NoAccess
from pipelines.cluster.listing import entries
from pipelines.cluster.runs import check_pipeline_root
from pipelines.resources import GPU_TOLERATION, SECRET_PATH, SECRET_VARIABLES, STAGES

LAUNCHER = "kfp-launcher"
CONTROLLER, CONTROLLER_NAMESPACE = "workflow-controller-configmap", "kubeflow"
CA_ENTRY = "ca.crt"
# Where artifacts go with no root of one's own (v2/config/env.go:38 of KFP 2.17.0; a stock ConfigMap names none,
# pipeline-install-config.yaml:49), and whose keys the launcher takes for a minio:// root where providers name none, as
# for a profile's (v2/config/minio.go:33 and env.go:41-44 and 179-189).
STOCK_ROOT = "minio://mlpipeline/v2/artifacts"
STOCK_SECRET = {"secretName": "mlpipeline-minio-artifact", "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
TESTED_VERSION = "2.17"
# What deploy/example leaves to be filled in; example.com belongs to nobody (RFC 2606).
_PLACEHOLDER = re.compile(r"fill[ -]in|\bmy-bucket\b|[-a-z0-9.]*\bexample\.com\b", re.IGNORECASE)
# What this command line asks of the back-end and a person of a cluster; deploy/base/rbac.yaml grants it.
_API = "pipelines.kubeflow.org"
RIGHTS = (*((verb, _API, kind) for kind, verbs in {
    "pipelines": ("create", "list"), "pipelines/versions": ("create", "list"), "experiments": ("create", "list"),
    "runs": ("create", "get", "list"), "jobs": ("create", "list", "enable", "disable", "delete")}.items()
    for verb in verbs), ("get", "", "pods/log"))


class Verdict(StrEnum):
    """How a thing stands."""

    OK = "ok"
    LACKS = "lacks"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        verdict: How it stands.
        advice: What to do; empty where nothing.
    """

    verdict: Verdict
    thing: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:<8}{self.thing}: {self.found}" + (f"\n{'':8}{self.advice}" if self.advice else "")


class Doctor:
    """Looks at one installation for a run with these parameters.

    Args:
        kubernetes: Opens the cluster's own API; raises NoAccess where there is none.
        parameters: A value for every parameter of the run.
        pipeline_root: Where artifacts are to go, None for the namespace's own.
        list_bucket: Lists an address on S3 with the access of this machine; raises UserError where it cannot.
    """

    def __init__(self, connection: Connection, kubernetes: Callable[[], Kubernetes], parameters: Mapping[str, Any],
                 pipeline_root: str | None, list_bucket: Callable[[str], Any]) -> None:
        self._connection, self._open, self._parameters = connection, kubernetes, parameters
        self._root, self._list_bucket = pipeline_root, list_bucket
        self._namespace = connection.namespace or "kubeflow"

    def findings(self) -> Iterator[Finding]:
        """Yield what is found, the nearest first."""
        yield from self._api_server()
        wrong = self._wrong_parameters()
        yield from wrong or [ Finding(Verdict.OK, "parameters", "names, numbers, selectors, tolerations and sizes are "
                                     "well formed")]
        yield from self._images()
        try:
            kubernetes = self._open()
        except NoAccess as error:
            yield Finding(Verdict.UNKNOWN, "Kubernetes", shown(error),
                          "Rights, secrets, nodes and the launcher's settings are looked at where a kubeconfig is: set "
                          "$KUBECONFIG, or let someone who has one run this.")
            yield from self._buckets(self._root)
            return
        yield from self._rights(kubernetes)
        yield from self._secrets(kubernetes)
        settings, found = self._launcher(kubernetes)
        yield from found
        yield _retries(kubernetes)
        yield from self._nodes(kubernetes) if not wrong else ()
        yield from self._buckets(settings)

    def _api_server(self) -> Iterator[Finding]:
        yield Finding(Verdict.OK, "API server", self._connection.host)
        version = self._connection.version()
        if version is None:
            yield Finding(Verdict.UNKNOWN, "version", "the API server does not tell its own",
                          f"This is made for {TESTED_VERSION}.")
        elif version.lstrip("v").startswith(f"{TESTED_VERSION}."):
            yield Finding(Verdict.OK, "version", version)
        else:
            yield Finding(Verdict.UNKNOWN, "version", version, f"This is made for {TESTED_VERSION}: of an older one "
                          "optional secrets and sizes as parameters may not be known.")
        try:
            list(entries(self._connection, "run", "-", lambda **page: self._connection.client.list_runs(
                namespace=self._connection.namespace, **page), "runs"))
        except UserError as error:
            yield Finding(Verdict.LACKS, f"namespace {self._namespace}", error.rule, error.hint)
        else:
            yield Finding(Verdict.OK, f"namespace {self._namespace}", "its runs can be listed")

    def _wrong_parameters(self) -> list[Finding]:
        """Return a finding of each parameter that cannot be what it is."""
        faults = Faults()
        faults.of(lambda: check_values(Resolve, self._parameters))
        if self._root is not None:
            faults.of(lambda: check_pipeline_root(self._root))
        return [Finding(Verdict.LACKS, fault.thing, f"{fault.value}. {fault.rule}", fault.hint)
                for fault in faults.found()]

    def _images(self) -> Iterator[Finding]:
        for name in (images.TRAIN, images.OPENVINO):
            if "@sha256:" in name:
                yield Finding(Verdict.OK, "image", name)
            else:
                yield Finding(Verdict.LACKS, "image", f"{name} is named by a tag", "Push it (make push REGISTRY=...), "
                              "so that it is named by its digest; behind a tag a cached stage may be of another image.")

    def _rights(self, kubernetes: Kubernetes) -> Iterator[Finding]:
        for verb, group, resource in RIGHTS:
            if group and self._connection.namespace is None:
                # An installation for one user asks nobody.
                continue
            thing = f"right to {verb} {resource}{'.' if group else ''}{group} in {self._namespace}"
            try:
                allowed = kubernetes.may(self._namespace, verb, group, resource)
            except NoAccess as error:
                yield Finding(Verdict.UNKNOWN, thing, shown(error))
                continue
            yield Finding(Verdict.OK, thing, "yes, of the kubeconfig's user") if allowed else Finding(
                Verdict.LACKS, thing, "no, of the kubeconfig's user", "Have deploy/base/rbac.yaml applied.")

    def _secrets(self, kubernetes: Kubernetes) -> Iterator[Finding]:
        for parameter in ("s3_secret", "image_pull_secret"):
            name = self._parameters[parameter]
            if not is_subdomain(name):
                # No secret is called so, and to ask for an empty name is to ask for all; said of the parameter already.
                continue
            try:
                secret = kubernetes.secret(self._namespace, name)
            except NoAccess as error:
                yield Finding(Verdict.UNKNOWN, f"secret {name}", shown(error))
                continue
            if parameter == "s3_secret":
                yield self._storage_secret(name, secret)
            elif secret is None:
                yield Finding(Verdict.UNKNOWN, f"secret {name}", "is not there",
                              "Right where the registry asks for no password.")
            elif left := _left(secret):
                yield Finding(Verdict.LACKS, f"secret {name}", left, "Write there your registry and its password.")
            else:
                yield Finding(Verdict.OK, f"secret {name}", "is there")

    def _storage_secret(self, name: str, secret: Mapping[str, str] | None) -> Finding:
        thing = f"secret {name}"
        if secret is None:
            return Finding(Verdict.UNKNOWN, thing, f"is not there in {self._namespace}",
                           "Right where a role gives access; else fill in and apply deploy/example.")
        unknown = sorted(secret.keys() - {*SECRET_VARIABLES, CA_ENTRY})
        if unknown:
            return Finding(Verdict.LACKS, thing, f"stages do not read its entries {', '.join(unknown)}",
                           f"They read {', '.join(SECRET_VARIABLES)} and the file {CA_ENTRY}.")
        halves = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & secret.keys()
        if len(halves) == 1:
            return Finding(Verdict.LACKS, thing, f"holds only {halves.pop()} of a pair of keys", "Add the other one.")
        if left := _left(secret):
            return Finding(Verdict.LACKS, thing, left, "Fill them in, or leave them out.")
        for entry in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
            if secret.get(entry, "").startswith(SECRET_PATH) and CA_ENTRY not in secret:
                return Finding(Verdict.LACKS, thing, f"{entry} names {secret[entry]}, and there is no entry {CA_ENTRY}",
                               "Add the certificate.")
        return Finding(Verdict.OK, thing, f"has {', '.join(sorted(secret))}")

    def _launcher(self, kubernetes: Kubernetes) -> tuple[str | None, list[Finding]]:
        """Return where artifacts go and what is found of the launcher's settings.

        The pipeline root is the run's own, else the ConfigMap's, else the installation's. Access is by its scheme: for
        s3:// as ``providers`` say, for minio:// the installation's secret, unless ``providers`` say otherwise.
        """
        thing = f"ConfigMap {LAUNCHER}"
        try:
            data = kubernetes.config_map(self._namespace, LAUNCHER)
        except NoAccess as error:
            return self._root, [Finding(Verdict.UNKNOWN, thing, shown(error))]
        if data is None:
            data, absent = {}, "is not there"
        else:
            absent = "names no defaultPipelineRoot"
        root = self._root or data.get("defaultPipelineRoot", "")
        if not root:
            return None, [Finding(Verdict.UNKNOWN, thing, f"{absent}: artifacts go to the installation's own store, "
                                  f"{STOCK_ROOT}", "For a bucket of yours fill in and apply deploy/example, or give "
                                  "--pipeline-root.")]
        relevant = {key: text for key, text in data.items() if key == "providers" or not self._root}
        if left := _left(relevant):
            return self._root, [Finding(Verdict.LACKS, thing, left, "Write there bucket, endpoint and region of your "
                                        "own: deploy/example/kfp-launcher.yaml.")]
        scheme = root.partition("://")[0]
        try:
            providers = data_from_yaml(data.get("providers", "") or "{}", thing)
            given = (providers.get(scheme) or {}).get("default") or {}
            credentials = given.get("credentials") or {}
            reference = credentials.get("secretRef") or {}
            from_env = bool(credentials.get("fromEnv"))
        except (UserError, AttributeError):
            return root, [Finding(Verdict.LACKS, thing, "its providers cannot be read",
                                  "See deploy/base/kfp-launcher.yaml.")]
        if scheme == "minio" and not given:
            return root, [self._reference(kubernetes, root, STOCK_SECRET)]
        if scheme != "s3" and not (scheme == "minio" and reference):
            access = "the stages' own access" if from_env else f"what the installation has for {scheme}://"
            return root, [Finding(Verdict.OK, thing, f"artifacts go to {root}, with {access}")]
        if from_env or not credentials:
            return root, [Finding(Verdict.OK, thing, f"artifacts go to {root}, with the stages' own access")]
        return root, [self._reference(kubernetes, root, {key: str(value) for key, value in reference.items()})]

    def _reference(self, kubernetes: Kubernetes, root: str, reference: Mapping[str, str]) -> Finding:
        """Return what is found of the secret that the launcher takes its keys from."""
        thing, name = f"ConfigMap {LAUNCHER}", reference.get("secretName", "")
        keys = {reference.get(key, "") for key in ("accessKeyKey", "secretKeyKey")}
        try:
            secret = kubernetes.secret(self._namespace, name) if is_subdomain(name) else None
        except NoAccess:
            return Finding(Verdict.UNKNOWN, thing, f"artifacts go to {root}, with a secret that cannot be looked at")
        if secret is None or not keys <= secret.keys():
            return Finding(Verdict.LACKS, thing, f"artifacts go to {root}, and the secret {name!r} has no entries "
                           f"{' and '.join(sorted(keys))}", "Without keys the launcher stops: fill them in, or take "
                           "fromEnv: true where a role gives access.")
        if "AWS_SESSION_TOKEN" in secret:
            return Finding(Verdict.LACKS, thing, "the launcher drops the session token of its secret",
                           "Take fromEnv: true, as deploy/example/kfp-launcher.yaml does.")
        return Finding(Verdict.OK, thing, f"artifacts go to {root}, with the secret {name}")

    def _nodes(self, kubernetes: Kubernetes) -> Iterator[Finding]:
        try:
            nodes = kubernetes.nodes()
        except NoAccess as error:
            yield Finding(Verdict.UNKNOWN, "nodes", shown(error))
            return
        given = self._parameters
        for group in SMALLEST_MEMORY:
            (row,) = {(row.gpu, row.cpu, row.memory) for row in STAGES.values() if row.cpu == f"{group}_cpu"}
            place, gpus = ("gpu", given["gpus"]) if row[0] else ("cpu", 0)
            wanted = {"cpu": given[f"{group}_cpu"], "memory": given[f"{group}_memory"]} | (
                {given["accelerator"]: str(gpus)} if gpus else {})
            tolerations = given[f"{place}_tolerations"] + ([GPU_TOLERATION] if place == "gpu" else [])
            fitting = [node["metadata"]["name"] for node in nodes
                       if fits(node, wanted, given[f"{place}_node_selector"], tolerations)]
            words = ", ".join(f"{amount} {resource}" for resource, amount in wanted.items())
            if fitting:
                yield Finding(Verdict.OK, f"node for {group}", f"{len(fitting)} of {len(nodes)} could hold {words}")
            else:
                yield Finding(Verdict.LACKS, f"node for {group}", f"none of {len(nodes)} has {words}, its labels and "
                              "taints allowing", "Right where an autoscaler makes one; else give smaller sizes, "
                              f"another {place}_node_selector or {place}_tolerations, or add a node "
                              "(deploy/gpu-nodes).")

    def _buckets(self, root: str | None) -> Iterator[Finding]:
        places = {name: self._parameters.get(name, "") for name in ("destination", "training_state")} | {
            "pipeline root": root or ""}
        for name, address in places.items():
            if not address.startswith("s3://"):
                continue
            try:
                self._list_bucket(address)
            except UserError as error:
                yield Finding(Verdict.UNKNOWN, name, f"{address} cannot be listed from here ({error.value})",
                              "Stages have the secret's access, not this machine's: resolve tries it, within a minute.")
            else:
                yield Finding(Verdict.OK, name, f"{address} can be listed with this machine's access")


def report(findings: Iterable[Finding], line: Callable[[str], None]) -> bool:
    """Print findings as they come; return whether nothing is lacking."""
    counts = dict.fromkeys(Verdict, 0)
    for finding in findings:
        counts[finding.verdict] += 1
        line(str(finding))
    line(f"{counts[Verdict.OK]} ok, {counts[Verdict.LACKS]} lacking, {counts[Verdict.UNKNOWN]} that cannot be told "
         "from here.")
    return not counts[Verdict.LACKS]


def placeholders(text: str) -> list[str]:
    """Return what a text still holds of what deploy/example leaves to be filled in."""
    return sorted(set(_PLACEHOLDER.findall(text)))


def _left(entries: Mapping[str, str]) -> str:
    """Return which entries hold placeholders, and which ones; of a secret nothing else is told. Empty for none."""
    found = {entry: placeholders(text) for entry, text in sorted(entries.items()) if placeholders(text)}
    return "; ".join(f"{entry} still reads {', '.join(map(repr, words))}" for entry, words in found.items())


def _retries(kubernetes: Kubernetes) -> Finding:
    """Return what Argo retries and when it deletes workflows, which its own settings say for all of an installation."""
    thing = "vanished pods"
    try:
        data = kubernetes.config_map(CONTROLLER_NAMESPACE, CONTROLLER)
        spec = (data_from_yaml((data or {}).get("workflowDefaults", "") or "{}", thing).get("spec") or {})
        strategy = (spec.get("templateDefaults") or {}).get("retryStrategy") or {}
        ending = (spec.get("ttlStrategy") or {}).get("secondsAfterCompletion")
    except (NoAccess, UserError, AttributeError) as error:
        return Finding(Verdict.UNKNOWN, thing, shown(error))
    after = f"; workflows and pods are deleted {ending} s after their end" if ending else ""
    policy = strategy.get("retryPolicy")
    if policy in ("OnError", "Always"):
        return Finding(Verdict.OK, thing, f"come again ({policy}, {strategy.get('limit')} times where a stage has no "
                       f"number of its own, and every graph around it likewise){after}")
    return Finding(Verdict.LACKS, thing, f"do not come again: {CONTROLLER} names no policy that does{after}",
                   "See what a stock installation sets (docs/cluster.md, What is retried), or deploy/argo-retry.yaml.")


def fits(node: Mapping[str, Any], wanted: Mapping[str, str], selector: Mapping[str, str],
          tolerations: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether an empty node could take a pod of this size; what runs there already is not counted."""
    if node["spec"].get("unschedulable"):
        # Cordoned; its taint is set by another controller, a moment later or never.
        return False
    allocatable, labels = node["status"].get("allocatable", {}), node["metadata"].get("labels", {})
    for resource, amount in wanted.items():
        has = 0.0
        # Kubernetes writes quantities in more ways than it is given them in.
        with contextlib.suppress(ValueError):
            has = quantity(str(allocatable.get(resource, "0")))
        if has < quantity(amount):
            return False
    taints = [taint for taint in node["spec"].get("taints") or [] if taint["effect"] != "PreferNoSchedule"]
    return selector.items() <= labels.items() and all(
        any(one.get("effect", "") in ("", taint["effect"]) and one.get("key", "") in ("", taint["key"])
            and (one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", ""))
            for one in tolerations) for taint in taints)
