"""A stand-in for the API server: strict about requests, with a memory, and with faults on order."""

import datetime
import email
import email.policy
import json
import re
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from . import workflow
from .contract import ContractError, Request, contract
from .rules import Refused, check_parameters, check_schedule, read_package


@dataclass
class Fault:
    """What happens to the next requests that match.

    Attributes:
        method: HTTP method.
        path: Regular expression that the path must contain.
        does: ``drop`` ends the connection unanswered, ``lose`` does so after the work is done, ``page`` answers with
            a web page, ``slow`` waits first; a number is the status of the answer.
        times: How many requests.
        seconds: How long ``slow`` waits.
    """

    method: str
    path: str
    does: object
    times: int = 1
    seconds: float = 0.0


@dataclass
class StandIn:
    """The server's memory and its settings.

    Attributes:
        namespaces: Namespaces with rights; None is an installation for one user.
        token: The bearer token that is asked for, if any.
        cookie: The cookie that will do instead.
        faults: What goes wrong.
        script: What runs go through: each look at a run takes the next, and the last one stays.
        logs: Log by a pod's name, while it is there, or by its node's id, from the archive.
        version: What the server says its version is.
        workflows: Whether the v1beta1 API, which alone hands out workflows, is there.
        page_size: Most entries of a page, so that paging is used.
        broken: Requests and answers that broke the contract.
        seen: Method and path of every request.
        authorizations: Every Authorization header.
    """

    namespaces: object = None
    token: str = ""
    cookie: str = ""
    faults: list = field(default_factory=list)
    script: list = field(default_factory=lambda: [workflow.Look("SUCCEEDED", {})])
    logs: dict = field(default_factory=dict)
    version: str = "2.17.0"
    workflows: bool = True
    page_size: int = 100
    broken: list = field(default_factory=list)
    seen: list = field(default_factory=list)
    authorizations: set = field(default_factory=set)
    pipelines: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    packages: dict = field(default_factory=dict)
    experiments: dict = field(default_factory=dict)
    runs: dict = field(default_factory=dict)
    looks: dict = field(default_factory=dict)
    schedules: dict = field(default_factory=dict)

    def __post_init__(self):
        self.contract = contract()
        self.lock = threading.Lock()

    def health(self):
        """Return what the server says of itself, which is more than the contract knows."""
        return {"commit_sha": "unknown", "tag_name": self.version, "multi_user": self.namespaces is not None}

    # One method an operation of the contract, found by method and path; each returns the answer.

    def get_pipelines(self, request):
        return self._page(request, "pipelines", self._visible(self.pipelines, request))

    def post_pipelines(self, request):
        body = request.json()
        name, namespace = body["name"], body.get("namespace", "")
        self._right(namespace)
        if any((one["name"], one["namespace"]) == (name, namespace) for one in self.pipelines.values()):
            raise Refused(409, f"Already exist error: The name {name} already exist. Please specify a new name")
        return self._keep(self.pipelines, "pipeline_id", name=name, namespace=namespace,
                          display_name=body.get("display_name") or name, description=body.get("description", ""))

    def delete_pipelines_pipeline_id(self, request):
        identity = request.path["pipeline_id"]
        self._found(self.pipelines, identity, "Pipeline")
        if any(version["pipeline_id"] == identity for version in self.versions.values()):
            raise Refused(400, f"Invalid input error: pipeline {identity} has versions")
        del self.pipelines[identity]
        return {}

    def get_pipelines_pipeline_id_versions(self, request):
        identity = request.path["pipeline_id"]
        self._found(self.pipelines, identity, "Pipeline")
        return self._page(request, "pipeline_versions", [version for version in self.versions.values()
                                                         if version["pipeline_id"] == identity])

    def get_pipelines_pipeline_id_versions_pipeline_version_id(self, request):
        identity = request.path["pipeline_version_id"]
        return self._found(self.versions, identity, "PipelineVersion")

    def post_pipelines_upload_version(self, request):
        pipeline, name = request.query.get("pipelineid", ""), request.query["name"]
        self._found(self.pipelines, pipeline, "Pipeline")
        if any((one["pipeline_id"], one["name"]) == (pipeline, name) for one in self.versions.values()):
            raise Refused(409, f"Already exist error: The name {name} already exist. Please specify a new name")
        package = read_package(request.files["uploadfile"])
        version = self._keep(self.versions, "pipeline_version_id", pipeline_id=pipeline, name=name, display_name=name,
                             pipeline_spec=package, package_url={})
        self.packages[version["pipeline_version_id"]] = package
        return version

    def get_experiments(self, request):
        return self._page(request, "experiments", self._visible(self.experiments, request))

    def get_experiments_experiment_id(self, request):
        return self._found(self.experiments, request.path["experiment_id"], "Experiment")

    def post_experiments(self, request):
        body = request.json()
        namespace = body.get("namespace", "")
        self._right(namespace)
        if any((one["display_name"], one["namespace"]) == (body["display_name"], namespace)
               for one in self.experiments.values()):
            raise Refused(409, f"Already exist error: experiment {body['display_name']}")
        return self._keep(self.experiments, "experiment_id", display_name=body["display_name"], namespace=namespace)

    def delete_experiments_experiment_id(self, request):
        self._found(self.experiments, request.path["experiment_id"], "Experiment")
        del self.experiments[request.path["experiment_id"]]
        return {}

    def get_runs(self, request):
        wanted = request.query.get("experiment_id")
        return self._page(request, "runs", [run for run in self.runs.values()
                                            if wanted in (None, run["experiment_id"])])

    def post_runs(self, request):
        return self._start(request.json())

    def get_runs_run_id(self, request):
        identity = request.path["run_id"]
        run = self._found(self.runs, identity, "Run")
        look = self.looks[identity] = self.looks.get(identity, -1) + 1
        shown = self.script[min(look, len(self.script) - 1)]
        run.update(state=shown.state, run_details={"task_details": workflow.task_details(shown)})
        return run

    def run_of_v1beta1(self, identity):
        """Return a run as the v1beta1 API does, with its workflow as it was at the last look."""
        shown = self.script[min(max(self.looks.get(identity, 0), 0), len(self.script) - 1)]
        return {"run": {"id": identity}, "pipeline_runtime": {"workflow_manifest": workflow.manifest(shown)}}

    def log_of(self, node):
        """Return the body of an answer about a log: it is 200 and plain text where there is none, too."""
        found = self.logs.get(node)
        missing = {"error_message": f"Failed to read logs from pod {node}", "error_details": "pods not found"}
        return json.dumps(missing) if found is None else found

    def get_recurringruns(self, request):
        return self._page(request, "recurringRuns", list(self.schedules.values()))

    def post_recurringruns(self, request):
        body = request.json()
        check_schedule(body)
        self._check_pinned(body)
        mode = body.pop("mode")
        return self._keep(self.schedules, "recurring_run_id", **{
            "service_account": "pipeline-runner", **body,
            "status": "ENABLED" if mode == "ENABLE" else "DISABLED"})

    def delete_recurringruns_recurring_run_id(self, request):
        self._found(self.schedules, request.path["recurring_run_id"], "Job")
        del self.schedules[request.path["recurring_run_id"]]
        return {}

    def post_recurringruns_recurring_run_id_enable(self, request):
        self._found(self.schedules, request.path["recurring_run_id"], "Job")["status"] = "ENABLED"
        return {}

    def post_recurringruns_recurring_run_id_disable(self, request):
        self._found(self.schedules, request.path["recurring_run_id"], "Job")["status"] = "DISABLED"
        return {}

    def fire(self, schedule):
        """Start what a schedule would start at its time."""
        return self._start({key: schedule[key] for key in (
            "display_name", "experiment_id", "pipeline_version_reference", "runtime_config", "service_account")})

    def awake(self):
        """Return the names of the enabled schedules."""
        return [schedule["display_name"] for schedule in self.schedules.values() if schedule["status"] == "ENABLED"]

    def _start(self, body):
        self._check_pinned(body)
        run = self._keep(self.runs, "run_id", state="PENDING", **{"service_account": "pipeline-runner", **body})
        return run

    def _check_pinned(self, body):
        self._found(self.experiments, body.get("experiment_id"), "Experiment")
        pinned = body.get("pipeline_version_reference", {})
        self._found(self.versions, pinned.get("pipeline_version_id"), "PipelineVersion")
        check_parameters(self.packages[pinned["pipeline_version_id"]], body["runtime_config"].get("parameters", {}))

    def _found(self, kind, identity, name):
        if identity not in kind:
            raise Refused(404, f"ResourceNotFoundError: {name} {identity} not found")
        return kind[identity]

    def _right(self, namespace):
        if self.namespaces is None and namespace:
            raise Refused(400, "Invalid input error: In single-user mode, CreateExperimentRequest shouldn't contain "
                               "namespace")
        if self.namespaces is not None and namespace not in self.namespaces:
            raise Refused(403, f"PermissionDenied: User is not authorized with reason: namespace {namespace}")

    def _visible(self, kind, request):
        namespace = request.query.get("namespace", "")
        self._right(namespace)
        return [one for one in kind.values() if one["namespace"] == namespace]

    def _page(self, request, key, entries):
        entries = [entry for entry in entries if _passes(entry, request.query.get("filter"))]
        begin = int(request.query.get("page_token") or 0)
        end = begin + min(self.page_size, int(request.query.get("page_size") or 20))
        return {key: entries[begin:end], "total_size": len(entries),
                "next_page_token": str(end) if end < len(entries) else ""}

    def _keep(self, kind, identity, **values):
        now = datetime.datetime.now(datetime.UTC).isoformat()
        kept = {identity: str(uuid.uuid4()), "created_at": now, **values}
        kind[kept[identity]] = kept
        return kept


