"""What the API server asks beyond its contract; after the back-end's apiserver/template/v2_template.go."""

import re

import yaml
from croniter import croniter
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

KINDS = {"STRING": str, "NUMBER_INTEGER": (int, float), "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool, "LIST": list,
         "STRUCT": dict}
MOST_CONCURRENT = 10


class Refused(Exception):
    """The server answers with this status and message."""

    def __init__(self, status, message):
        super().__init__(status, message)
        self.status, self.message = status, message


def read_package(content):
    """Return both documents of an uploaded pipeline as one, as a version's pipeline_spec has them."""
    documents = [document for document in yaml.safe_load_all(content) if document is not None]
    specs = [document for document in documents if "pipelineInfo" in document]
    platforms = [document for document in documents if "platforms" in document]
    if len(specs) != 1 or len(platforms) > 1:
        raise Refused(400, f"Invalid pipeline spec: {len(specs)} pipeline specs, {len(platforms)} platform specs")
    try:
        spec = json_format.ParseDict(specs[0], pipeline_spec_pb2.PipelineSpec())
        for platform in platforms:
            json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    except json_format.ParseError as error:
        raise Refused(400, f"invalid v2 pipeline spec: unknown field ({error})") from error
    if spec.schema_version != "2.1.0":
        raise Refused(400, f"KFP only supports schema version 2.1.0, but the pipeline spec has {spec.schema_version}")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", spec.pipeline_info.name):
        raise Refused(400, "invalid v2 pipeline spec: name")
    return {"pipeline_spec": specs[0], **({"platform_spec": platforms[0]} if platforms else {})}


def check_parameters(package, given):
    """Check a run's parameters against the types that the pipeline declares."""
    declared = package["pipeline_spec"]["root"].get("inputDefinitions", {}).get("parameters", {})
    for name in given.keys() - declared.keys():
        raise Refused(400, f"parameter {name} provided is not required by pipeline")
    for name, parameter in declared.items():
        kind = KINDS[parameter["parameterType"]]
        if name not in given:
            if not parameter.get("isOptional"):
                raise Refused(400, f"parameter {name} is not optional, yet has neither default value nor user value")
        elif not isinstance(given[name], kind) or isinstance(given[name], bool) != (kind is bool):
            raise Refused(400, f"input parameter {name} requires type {parameter['parameterType']}")


def check_schedule(schedule):
    """Check the trigger and the limits of a recurring run."""
    trigger = schedule.get("trigger", {})
    if len([kind for kind in ("cron_schedule", "periodic_schedule") if trigger.get(kind)]) != 1:
        raise Refused(400, "Either a cron or a periodic trigger is needed")
    cron = trigger.get("cron_schedule", {}).get("cron")
    # croniter, which also knows more than the server does, is told to take seconds first as the server does.
    if cron is not None and (len(cron.split()) != 6 or not croniter.is_valid(cron, second_at_beginning=True)):
        raise Refused(400, f"Schedule cron is not a supported format: {cron}")
    if "periodic_schedule" in trigger and int(trigger["periodic_schedule"].get("interval_second", 0)) < 1:
        raise Refused(400, "Found invalid period schedule interval. Set at interval to least 1 second.")
    if not 1 <= int(schedule.get("max_concurrency", 0)) <= MOST_CONCURRENT:
        raise Refused(400, f"The max concurrency of the recurring run is not in 1-{MOST_CONCURRENT}")
