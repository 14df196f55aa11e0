"""Command line of the publish stage."""

import argparse
import sys
from pathlib import Path
from typing import List, Optional

from core.stage.cli import run_stage, stage_parser
from core.stage.executor_output import ExecutorOutput


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("publish", "Copy a bundle to its destination, whole or not at all.")
    parser.add_argument("--ir-compressed", metavar="FOLDER", type=Path, required=True,
                        help="IR of the compressed model")
    parser.add_argument("--ir-fp32", metavar="FOLDER", type=Path, required=True, help="IR of the FP32 model")
    parser.add_argument("--summary", metavar="FILE", type=Path, required=True, help="summary.json of the run")
    parser.add_argument("--html", metavar="FILE", type=Path, required=True, help="report of the run")
    parser.add_argument("--destination", metavar="FOLDER", default="",
                        help="folder of published models; empty publishes nothing")
    parser.add_argument("--model-name", metavar="NAME", default="detector", help="name of the model's folder there")
    parser.add_argument("--location", metavar="FILE", type=Path, required=True,
                        help="where to write the published bundle's location")
    return parser


def publish(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Publish the bundle and write its location; without a destination write an empty one."""
    from core.stage.outputs import write_text
    from core.storage.publish import Bundle
    from core.storage.publish import publish as publish_bundle

    if not arguments.destination:
        print("nothing published: no destination is given", flush=True)
        write_text(arguments.location, "")
        return
    bundle = Bundle(arguments.ir_compressed, arguments.ir_fp32, arguments.summary, arguments.html)
    publication = publish_bundle(bundle, arguments.destination, arguments.model_name)
    print(f"published version {publication.version}: {publication.location}" if publication.created else
          f"already published as version {publication.version}: {publication.location}", flush=True)
    write_text(arguments.location, str(publication.location))


def main(argv: Optional[List[str]] = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), publish, argv)


if __name__ == "__main__":
    sys.exit(main())
