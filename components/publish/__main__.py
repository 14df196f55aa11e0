"""Command line of the publish stage."""

import argparse
import sys
import tempfile
from pathlib import Path

from core.base.cli import run_stage, stage_parser
from core.base.executor_output import ExecutorOutput
from core.base.supervision import run_command


def build_parser() -> argparse.ArgumentParser:
    """Return the stage's argument parser."""
    parser = stage_parser("publish", "Put a bundle together, check it, and copy it whole or not at all.")
    parser.add_argument("--ir-compressed", metavar="FOLDER", type=Path, required=True,
                        help="IR of the compressed model")
    parser.add_argument("--ir-fp32", metavar="FOLDER", type=Path, required=True, help="IR of the FP32 model")
    parser.add_argument("--summary", metavar="FILE", type=Path, required=True, help="summary.json of the run")
    parser.add_argument("--html", metavar="FILE", type=Path, required=True, help="report of the run")
    parser.add_argument("--validation", metavar="FOLDER", type=Path, required=True,
                        help="folder that validate wrote; its golden image goes into the bundle")
    parser.add_argument("--run", metavar="NAME", default="by hand", help="run that publishes, for the model's metadata")
    parser.add_argument("--destination", metavar="LOCATION", default="",
                        help="folder of published models, or s3://bucket/prefix; empty publishes nothing")
    parser.add_argument("--model-name", metavar="NAME", default="detector", help="name of the model's folder there")
    parser.add_argument("--version", metavar="N", type=int, default=0,
                        help="version to publish as, refused where it holds other content; 0 takes the next one")
    parser.add_argument("--location", metavar="FILE", type=Path, required=True,
                        help="where to write the published bundle's location")
    return parser


def publish(arguments: argparse.Namespace, output: ExecutorOutput) -> None:
    """Assemble and publish the bundle and write its location; without a destination write an empty one."""
    from core.base.outputs import write_text
    from core.bundle.assemble import BundleSources, assemble
    from core.bundle.golden import GOLDEN
    from core.bundle.publish import publish as publish_bundle

    if not arguments.destination:
        print("nothing published: no destination is given", flush=True)
        write_text(arguments.location, "")
        return
    sources = BundleSources(arguments.ir_compressed, arguments.ir_fp32, arguments.validation / GOLDEN,
                            arguments.summary, arguments.html)
    with tempfile.TemporaryDirectory(prefix="mmdet-compress-bundle-") as folder:
        assemble(sources, Path(folder), arguments.model_name, arguments.run)
        publication = publish_bundle(Path(folder), arguments.destination, arguments.model_name,
                                      arguments.version or None)
    print(f"published version {publication.version}: {publication.location}" if publication.created else
          f"already published as version {publication.version}: {publication.location}", flush=True)
    write_text(arguments.location, str(publication.location))


def main(argv: list[str] | None = None) -> int:
    """Run the stage and return its exit code."""
    return run_stage(build_parser(), publish, argv)


if __name__ == "__main__":
    sys.exit(run_command("publish", main))
