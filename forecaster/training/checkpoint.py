"""Checkpoints: safetensors with a JSON header, never pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch

from forecaster.config import ForecasterConfig
from forecaster.errors import CheckpointError, CheckpointVersionError, ConfigError
from forecaster.network.flow import FlowCopula
from forecaster.network.joint import JointCopula
from forecaster.network.model import ForecastNet, Vocabulary
from forecaster.predict import TrainedModel
from forecaster.trees.trees import Trees, TreeShare, trees_from_texts

FORMAT = "harmony-forecaster"
FORMAT_VERSION = 5
HEADER_KEY = "harmony"
CHECKSUM = "checksum"
TREES = "trees"
JOINT = "joint"


def digest(model: TrainedModel) -> str:
    """Twelve hex digits that name the parameters, vocabulary and configuration."""
    state = hashlib.blake2b(json.dumps(_header(model), sort_keys=True).encode(), digest_size=6)
    for name, tensor in sorted(_tensors(model).items()):
        state.update(name.encode())
        state.update(tensor.contiguous().numpy().tobytes())
    return state.hexdigest()


def _header(model: TrainedModel) -> dict[str, Any]:
    trees = model.trees
    # Without further loads a checkpoint is what it was before there were any.
    joint = {} if model.joint is None else {JOINT: list(model.joint.further)}
    return {
        **joint,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": model.config.to_dict(),
        "workloads": list(model.vocabulary.workloads),
        "indicators": list(model.vocabulary.indicators),
        "tree_share": [model.tree_share.body, model.tree_share.tail],
        "tree_levels": [] if trees is None else list(trees.levels),
        "tree_digests": [] if trees is None else [_name_of(text) for text in trees.texts()],
    }


def _tensors(model: TrainedModel) -> dict[str, torch.Tensor]:
    """Parameters of network and joint flow, each level's trees as bytes of LightGBM's own text."""
    tensors = {k: v.contiguous() for k, v in model.net.state_dict().items()}
    if model.joint is not None:
        own = model.joint.flow.state_dict()
        tensors |= {f"{JOINT}.{k}": v.contiguous() for k, v in own.items()}
    for k, text in enumerate(() if model.trees is None else model.trees.texts()):
        tensors[f"{TREES}.{k}"] = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    return tensors


def model_to_bytes(model: TrainedModel) -> bytes:
    """Serialise a model; equal models give equal bytes."""
    header: dict[str, Any] = {**_header(model), "version": model.version}
    header[CHECKSUM] = _checksum(header, _tensors(model))
    return safetensors.torch.save(_tensors(model), {HEADER_KEY: json.dumps(header, sort_keys=True)})


def model_from_bytes(raw: bytes) -> TrainedModel:
    """Load a model.

    Raises:
        CheckpointError: If the bytes are damaged or of something else.
        CheckpointVersionError: If they are of another format version.
    """
    header = read_header(raw, FORMAT, FORMAT_VERSION)
    _check_undamaged(raw, header)
    try:
        config = ForecasterConfig.from_dict(header["config"])
        vocabulary = Vocabulary(tuple(header["workloads"]), tuple(header["indicators"]))
        net = ForecastNet(config, vocabulary, torch.Generator().manual_seed(0))
        tensors = safetensors.torch.load(raw)
        trees = _trees(header, tensors)
        joint = _joint(header, config, tensors)
        others = (f"{TREES}.", f"{JOINT}.")
        net.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(others)})
        share = TreeShare(*(float(weight) for weight in header["tree_share"]))
    except (ConfigError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"checkpoint does not fit its configuration: {error}") from error
    net.eval()
    net.requires_grad_(requires_grad=False)
    version = str(header["version"])
    return TrainedModel(
        net, config, vocabulary, version, trees=trees, tree_share=share, joint=joint
    )


def _joint(
    header: Mapping[str, Any], config: ForecasterConfig, tensors: Mapping[str, torch.Tensor]
) -> JointCopula | None:
    """The joint flow of a checkpoint, if it has one."""
    if JOINT not in header:
        return None
    names = tuple(str(name) for name in header[JOINT])
    first = torch.Generator().manual_seed(0)
    flow = FlowCopula(config.window.horizon, config.model, first, 1 + len(names))
    start = f"{JOINT}."
    flow.load_state_dict(
        {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    )
    flow.eval()
    flow.requires_grad_(requires_grad=False)
    return JointCopula(flow, names)


def _trees(header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Trees | None:
    """The trees of a checkpoint, if it has any."""
    levels = header["tree_levels"]
    if not levels:
        return None
    raw = [tensors[f"{TREES}.{k}"].numpy().tobytes() for k in range(len(levels))]
    texts = [part.decode(errors="replace") for part in raw]
    # LightGBM's reader trusts its text; a damaged one must not reach it.
    if [_name_of(text) for text in texts] != header["tree_digests"]:
        raise CheckpointError("trees of the checkpoint are damaged: their digests differ")
    return trees_from_texts(levels, texts)


def _check_undamaged(raw: bytes, header: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of which a parameter, or a field of the header, is not as it was written.

    One that was written without a checksum is taken as it is.

    Raises:
        CheckpointError: It is damaged.
    """
    if CHECKSUM not in header:
        return
    rest = {name: value for name, value in header.items() if name != CHECKSUM}
    try:
        found = _checksum(rest, safetensors.torch.load(raw))
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"the checkpoint is damaged: {error}") from error
    if found != header[CHECKSUM]:
        raise CheckpointError(
            f"the checkpoint is damaged: checksum={header[CHECKSUM]!r}, now {found!r}; "
            "serve another version, or train again"
        )


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """Digest of all that a checkpoint holds."""
    state = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.contiguous().numpy().tobytes())
    return state.hexdigest()


def _name_of(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def read_header(raw: bytes, kind: str, version: int) -> dict[str, Any]:
    """The JSON header of safetensors bytes, checked to be of one format and version.

    Args:
        raw: 8 bytes of little-endian length, then JSON, then tensors (safetensors format).
        kind: The `format` it must name.
        version: The `format_version` it must name.

    Raises:
        CheckpointError: If the bytes are damaged or of something else.
        CheckpointVersionError: If they are of another format version.
    """
    length = int.from_bytes(raw[:8], "little")
    try:
        metadata = json.loads(raw[8 : 8 + length])["__metadata__"]
        header = json.loads(metadata[HEADER_KEY])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError("these bytes are no checkpoint: header unreadable") from error
    if not isinstance(header, dict):
        raise CheckpointError("these bytes are no checkpoint: header is no object")
    if header.get("format") != kind:
        raise CheckpointError(f"format={header.get('format')!r} must be {kind!r}")
    if header.get("format_version") != version:
        raise CheckpointVersionError(
            f"format_version={header.get('format_version')!r} must be {version}; "
            "train again, or use the release that wrote it"
        )
    return header
