"""The stand-in notices what it is there to notice."""

import pytest

from kfp_api.contract import ContractError, Request, contract
from kfp_api.rules import Refused, check_parameters, check_schedule, read_package
from kfp_api.server import StandIn


@pytest.mark.parametrize(("method", "path", "query", "body", "message"), [
    ("POST", "/apis/v2beta1/runs", {}, {"display_name": 1}, "is not of type 'string'"),
    ("POST", "/apis/v2beta1/runs", {}, {"name": "a"}, "Additional properties"),
    ("POST", "/apis/v2beta1/pipelines", {}, {"display_name": "a"}, "'name' is a required property"),
    ("POST", "/apis/v2beta1/runs", {}, None, "None is not of type 'object'"),
    ("POST", "/apis/v2beta1/recurringruns", {}, {"mode": "ON"}, "is not one of"),
    ("POST", "/apis/v2beta1/recurringruns", {}, {"trigger": {"cron_schedule": {"cron": 7}}}, "is not of type"),
    ("GET", "/apis/v2beta1/runs", {"page_size": "ten"}, None, "is not of type 'integer'"),
    ("GET", "/apis/v2beta1/runs", {"pagesize": "10"}, None, "unknown query parameters"),
    ("POST", "/apis/v2beta1/pipelines/upload_version", {}, None, "missing files")])
def test_request_that_breaks_the_contract(method, path, query, body, message):
    request = Request(method, path, query, body)
    pattern = contract().operation(request)
    with pytest.raises(ContractError, match=message):
        contract().check_request(request, pattern)


def test_answer_that_breaks_the_contract():
    request = Request("GET", "/apis/v2beta1/runs", {})
    with pytest.raises(ContractError, match="is not one of"):
        contract().check_answer(request, request.url_path, {"runs": [{"state": "DONE"}]})


@pytest.mark.parametrize("path", ["/apis/v1beta1/runs", "/apis/v2beta1/runs/a/b", "/healthz"])
def test_path_that_is_not_in_the_contract(path):
    with pytest.raises(LookupError):
        contract().operation(Request("GET", path, {}))


def test_actions_of_a_path_are_told_apart():
    request = Request("POST", "/apis/v2beta1/recurringruns/some-id:disable", {})
    assert contract().operation(request).endswith("{recurring_run_id}:disable")
    assert request.path == {"recurring_run_id": "some-id"}


PACKAGE = """
pipelineInfo: {name: p}
root: {dag: {}, inputDefinitions: {parameters: {n: {parameterType: NUMBER_INTEGER}, b: {parameterType: BOOLEAN,
  isOptional: true}, s: {parameterType: STRING, isOptional: true}}}}
schemaVersion: 2.1.0
"""


@pytest.mark.parametrize(("given", "message"), [
    ({}, "n is not optional"), ({"n": "1"}, "n requires type"), ({"n": True}, "n requires type"),
    ({"n": 1, "b": 1}, "b requires type"), ({"n": 1, "s": None}, "s requires type"), ({"n": 1, "x": 1}, "x provided")])
def test_parameters_of_the_wrong_kind(given, message):
    with pytest.raises(Refused, match=message):
        check_parameters(read_package(PACKAGE), given)
    check_parameters(read_package(PACKAGE), {"n": 1, "b": False})


@pytest.mark.parametrize(("old", "new"), [
    ("2.1.0", "2.0.0"), ("name: p", "name: P"), ("root:", "unknown: 1\nroot:"), ("schemaVersion", "---\nschemaVersion"),
    ("\nroot", "\n---\npipelineInfo: {name: q}\nroot")])
def test_packages_that_the_server_refuses(old, new):
    with pytest.raises(Refused):
        read_package(PACKAGE.replace(old, new, 1))


@pytest.mark.parametrize("schedule", [
    {"trigger": {"cron_schedule": {"cron": "0 2 * * 1"}}}, {"trigger": {"cron_schedule": {"cron": "0 0 25 * * 1"}}},
    {"trigger": {}}, {"trigger": {"periodic_schedule": {"interval_second": 0}}},
    {"trigger": {"cron_schedule": {"cron": "0 0 2 * * 1"}, "periodic_schedule": {"interval_second": 60}}},
    {"trigger": {"cron_schedule": {"cron": "0 0 2 * * 1"}}, "max_concurrency": 11}])
def test_schedules_that_the_server_refuses(schedule):
    with pytest.raises(Refused):
        check_schedule({"max_concurrency": 1, **schedule})


def test_names_are_taken_once():
    stand_in = StandIn()
    stand_in.post_pipelines(Request("POST", "", {}, {"name": "a"}))
    with pytest.raises(Refused) as refused:
        stand_in.post_pipelines(Request("POST", "", {}, {"name": "a"}))
    assert refused.value.status == 409
