"""The parts of report.html for whoever has to find out why: waterfall, speed, structure, confusion."""


from core.report.markup import card, plot, table
from core.report.measurements import Confusion, Neighbours, Validation
from core.report.plots import waterfall_bars
from core.report.text import counted, difference, fraction, metric_prefix, quantity, ratio, step_title

MOST_LAYERS = 40
MOST_CONFUSED = 20


def waterfall(irs: Validation) -> str:
    """Return the accuracy of every form of the model, and how far neighbours agree."""
    lead = ("The same test images through every form of the model, so that a drop is located. Agreement: boxes scored "
            "0.3 or more that have a partner of their class at IoU 0.5 in the other form; not counted where the "
            "other form's list of detections is full of higher scores.")
    missing = "; ".join(f"{step_title(name)}: {reason}" for name, reason in irs.waterfall.missing.items())
    steps = table(["Form", "mAP", "mAP50"], [[step_title(step.name), fraction(step.map), fraction(step.map50)]
                                             for step in irs.waterfall.steps],
                  f"Not measured: {missing}." if missing else "")
    pairs = table(["Neighbours", "mAP", "agreement", "matched", "only first", "only second", "score difference"],
                  [neighbour_row(pair) for pair in irs.waterfall.neighbours],
                  "Score difference: the largest of a matched pair.")
    bars = plot(waterfall_bars(irs.waterfall.steps), "half")
    return card("Waterfall", lead, f"<div class=\"sides\">{bars}{steps}</div>{pairs}")


def neighbour_row(pair: Neighbours) -> list[str]:
    """Return a pair of the waterfall as cells of text."""
    return [f"{step_title(pair.first)} to {step_title(pair.second)}", difference(pair.map_change),
            f"{pair.share:.2%}", str(pair.matched), str(pair.only_first), str(pair.only_second),
            fraction(pair.largest_score_difference)]


def speeds(irs: Validation) -> str:
    """Return latency and throughput of both IRs by hint."""
    cores = "" if irs.other_cores != irs.other_cores else \
        f" Other processes kept {irs.other_cores:.2f} cores busy meanwhile."
    load = "" if irs.load_average != irs.load_average else f" Load average before: {irs.load_average:.2f}."
    low, high = irs.speedup_range
    lead = (f"By benchmark_app's method, both models in turns. Speed-up {ratio(irs.speedup)}, in single repeats "
            f"{ratio(low)} to {ratio(high)}; the instruction set and the int8 share let one expect up to "
            f"{ratio(irs.expected_speedup)}.{load}{cores}")
    header = ["Model, hint", "images/s", "median ms", "p90", "p99", "min", "max", "compile ms", "first ms", "streams",
              "requests", "threads", "batch"]
    return card("Speed", lead, table(header, speed_rows(irs)))


def speed_rows(irs: Validation) -> list[list[str]]:
    """Return a row of text for each IR and hint."""
    rows = []
    for name, ir in (("FP32", irs.fp32), ("compressed", irs.compressed)):
        for speed in ir.speeds:
            times = [speed.median, speed.p90, speed.p99, speed.min, speed.max, speed.compile_ms,
                     speed.first_inference_ms]
            rows.append([f"{name}, {speed.hint.lower()}",
                         f"{quantity(speed.fps)} ({quantity(speed.fps_low)} to {quantity(speed.fps_high)})",
                         *map(quantity, times), *(str(count) for count in (speed.streams, speed.requests,
                                                                           speed.threads, speed.batch))])
    return rows


def structure(irs: Validation) -> str:
    """Return size and cost of both IRs, layers that did not become int8, and channels that were removed."""
    parts = [table(["", "FP32 IR", "compressed IR", "ratio"], structure_rows(irs))]
    quantized = irs.compressed.fake_quantize_nodes > 0
    if quantized and irs.compressed.not_int8:
        rows = [[layer.name, layer.precision, f"{layer.share:.2%}"] for layer in irs.compressed.not_int8[:MOST_LAYERS]]
        parts.append(f"<h3>{counted(len(irs.compressed.not_int8), 'layer')} of the compressed IR not in int8</h3>"
                     + table(["Layer", "runs in", "share of the work"], rows, tall=True))
    if irs.layers_changed:
        rows = [[layer.name, "{} to {}".format(*layer.in_channels), "{} to {}".format(*layer.out_channels)]
                for layer in irs.layers_changed[:MOST_LAYERS]]
        parts.append(f"<h3>Channels of {counted(len(irs.layers_changed), 'layer')} changed</h3>"
                     + table(["Layer", "in", "out"], rows, tall=True))
    return card("Structure", "Counted from the graphs; FLOPs of one image, two for each multiplication with its "
                "addition.", "".join(parts))


def structure_rows(irs: Validation) -> list[list[str]]:
    """Return what both IRs consist of as rows of text."""
    def row(label: str, before: float, after: float) -> list[str]:
        return [label, metric_prefix(before), metric_prefix(after), ratio(after / before) if before else ""]

    fp32, compressed = irs.fp32, irs.compressed
    return [row("Parameters", fp32.parameters, compressed.parameters),
            row("of these not 0", fp32.nonzero, compressed.nonzero),
            row("FLOPs", fp32.flops, compressed.flops), row("Channels", fp32.channels, compressed.channels),
            row("Bytes", fp32.size_mb * 1e6, compressed.size_mb * 1e6),
            ["Work in int8", *(f"{ir.int8_share:.1%}" for ir in (fp32, compressed)), ""]]


def confusion(matrix: Confusion) -> str:
    """Return the compressed IR's confusion matrix with the FP32 IR's counts where they differ."""
    if len(matrix.classes) > MOST_CONFUSED + 1:
        return ""
    rows = [[name, *(str(after) if after == before else f"{after} ({before})"
                     for before, after in zip(matrix.fp32[index], matrix.compressed[index]))]
            for index, name in enumerate(matrix.classes)]
    return card("Confusion", f"At IoU 0.5 and score {matrix.min_score:g}: what was there in rows, what the compressed "
                "IR found in columns; the FP32 IR's count in brackets where it differs.",
                table(["There", *matrix.classes], rows))
