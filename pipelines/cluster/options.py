"""Command-line options for the cluster; nothing heavy is imported here."""

import argparse

PIPELINE_NAME = "mmdet-compress"
ACTIONS = ("submit", "schedule", "every", "list_schedules", "unschedule", "doctor")
SHAPES_A_RUN = ("experiment", "run_name", "service_account", "pipeline_root")
REACHES_THE_CLUSTER = ("host", "namespace", "pipeline_name", "token_file", "cookies_file", "ca_cert")
FOLLOWS_A_RUN = ("wait", "wait_timeout", "poll")


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add every option that has to do with a cluster; all are absent (None) unless given."""
    what = parser.add_argument_group("on a cluster").add_mutually_exclusive_group()
    what.add_argument("--submit", action="store_true", default=None, help="start a run on the cluster")
    what.add_argument("--schedule", metavar="CRON",
                      help="start runs by a cron line: six fields, seconds first, or a crontab's five")
    what.add_argument("--every", metavar="TIME", help="start runs at an interval, such as 12h or 7d")
    what.add_argument("--list-schedules", action="store_true", default=None, help="show this pipeline's schedules")
    what.add_argument("--unschedule", metavar="NAME", help="end the schedule of this name")
    what.add_argument("--doctor", action="store_true", default=None, help="look at an installation and say what it "
                      "lacks for such a run; changes nothing")
    run = parser.add_argument_group("the run or schedule")
    run.add_argument("--experiment", metavar="NAME", help=f"experiment that runs belong to (default: {PIPELINE_NAME})")
    run.add_argument("--run-name", metavar="NAME",
                     help="name of the run (default: with the time), or of the schedule, whose namesake it replaces "
                          f"(default: {PIPELINE_NAME})")
    run.add_argument("--service-account", metavar="NAME", help="Kubernetes service account of the stages")
    run.add_argument("--pipeline-root", metavar="URI", help="where artifacts go, such as s3://bucket/runs")
    follow = parser.add_argument_group("following a run")
    follow.add_argument("--wait", action="store_true", default=None,
                        help="follow the run to its end; exit with 1 if it fails or is cancelled")
    follow.add_argument("--wait-timeout", metavar="TIME", help="stop following after this time, such as 36h")
    follow.add_argument("--poll", metavar="SECONDS", type=float, help="pause between two looks (default: 10)")
    reach = parser.add_argument_group("reaching the cluster")
    reach.add_argument("--host", metavar="URL", help="API server or UI of Kubeflow Pipelines (default: "
                       "$KF_PIPELINES_ENDPOINT, or inside a cluster its own)")
    reach.add_argument("--namespace", metavar="NAME", help="namespace of runs, where the installation has many users")
    reach.add_argument("--pipeline-name", metavar="NAME",
                       help=f"what the pipeline is called on the cluster (default: {PIPELINE_NAME})")
    reach.add_argument("--token-file", metavar="FILE", help="file with a bearer token, read again for every request "
                       "(default: $MMDET_COMPRESS_KFP_TOKEN, or inside a cluster the pod's own)")
    reach.add_argument("--cookies-file", metavar="FILE",
                       help="file with the session cookie (default: $MMDET_COMPRESS_KFP_COOKIES)")
    reach.add_argument("--ca-cert", metavar="FILE",
                       help="certificate authority of the host (default: $MMDET_COMPRESS_KFP_CA)")


def is_for_cluster(arguments: argparse.Namespace) -> bool:
    """Return whether one of the cluster's actions was chosen."""
    return bool(_given(arguments, ACTIONS))


def check_cluster_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with argparse's message where options do not go together."""
    followed = _given(arguments, FOLLOWS_A_RUN)
    shaped = _given(arguments, SHAPES_A_RUN) or (["-p"] if arguments.assignments else []) or _given(
        arguments, ["params"])
    if not is_for_cluster(arguments):
        stray = followed or _given(arguments, SHAPES_A_RUN) or _given(arguments, REACHES_THE_CLUSTER)
        if stray:
            parser.error(f"{stray[0]} says something about a cluster: add --submit, --schedule, --every, "
                         "--list-schedules, --unschedule or --doctor")
        return
    local = [option for option, given in (
        ("--compile", arguments.compile), ("--list-params", arguments.list_params), ("--name", arguments.name),
        ("--no-cache", arguments.no_cache), ("--runner", arguments.runner != parser.get_default("runner")),
        ("--work-dir", arguments.work_dir != parser.get_default("work_dir"))) if given]
    if local:
        parser.error(f"{local[0]} is for this machine and has no place in a command for the cluster")
    if followed and not arguments.submit:
        parser.error(f"{followed[0]} follows a run: it goes with --submit only")
    if followed and not arguments.wait:
        parser.error(f"{followed[0]} goes with --wait")
    if shaped and (arguments.list_schedules or arguments.unschedule is not None):
        parser.error(f"{shaped[0]} shapes a run or schedule: it goes with --submit, --schedule or --every")


def _given(arguments: argparse.Namespace, names: list[str]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in names if getattr(arguments, name) is not None]
