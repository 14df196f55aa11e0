"""The connection to a Kubeflow Pipelines API server: kfp.Client with deadlines and with messages for its errors."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import kfp_server_api
import urllib3
from kfp import Client

from core.base.errors import UserError
from core.base.json_file import json_object
from pipelines.cluster.auth import COOKIES_VARIABLE, TOKEN_VARIABLE, Access

HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"
IN_CLUSTER_VARIABLE = "KUBERNETES_SERVICE_HOST"
IN_CLUSTER_HOST = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
CONNECT_SECONDS, ANSWER_SECONDS = 10, 60
LOG_BYTES = 1 << 16


class Unreachable(UserError):
    """The API server did not answer, or could not at the moment: trying again may help."""


class Absent(UserError):
    """What was asked for is not there."""


class Exists(UserError):
    """What was to be created is there already."""


class _Client(Client):
    """kfp.Client whose health check asks once and raises: its own asks five times and logs tracebacks."""

    def get_kfp_healthz(self, sleep_duration: int = 5) -> kfp_server_api.V2beta1GetHealthzResponse:
        """Return the server's answer about itself."""
        return self._healthz_api.healthz_service_get_healthz()


class Connection:
    """A checked connection to one API server.

    Attributes:
        client: The kfp client; use it inside :meth:`asking`.
        namespace: Namespace of runs; None where the installation is for one user.

    Args:
        host: URL of the API server or the UI.
        access: What goes along with every request.
        namespace: Namespace of runs where the installation is for many users.

    Raises:
        UserError: The host does not answer as Kubeflow Pipelines 2 does, or needs a namespace or takes none.
    """

    def __init__(self, host: str, access: Access, namespace: str | None = None) -> None:
        self.host = _checked_host(host)
        with self.asking("the API server", "its health"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                # With a namespace of its own the constructor asks nothing of the server yet.
                self.client = _Client(self.host, namespace=namespace or "unset", cookies=access.cookies,
                                      credentials=access.credentials, ssl_ca_cert=access.ca_cert)
            self._watch_answers()
            multi_user = bool(self.client.get_kfp_healthz().multi_user)
        if multi_user and not namespace:
            raise UserError("--namespace", "none given", f"{self.host} is an installation for many users, and a run "
                            "belongs to one's namespace.", "Give the namespace of your profile with --namespace.")
        if namespace and not multi_user:
            raise UserError("--namespace", namespace, f"{self.host} is an installation for one user and takes no "
                            "namespace.", "Leave --namespace out.")
        self.namespace = namespace
        # Otherwise kfp.Client sends the namespace that some other program once kept in ~/.config/kfp.
        self.client._context_setting["namespace"] = self.namespace

    def run_url(self, run_id: str) -> str:
        """Return the address of a run's page in the UI."""
        return f"{self.host}/#/runs/details/{run_id}"

    @contextlib.contextmanager
    def asking(self, thing: str, value: object) -> Iterator[None]:
        """Turn what kfp.Client raises into messages, and keep what it prints and logs to itself.

        Args:
            thing: What the request is about, in the user's words.

        Raises:
            Unreachable: No answer, an answer of 429 or 5xx, or a page where the API should be.
            Absent: 404.
            Exists: 409.
            UserError: Any other refusal.
        """
        # By levels it cannot be done: making a client sets them anew.
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as error:
            raise self._explained(error, thing, value) from error
        finally:
            logging.disable(before)

    def log(self, path: str, **query: str) -> str | None:
        """Return the end of a log below the host, or None where it is not there or not plain text.

        A log that is not there is an answer of 200 and plain text as well, which holds the error as JSON, also behind
        what had been sent before (backend/src/apiserver/server/run_log_server.go:61-79 of KFP 2.17.0).
        """
        kept = b""
        try:
            with self.asking("log", path):
                answer = self.client._run_api.api_client.call_api(
                    path, "GET", query_params=list(query.items()), header_params={"Accept": "text/plain"},
                    auth_settings=["Bearer"], _preload_content=False)
                if not (answer.getheader("Content-Type") or "text/plain").startswith("text/plain"):
                    answer.close()
                    return None
                for piece in answer.stream(LOG_BYTES):
                    kept = (kept + piece)[-LOG_BYTES:]
        except UserError:
            return None
        return kept.decode("utf-8", errors="replace").partition('{"error_message"')[0].strip() or None

    def version(self) -> str | None:
        """Return the API server's version, None where it does not tell; asked through the UI, it has another name.

        Raises:
            UserError: No answer, or a refusal.
        """
        with self.asking("the API server", "its health"):
            told = self._json("/apis/v2beta1/healthz")
        version = told.get("tag_name") or told.get("apiServerTagName")
        return version if isinstance(version, str) and version != "unknown" else None

    def workflow_manifest(self, run_id: str) -> str | None:
        """Return the workflow of a run as JSON text, which only the v1beta1 API hands out; None where it does not.

        Raises:
            Unreachable: No answer, or none at the moment.
        """
        try:
            with self.asking("run", run_id):
                runtime = self._json(f"/apis/v1beta1/runs/{run_id}").get("pipeline_runtime")
        except Unreachable:
            raise
        except UserError:
            return None
        manifest = runtime.get("workflow_manifest") if isinstance(runtime, dict) else None
        return manifest if isinstance(manifest, str) else None

    def _json(self, path: str) -> dict[str, Any]:
        """Return the object that an address below the host answers with, empty for anything else."""
        body, _, _ = self.client._run_api.api_client.call_api(
            path, "GET", header_params={"Accept": "application/json"}, auth_settings=["Bearer"],
            response_type="object")
        return body if isinstance(body, dict) else {}

    def _watch_answers(self) -> None:
        """Give each request a deadline, and take a web page for no answer.

        kfp.Client sets no deadline, and makes an object without content of anything that is not JSON.
        """
        rest = self.client._run_api.api_client.rest_client
        request = rest.request

        def watched(*args: Any, **options: Any) -> Any:
            options["_request_timeout"] = options.get("_request_timeout") or (CONNECT_SECONDS, ANSWER_SECONDS)
            answer = request(*args, **options)
            if (answer.getheader("Content-Type") or "").startswith("text/html"):
                raise Unreachable("--host", self.host, "It answers with a web page where the API should be, as a login "
                                  "page does.", "Check the address, and give a token or a session's cookie "
                                  "(--token-file, --cookies-file).")
            return answer

        rest.request = watched

    def _explained(self, error: kfp_server_api.ApiException | urllib3.exceptions.HTTPError, thing: str,
                   value: object) -> UserError:
        if isinstance(error, urllib3.exceptions.HTTPError):
            reason = getattr(error, "reason", None) or error
            why = " ".join(str(reason).split())
            if isinstance(reason, urllib3.exceptions.SSLError):
                return self._untrusted(why)
            return Unreachable("--host", self.host, f"It does not answer ({why}).",
                               "Check the address, the network, and a port-forward that may have ended.")
        # What the server says in the body, else the reason of the status, in one line.
        body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body or ""
        with contextlib.suppress(ValueError):
            told = json_object(body)
            body = told.get("message") or told.get("error") or ""
        words = " ".join(str(body or error.reason).split()) or "no reason given"
        said = words if len(words) <= 400 else f"{words[:400]}..."
        if not error.status:
            # The generated client's own form of a TLS error.
            return self._untrusted(said)
        if error.status == 401:
            return UserError("access", self.host, f"The API server does not know who asks (401, {said}).",
                             f"Give a valid token with --token-file or ${TOKEN_VARIABLE}, or the session's cookie with "
                             f"--cookies-file or ${COOKIES_VARIABLE}.")
        if error.status == 403:
            return UserError(thing, value, f"You have no right to this (403, {said}).",
                             "Check --namespace and --service-account, or have deploy/base/rbac.yaml applied for you.")
        if error.status == 404 and thing == "the API server":
            return UserError("--host", self.host, "It has no Kubeflow Pipelines API of version 2 (404): a back-end "
                             "older than 2.0, or another address.",
                             "Check the address; this is made for a back-end of version 2.17.")
        if error.status == 404:
            return Absent(thing, value, f"It is not there (404, {said}).", "Check the name.")
        if error.status == 409:
            return Exists(thing, value, f"It exists already (409, {said}).", "Choose another name.")
        if error.status == 429 or error.status >= 500:
            return Unreachable(thing, value, f"The API server could not answer ({error.status}, {said}).",
                               "Try again; if it stays so, look at the log of the deployment ml-pipeline.")
        if "unknown field" in said:
            return UserError("back-end", self.host, f"It does not know a part of this pipeline ({said}).",
                             "Update it to the version of the SDK, 2.17.")
        return UserError(thing, value, f"The API server refuses it ({error.status}, {said}).",
                         "Mend what it names and try again.")

    def _untrusted(self, why: str) -> UserError:
        return UserError("--host", self.host, f"No trusted connection can be made ({why}).",
                         "Give its certificate authority with --ca-cert, or write http:// where it has none.")


def host_of(host: str | None, environ: Mapping[str, str]) -> str:
    """Return the host that is given, the environment's or the cluster's own; raise UserError where there is none."""
    found = host or environ.get(HOST_VARIABLE) or (IN_CLUSTER_HOST if environ.get(IN_CLUSTER_VARIABLE) else None)
    if not found:
        raise UserError("--host", "none given", "It must be the address of Kubeflow Pipelines.",
                        "Give it with --host or in $KF_PIPELINES_ENDPOINT; with a port-forward it is "
                        "http://localhost:8080.")
    return found


def _checked_host(host: str) -> str:
    url = urlsplit(host if "://" in host else f"https://{host}")
    try:
        whole = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        whole = False
    if not whole:
        raise UserError("--host", host, "It must be a URL such as https://kubeflow.example.com/pipeline.",
                        "Write the address of Kubeflow Pipelines.")
    if url.username or url.password:
        raise UserError("--host", f"{url.scheme}://...@{url.hostname}", "An address holds no password.",
                        "Give a token with --token-file.")
    return url.geturl().split("#")[0].rstrip("/")
