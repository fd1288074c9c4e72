"""LoRA and QLoRA adapters by PEFT: put on a model, trained beside its frozen weights, found in a folder, and merged into the
weights again."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from scdpo.errors import ModelError, first_line
from scdpo.training.settings import LoraSettings

# Where it is installed, it warns in every process that loads PEFT of a kernel that it would like to have.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
ADAPTER_FILE = "adapter_config.json"


def quantization(settings: LoraSettings) -> Any:
    """How a model's frozen weights are to be loaded (transformers' quantization_config), None for as they are.

    Raises ModelError where bitsandbytes is not installed.
    """
    if not settings.quantize:
        return None
    from importlib.util import find_spec

    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise ModelError(f'quantize = "{settings.quantize}" needs bitsandbytes; install it with pip install "scdpo[qlora]"')
    if settings.quantize == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
    )


def add_adapters(model: Any, settings: LoraSettings, base: str | Path, seed: int) -> Any:
    """The model with fresh adapters that change nothing yet; only they are trained. base: where the model lies.

    Raises ModelError where the model has none of the target modules.
    """
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    targets = "all-linear" if settings.targets == ("all-linear",) else list(settings.targets)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # PEFT divides it by the rank; fractions are fine
        lora_dropout=settings.dropout,
        target_modules=targets,
        base_model_name_or_path=str(base),
    )
    if settings.quantize:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            adapted = get_peft_model(model, config)
        except ValueError as error:
            raise ModelError(f"no adapters for these targets: {first_line(error)}; set lora.targets") from error
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    return adapted


def round_frozen(model: Any) -> None:
    """Hold in bfloat16, in place, the frozen weights that only linear layers multiply by, of a model with adapters.

    Autocast would round them to the same values for each product, and keep every copy for the backward pass. An embedding stays
    as it is, also where it is the output layer too: its values are taken unrounded. So does an output layer that has adapters,
    because PEFT saves it with them.
    """
    import torch
    from torch.nn import Linear

    if not hasattr(model, "peft_config"):
        return
    linear = [module for module in model.modules() if type(module) is Linear]
    others = [module for module in model.modules() if type(module) is not Linear]
    kept = {weight for module in others for weight in module.parameters(recurse=False)}
    output = model.get_output_embeddings()
    if type(output) is not Linear:
        kept.update(output.parameters())
    for weight in (weight for module in linear for weight in module.parameters(recurse=False)):
        if not weight.requires_grad and weight not in kept:
            weight.data = weight.data.to(torch.bfloat16)


def without_dropout(model: Any) -> None:
    """Evaluation mode, in which quantized layers stay as they are: on a processor bitsandbytes packs them for inference the
    first time that they compute in it, and from then on no gradient comes through them."""
    model.eval()
    for module in model.modules():
        if type(module).__module__.startswith("bitsandbytes."):
            module.train()


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds adapters instead of a model."""
    return (folder / ADAPTER_FILE).is_file()


def base_of(adapter: Path) -> Path | str:
    """The model that adapters belong to: in a run the folder of the recorded name beside them, also where the run was moved or
    copied; else the recorded one. Raises ModelError where neither is there.
    """
    recorded = str(json.loads((adapter / ADAPTER_FILE).read_text(encoding="utf-8")).get("base_model_name_or_path") or "")
    beside = adapter.resolve().parent / Path(recorded).name
    if recorded and beside.is_dir() and beside != adapter.resolve():
        return beside
    if recorded and Path(recorded).expanduser().is_dir():
        return Path(recorded).expanduser()
    if recorded.count("/") == 1 and not recorded.startswith((".", "~", "/")):
        return recorded  # a hub name
    raise ModelError(f'{adapter}: its base model "{recorded}" is not there; give it with --base')


def merged(model: Any, adapter: Path) -> Any:
    """The model (of full precision) with the folder's adapters added into its weights. Raises ModelError."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except (ValueError, RuntimeError, OSError) as error:
        raise ModelError(f"{adapter}: {first_line(error)}; is this the adapters' base model?") from error
