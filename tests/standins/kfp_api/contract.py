"""The official contract of the API, and what it says of a request and of an answer."""

import functools
import json
import re
import warnings
from pathlib import Path

from bravado_core.request import IncomingRequest, unmarshal_request
from bravado_core.spec import Spec
from bravado_core.validate import validate_schema_object
from jsonschema.exceptions import ValidationError
from swagger_spec_validator.common import SwaggerValidationError

CONTRACT = Path(__file__).with_name("kfp_api_single_file.swagger.json")


class ContractError(Exception):
    """A request or an answer is not what the contract says."""


class Request(IncomingRequest):
    """A request as bravado-core reads one."""

    def __init__(self, method, path, query, body=None, files=None):
        self.method, self.url_path, self.query = method, path, query
        self.path, self.form, self.headers, self.files, self._body = {}, {}, {}, files or {}, body

    def json(self):
        return self._body


class Contract:
    """Checks by the Swagger 2.0 document of Kubeflow Pipelines 2.17, after three patches.

    The patches: no security section, since the stand-in has its own; int64 may be a number, which the document declares
    as text; and a parameter's value may be anything, where the document says an object. Fields and query parameters
    that the document does not name are refused, which it leaves open, and fields that it calls required in its prose
    are required.
    """

    def __init__(self):
        document = json.loads(CONTRACT.read_text(encoding="utf-8"))
        del document["security"]
        _patch(document)
        # Struct is any JSON in protobuf, and swagger's generator writes it as a map of objects.
        document["definitions"]["v2beta1RuntimeConfig"]["properties"]["parameters"] = {"type": "object"}
        self._spec = Spec.from_dict(document, origin_url="http://stand-in/", config={
            "use_models": False, "validate_swagger_spec": False})
        self._patterns = sorted(document["paths"], key=lambda path: path.count("{"))

    def operation(self, request):
        """Return the path of the document that the request means, and fill in the request's path parameters."""
        for pattern in self._patterns:
            names = re.findall(r"{([^}]*)}", pattern)
            expression = re.sub(r"\\{[^}]*\\}", "([^/:]+)", re.escape(pattern))
            match = re.fullmatch(expression, request.url_path)
            if match and self._spec.get_op_for_request(request.method.lower(), pattern):
                request.path = dict(zip(names, match.groups()))
                return pattern
        raise LookupError(request.url_path)

    def check_request(self, request, pattern):
        """Raise ContractError where the request breaks the contract."""
        operation = self._spec.get_op_for_request(request.method.lower(), pattern)
        unknown = request.query.keys() - operation.params.keys()
        if unknown:
            raise ContractError(f"unknown query parameters {sorted(unknown)}")
        missing = [name for name, parameter in operation.params.items() if parameter.location == "formData"
                   and parameter.required and name not in request.files]
        if missing:
            raise ContractError(f"missing files {missing}")
        try:
            with _no_deprecations():
                unmarshal_request(request, operation)
        except (ValidationError, SwaggerValidationError, ValueError) as error:
            raise ContractError(str(error).split("\n")[0]) from error

    def check_answer(self, request, pattern, answer):
        """Raise ContractError where the answer is not of the declared form."""
        operation = self._spec.get_op_for_request(request.method.lower(), pattern)
        schema = operation.op_spec["responses"]["200"].get("schema", {})
        try:
            with _no_deprecations():
                validate_schema_object(self._spec, self._spec.deref(schema), answer)
        except ValidationError as error:
            raise ContractError(str(error).split("\n")[0]) from error


@functools.cache
def contract():
    """Return the contract, read once."""
    return Contract()


def _no_deprecations():
    """Keep quiet about what bravado-core still uses of jsonschema."""
    return warnings.catch_warnings(action="ignore", category=DeprecationWarning)


def _patch(node):
    if isinstance(node, dict):
        if node.get("type") == "string" and node.get("format") == "int64":
            node["type"] = "integer"
        if node.get("type") == "object" and "properties" in node:
            node.setdefault("additionalProperties", False)
            required = [name for name, field in node["properties"].items()
                        if re.match("(Input. )?Required", field.get("description", ""))]
            if required:
                node["required"] = required
        for value in node.values():
            _patch(value)
    elif isinstance(node, list):
        for value in node:
            _patch(value)
