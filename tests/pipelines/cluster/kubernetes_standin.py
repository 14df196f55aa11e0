"""A stand-in for the API server of Kubernetes: the five questions that --doctor asks."""

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class KubernetesStandIn:
    """What the cluster holds.

    Attributes:
        rights: (verb, resource) that the user has; None is all.
        secrets: Entries by name.
        config_maps: Entries by name.
        nodes: Nodes as Kubernetes writes them.
        forbidden: Kinds whose reading is refused.
        asked: Method and path of every request.
    """

    rights: set | None = None
    secrets: dict = field(default_factory=dict)
    config_maps: dict = field(default_factory=dict)
    nodes: list = field(default_factory=list)
    forbidden: set = field(default_factory=set)
    asked: list = field(default_factory=list)

    def answer(self, method, path, body):
        """Return status and content of an answer."""
        self.asked.append((method, path))
        *_, kind, name = ["", *path.strip("/").split("/")]
        if method == "POST" and name == "selfsubjectaccessreviews":
            wanted = body["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, [wanted["resource"], wanted["subresource"]]))
            allowed = self.rights is None or (wanted["verb"], resource) in self.rights
            return 201, {**body, "status": {"allowed": allowed}}
        if {kind, name} & self.forbidden:
            return 403, {"kind": "Status", "status": "Failure", "reason": "Forbidden"}
        if name == "nodes":
            return 200, {"kind": "NodeList", "apiVersion": "v1", "items": self.nodes}
        held = {"secrets": self.secrets, "configmaps": self.config_maps}[kind].get(name)
        if held is None:
            return 404, {"kind": "Status", "status": "Failure", "reason": "NotFound"}
        if kind == "secrets":
            held = {key: base64.b64encode(value.encode()).decode() for key, value in held.items()}
        return 200, {"apiVersion": "v1", "metadata": {"name": name}, "data": held}


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self):
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.server.stand_in.answer(self.command, self.path.partition("?")[0],
                                                     json.loads(content) if content else None)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer


def start(stand_in, folder):
    """Serve in a thread; return the server and a kubeconfig that leads there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads, server.stand_in = True, stand_in
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    config = folder / "kubeconfig"
    config.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}]}))
    return server, config
