"""Turn an MMDetection detector into a compressed one."""

import logging
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Tuple

from core.checkpoint.checkpoint import CompressionRecord
from core.compression.nncf_import import import_nncf
from core.compression.state import state_from_data, state_to_data
from core.compression.tracing import forward_as, keep_out_of_graph, tracing_forward
from core.errors import UserError

logger = logging.getLogger(__name__)


@dataclass
class CompressedDetector:
    """A detector inside NNCF's network, and the controller of its compression.

    Attributes:
        network: The ``NNCFNetwork``; it has the detector's ``train_step`` and ``val_step``.
        controller: NNCF's compression controller: schedulers, loss, statistics, export.
        nncf_config: The dictionary NNCF was given.
        postprocessing: Whether post-processing was traced.
    """

    network: Any
    controller: Any
    nncf_config: Dict[str, Any]
    postprocessing: bool

    def record(self) -> CompressionRecord:
        """Return what a checkpoint must carry to restore this compression."""
        state = state_to_data(self.controller.get_compression_state())
        return CompressionRecord(self.nncf_config, state, self.postprocessing)


def compress_detector(detector: Any, nncf_config: Dict[str, Any], data_loader: Optional[Iterable[Any]] = None,
                      restore: Optional[CompressionRecord] = None, postprocessing: bool = True) -> CompressedDetector:
    """Wrap ``detector`` by NNCF.

    Args:
        detector: An MMDetection detector with its FP32 weights already loaded: loading them after wrapping would
            match no key.
        nncf_config: Handed to NNCF unchanged.
        data_loader: MMDetection training batches for range estimation and batch-norm adaptation; needed unless
            ``restore`` is given.
        restore: A compressed checkpoint's record: its state is restored and nothing is initialised.
        postprocessing: See ``nncf_compress_postprocessing``.

    Raises:
        UserError: NNCF is missing, or refuses the configuration.
    """
    import_nncf()
    from nncf.torch import create_compressed_model

    keep_out_of_graph(detector, postprocessing)
    config = _nncf_config(nncf_config)
    if restore is None:
        _register_initialisation(config, data_loader)
    Path(config.get("log_dir", ".")).mkdir(parents=True, exist_ok=True)
    size = _sample_size(config)
    with forward_as(detector, tracing_forward(detector, postprocessing)):
        controller, network = create_compressed_model(
            detector, config, compression_state=state_from_data(restore.state) if restore else None,
            dummy_forward_fn=_dummy_forward(size), wrap_inputs_fn=_wrap_image,
            # Losses and detections are no outputs of the deployed graph: marking them would grow it.
            wrap_outputs_fn=lambda outputs: outputs, dump_graphs=False)
    _bind_steps(network, detector)
    return CompressedDetector(network, controller, nncf_config, postprocessing)


def load_compressed_weights(compressed: CompressedDetector, state_dict: Dict[str, Any]) -> None:
    """Load a compressed checkpoint's weights into a restored network; every key must match."""
    from nncf.torch import load_state

    try:
        load_state(compressed.network, state_dict, is_resume=True)
    except RuntimeError as error:
        raise UserError("compressed checkpoint", str(error).splitlines()[0],
                        "Its weights must fit the model compressed with its nncf_config: "
                        + " ".join(line.strip() for line in str(error).splitlines()[1:6]),
                        "Use the same nncf_config and model config as when it was made.") from error


def _nncf_config(nncf_config: Dict[str, Any]) -> Any:
    import jsonschema
    from nncf import NNCFConfig

    try:
        return NNCFConfig.from_dict(nncf_config)
    except jsonschema.ValidationError as error:
        path = "/".join(str(step) for step in error.absolute_path)
        raise UserError("nncf_config", path or "(root)", f"NNCF's schema refuses it: {error.message[:300]}.",
                        "Mend the entry; NNCF 2.0.0's ConfigFile.md lists the valid ones.") from error


def _sample_size(config: Any) -> Tuple[int, ...]:
    info = config["input_info"]
    return tuple((info[0] if isinstance(info, list) else info)["sample_size"])


def _dummy_forward(size: Tuple[int, ...]) -> Any:
    import torch
    from nncf.torch import nncf_model_input
    from nncf.torch.dynamic_graph.io_handling import wrap_nncf_model_outputs_with_objwalk

    def run(model: Any) -> Any:
        device = next(model.parameters()).device
        # Fixed numbers: tracing must not depend on, or move, the random generators.
        image = nncf_model_input(torch.zeros(size, device=device))
        return wrap_nncf_model_outputs_with_objwalk(model(image))

    return run


def _wrap_image(args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
    """Mark the image batch as the model's input, wherever MMDetection's call carries it."""
    from nncf.torch import nncf_model_input

    def mark(image: Any) -> Any:
        # In testing MMDetection passes a list with one batch for each test-time augmentation.
        return [nncf_model_input(item) for item in image] if isinstance(image, list) else nncf_model_input(image)

    if args:
        return (mark(args[0]), *args[1:]), kwargs
    return args, {**kwargs, "img": mark(kwargs["img"])}


def _register_initialisation(config: Any, data_loader: Optional[Iterable[Any]]) -> None:
    if data_loader is None:
        raise ValueError("initialising compression needs a data loader")
    from nncf.torch import register_default_init_args
    from nncf.torch.initialization import PTInitializingDataLoader

    class DetectorInitLoader(PTInitializingDataLoader):
        """Hands NNCF the image batch of each MMDetection training batch."""

        def get_inputs(self, dataloader_output: Any) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
            image = dataloader_output["img"]
            return (), {"img": image.data[0] if hasattr(image, "data") and isinstance(image.data, list) else image}

        def get_target(self, dataloader_output: Any) -> None:
            return None

    register_default_init_args(config, DetectorInitLoader(data_loader))


def _bind_steps(network: Any, detector: Any) -> None:
    # NNCFNetwork.__getattr__ hands out the inner detector's bound methods, which would train past every quantizer.
    for name in ("train_step", "val_step"):
        setattr(network, name, types.MethodType(getattr(type(detector), name), network))
