"""Models and tokenizers on disk, in transformers' own layout: loading, saving whole, and knowing them by content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from scdpo import hub
from scdpo.errors import HubError, ModelError, first_line
from scdpo.files import whole_folder
from scdpo.solutions.prompting import end_ids
from scdpo.training.adapters import base_of, is_adapter, merged
from scdpo.training.packaged_models import model_path
from scdpo.training.placement import awaits_weights


def load_model(path: str | Path, quantization: Any = None, trust_remote_code: bool = False) -> Any:
    """A causal LM from a local folder, a GGUF file, a package or the hub, in float32; adapters come merged into their base.

    With FSDP the weights of all processes but the first are on the meta device, until they are placed.

    path: also NAME@REVISION on the hub. quantization: transformers' quantization_config, for weights that stay frozen.
    Raises ModelError.
    """
    from transformers import AutoModelForCausalLM

    folder = model_folder(path)
    if is_adapter(folder):
        base = load_model(base_of(folder), trust_remote_code=trust_remote_code)
        return base if awaits_weights() else merged(base, folder)
    options = {"dtype": "float32", "attn_implementation": "sdpa", "trust_remote_code": trust_remote_code}
    if awaits_weights():
        return _unread(path, folder, options)
    if quantization is not None:
        options["quantization_config"] = quantization
    model = _load(AutoModelForCausalLM, path, folder, **options)
    if is_gguf(folder):  # the weights are plain ones by now, and may be saved as such
        model.is_quantized, model.hf_quantizer = False, None
        del model.config.quantization_config
    return model


def _unread(path: str | Path, folder: Path, options: dict[str, Any]) -> Any:
    """A model without its weights."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    config = _load(AutoConfig, path, folder, trust_remote_code=options["trust_remote_code"])
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, **options)
    model.tie_weights()
    return model


def load_tokenizer(path: str | Path, trust_remote_code: bool = False) -> Any:
    """A fast tokenizer from a local folder, a GGUF file, a package or the hub. Raises ModelError."""
    from transformers import AutoTokenizer

    return _load(AutoTokenizer, path, model_folder(path), trust_remote_code=trust_remote_code)


def model_folder(path: str | Path) -> Path:
    """Where a model lies on this machine, in transformers' layout or as a GGUF file: what a package carries, a path, or a
    snapshot in the hub's cache, fetched where it is not there yet. Raises ModelError.
    """
    place = model_path(path)
    local = Path(place).expanduser()
    if is_gguf(place) and local.is_file():
        return local
    asked = hub.parse(str(place))
    try:
        if local.is_dir():
            return hub.snapshot_of(local)
        if asked:
            return hub.fetch(asked, "model")
    except HubError as error:
        here = f'no folder "{asked.name}" here, and ' if asked and not local.is_dir() else ""
        raise ModelError(f"cannot load {path}: {here}{error}; or give a local copy of it: model.path = FOLDER") from error
    raise ModelError(f'no model folder at "{path}"; give a folder in transformers\' layout or a hub name')


def is_here(path: str | Path) -> bool:
    """Whether nothing has to be fetched from the hub for a model; true as well of a path that is no hub name."""
    place = model_path(path)
    asked = None if Path(place).expanduser().exists() else hub.parse(str(place))
    return asked is None or hub.is_cached(asked)


def is_gguf(path: str | Path) -> bool:
    """Whether a model's path is a file of llama.cpp's format, which transformers reads."""
    return str(path).endswith(".gguf")


def _load(kind: Any, path: str | Path, folder: Path, **options: Any) -> Any:
    """From the folder where the model lies; path: as it is called. Raises ModelError."""
    name = str(folder)
    if is_gguf(folder):
        name, options = str(folder.parent), options | {"gguf_file": folder.name}
    try:
        return kind.from_pretrained(name, **options)
    except Exception as error:  # the library raises many types for a folder that it cannot read
        reason = first_line(error)
        if "trust_remote_code" in str(error):
            reason = "it comes with code of its own; read that, and set model.trust_remote_code = true to run it"
        raise ModelError(f'cannot load "{path}": {reason}') from error


def check_model(path: str | Path, trust_remote_code: bool = False) -> Any:
    """Refuse a model that cannot be used, before anything is written: config, tokenizer and the weights' heads are read.
    Returns the tokenizer.

    Raises ModelError.
    """
    from safetensors import SafetensorError, safe_open
    from transformers import AutoConfig

    folder = model_folder(path)
    if is_adapter(folder):
        check_model(base_of(folder), trust_remote_code)
    else:
        _load(AutoConfig, path, folder, trust_remote_code=trust_remote_code)
    tokenizer = load_tokenizer(path, trust_remote_code)
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(str(file), framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise ModelError(f"cannot read {file}: {error}; copy the model again") from error
    return tokenizer


def save_model(model: Any, tokenizer: Any, folder: Path, card: str, state: dict[str, Any] | None = None) -> None:
    """Model or adapters (safetensors), tokenizer, generation config and card into `folder`, whole or not at all.

    state: the weights, where they are not those that the model holds in this process (FSDP, DeepSpeed).
    """

    with whole_folder(folder) as into:
        ends = end_ids(tokenizer)
        model.generation_config.eos_token_id = ends[0] if len(ends) == 1 else list(ends)
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        tied = getattr(model, "all_tied_weights_keys", {})  # which a gathered state holds a second time
        gathered = {} if state is None else {"state_dict": {n: value for n, value in state.items() if n not in tied}}
        model.save_pretrained(into, **gathered)
        tokenizer.save_pretrained(into)
        (into / "README.md").write_text(card, encoding="utf-8")


def fingerprint(folder: Path) -> str:
    """A content hash of a saved model's weights, config and tokenizer."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in (".safetensors", ".json", ".model", ".gguf", ".bin"):
            digest.update(file.name.encode())
            with file.open("rb") as content:
                hashlib.file_digest(content, lambda: digest)
    return digest.hexdigest()[:16]
