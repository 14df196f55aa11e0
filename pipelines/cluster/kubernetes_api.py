"""The little of Kubernetes' own API that tells how an installation stands; nothing is changed there."""

import base64
import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import urllib3
from kubernetes import client, config

from core.base.text import shown

ANSWER_SECONDS = 20


class NoAccess(Exception):
    """Kubernetes cannot be asked, or does not allow the question."""


class Kubernetes:
    """The cluster that the kubeconfig, or the pod that this runs in, names.

    NoAccess is raised where there is neither, and by every method where the question is not allowed.
    """

    def __init__(self) -> None:
        try:
            config.load_kube_config(os.environ.get("KUBECONFIG") or None)
        except (config.ConfigException, OSError, ValueError, TypeError, AttributeError) as error:
            try:
                config.load_incluster_config()
            except config.ConfigException:
                raise NoAccess(f"no kubeconfig can be read ({shown(error)})") from error
        settings = client.Configuration.get_default_copy()
        settings.retries = False
        self._client = client.ApiClient(settings)
        self._core = client.CoreV1Api(self._client)

    def may(self, namespace: str, verb: str, group: str, resource: str) -> bool:
        """Return whether the kubeconfig's user has a right (SelfSubjectAccessReview)."""
        resource, _, part = resource.partition("/")
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
            "resourceAttributes": {"namespace": namespace, "verb": verb, "group": group, "resource": resource,
                                   "subresource": part}}}
        with _asking("its rights"):
            answer = client.AuthorizationV1Api(self._client).create_self_subject_access_review(
                body, _request_timeout=ANSWER_SECONDS)
            return bool(answer.status.allowed)

    def secret(self, namespace: str, name: str) -> dict[str, str] | None:
        """Return a secret's entries, None where there is no such secret. Their contents are never to be printed."""
        entries = self._read("secrets", lambda: self._core.read_namespaced_secret(
            name, namespace, _request_timeout=ANSWER_SECONDS))
        return entries and {key: base64.b64decode(value).decode("utf-8", errors="replace")
                            for key, value in entries.items()}

    def config_map(self, namespace: str, name: str) -> dict[str, str] | None:
        """Return a ConfigMap's entries, None where there is none of this name."""
        return self._read("ConfigMaps", lambda: self._core.read_namespaced_config_map(
            name, namespace, _request_timeout=ANSWER_SECONDS))

    def nodes(self) -> list[Mapping[str, Any]]:
        """Return the nodes as Kubernetes writes them; users of one namespace often may not ask."""
        with _asking("the nodes"):
            listed = self._core.list_node(_request_timeout=ANSWER_SECONDS)
            return self._client.sanitize_for_serialization(listed)["items"]

    def _read(self, thing: str, read: Any) -> dict[str, str] | None:
        try:
            with _asking(thing):
                return dict(read().data or {})
        except _Absent:
            return None


class _Absent(NoAccess):
    """404."""


@contextlib.contextmanager
def _asking(thing: str) -> Iterator[None]:
    try:
        yield
    except client.ApiException as error:
        kind = _Absent if error.status == 404 else NoAccess
        raise kind(f"the kubeconfig's user may not read {thing} ({error.status} {error.reason})") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise NoAccess(f"Kubernetes does not answer ({shown(getattr(error, 'reason', None) or error)})") from error