def _passes(entry, condition):
    if not condition:
        return True
    (predicate,) = json.loads(condition)["predicates"]
    if predicate["operation"] not in ("EQUALS", 1) or predicate["key"] != "display_name":
        raise Refused(400, f"Invalid input error: unsupported filter {condition}")
    return entry["display_name"] == predicate.get("string_value", predicate.get("stringValue"))


class Handler(BaseHTTPRequestHandler):
    """Takes a request through faults, access, contract and the stand-in's method."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def answer(self):
        stand_in, url = self.server.stand_in, urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with stand_in.lock:
            stand_in.seen.append((self.command, url.path))
            stand_in.authorizations.add(self.headers.get("Authorization"))
            fault = next((one for one in stand_in.faults if one.times > 0 and one.method == self.command
                          and re.search(one.path, url.path)), None)
            if fault:
                fault.times -= 1
        if fault and fault.does in ("drop", "slow", "page") or fault and isinstance(fault.does, int):
            return self._misbehave(fault)
        with stand_in.lock:
            status, answer, kind = self._work(stand_in, url, content)
        if fault and fault.does == "lose":
            return self._drop()
        self._send(status, answer, kind)

    do_GET = do_POST = do_DELETE = do_PATCH = answer

    def _work(self, stand_in, url, content):
        if not self._is_known(stand_in):
            return 401, {"code": 16, "message": "Unauthenticated: token is expired or not valid"}, "application/json"
        if (self.command, url.path) == ("GET", "/apis/v2beta1/healthz"):
            return 200, stand_in.health(), "application/json"
        log = re.fullmatch(r"/apis/v1alpha1/runs/[^/]+/nodes/([^/]+)/log", url.path)
        if log:
            return 200, stand_in.log_of(log.group(1)), "text/plain; charset=utf-8"
        run = re.fullmatch(r"/apis/v1beta1/runs/([^/]+)", url.path)
        if run and self.command == "GET" and stand_in.workflows:
            return 200, stand_in.run_of_v1beta1(run.group(1)), "application/json"
        files, body = {}, None
        if self.headers.get_content_type() == "multipart/form-data":
            files = _files(self.headers["Content-Type"], content)
        elif content:
            body = json.loads(content)
        request = Request(self.command, url.path, dict(parse_qsl(url.query)), body, files)
        try:
            pattern = stand_in.contract.operation(request)
        except LookupError:
            return 404, {"code": 5, "message": "Not Found"}, "application/json"
        name = re.sub(r"\W+", "_", pattern.replace("/apis/v2beta1", "")).strip("_")
        try:
            stand_in.contract.check_request(request, pattern)
            answer = json.loads(json.dumps(getattr(stand_in, f"{self.command.lower()}_{name}")(request)))
            stand_in.contract.check_answer(request, pattern, answer)
        except Refused as refused:
            return refused.status, {"code": 3, "message": refused.message, "details": []}, "application/json"
        except ContractError as error:
            stand_in.broken.append(f"{self.command} {self.path}: {error}")
            return 400, {"code": 3, "message": f"contract: {error}"}, "application/json"
        return 200, answer, "application/json"

    def _is_known(self, stand_in):
        if not stand_in.token and not stand_in.cookie:
            return True
        token = stand_in.token and self.headers.get("Authorization") == f"Bearer {stand_in.token}"
        return bool(token or (stand_in.cookie and self.headers.get("Cookie") == stand_in.cookie))

    def _misbehave(self, fault):
        if fault.does == "drop":
            return self._drop()
        if fault.does == "page":
            return self._send(200, "<html><body>Log in to your account</body></html>", "text/html; charset=utf-8")
        if fault.does == "slow":
            time.sleep(fault.seconds)
            return self._drop()
        return self._send(fault.does, {"code": 13, "message": f"a fault of {fault.does}"}, "application/json")

    def _drop(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, status, answer, kind):
        content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _files(content_type, content):
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content,
                                       policy=email.policy.HTTP)
    return {part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in message.iter_parts()}


def start(stand_in, tls=None):
    """Serve in a thread; return the server, whose ``server_port`` is free."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.stand_in = stand_in
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server
