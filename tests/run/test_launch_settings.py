"""The shipped settings for `accelerate launch`, as accelerate's own launcher reads them for eight GPUs that it is made to see.

No process is started: what the launcher would start is looked at, and accelerate's plugins are built in the environment that it
would give to each process.
"""

import os
import sys
from importlib import resources
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.distributed.run
from accelerate.commands import launch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from torch.distributed.fsdp import CPUOffloadPolicy, StateDictType
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

SETTINGS = Path(str(resources.files("scdpo.run"))) / "recipes" / "accelerate"
PROCESSES = {"cpu": 2, "gpus": 8, "fsdp": 8, "deepspeed-zero2": 8, "deepspeed-zero3": 8}
STAGES = {"deepspeed-zero2": 2, "deepspeed-zero3": 3}


@pytest.fixture
def launched(monkeypatch):
    """Gives what `accelerate launch` would start with a settings file: torch's own arguments, and the environment, which is
    this process' own from then on."""
    started = SimpleNamespace()

    def start(torch_arguments) -> None:
        started.torch, started.environment = torch_arguments, dict(os.environ)

    def read(file: Path, *words: str) -> SimpleNamespace:
        count = 0 if file.stem == "cpu" else 8
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(launch, "check_cuda_p2p_ib_support", lambda: True)
        monkeypatch.setattr(torch.distributed.run, "run", start)
        if not launch.is_deepspeed_available():  # whose launcher is asked for a file's name alone, which several machines need
            runner = ModuleType("deepspeed.launcher.runner")
            runner.DEEPSPEED_ENVIRONMENT_NAME = ""
            monkeypatch.setattr(launch, "is_deepspeed_available", lambda: True)
            for name in ("deepspeed", "deepspeed.launcher"):
                monkeypatch.setitem(sys.modules, name, ModuleType(name))
            monkeypatch.setitem(sys.modules, runner.__name__, runner)
        parser = launch.launch_command_parser()
        command = ["--config_file", str(file), *words, "-m", "scdpo", "train", "run"]
        launch.launch_command(parser.parse_args(command))
        for name, value in started.environment.items():
            monkeypatch.setenv(name, value)
        return started

    return read


def unknown_keys(file: Path) -> set[str]:
    """Keys of a settings file's sections that the launcher has no option for: it would pass over them in silence. It refuses
    those outside of sections itself."""
    options = vars(launch.launch_command_parser().parse_args(["script"]))
    sections = {name: value for name, value in vars(load_config_from_file(str(file))).items() if isinstance(value, dict)}
    return {key for section in sections.values() for key in section} - set(options)


@pytest.mark.parametrize("words", [(), ("--num_processes", "4")], ids=["as shipped", "four"])
@pytest.mark.parametrize("name", PROCESSES)
def test_processes_and_precision(name, words, launched):
    """As many processes as the file or the command says, on one machine; the precision is left to the recipe."""
    started = launched(SETTINGS / f"{name}.yaml", *words)
    assert started.torch.nproc_per_node == (words[1] if words else str(PROCESSES[name]))
    assert started.torch.nnodes in (None, "1", "1:1")
    assert started.torch.module and started.torch.training_script == "scdpo"
    assert started.torch.training_script_args == ["train", "run"]
    assert started.environment["ACCELERATE_MIXED_PRECISION"] == "no"
    assert started.environment.get("ACCELERATE_DYNAMO_BACKEND", "NO") == "NO"
    kinds = {kind for kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM") if f"ACCELERATE_USE_{kind}" in started.environment}
    assert kinds == ({"FSDP"} if name == "fsdp" else {"DEEPSPEED"} if name in STAGES else set())


def test_every_file_is_tested():
    assert {file.stem for file in SETTINGS.iterdir()} == set(PROCESSES)


@pytest.mark.parametrize("name", PROCESSES)
def test_every_key_is_known(name):
    assert unknown_keys(SETTINGS / f"{name}.yaml") == set()


@pytest.mark.parametrize(
    ("name", "key", "misspelt"),
    [
        ("fsdp", "fsdp_reshard_after_forward", "fsdp_reshard_after_foward"),
        ("deepspeed-zero3", "zero3_save_16bit_model", "zero3_save_16_bit_model"),
    ],
)
def test_a_misspelt_key_of_a_section_is_found(name, key, misspelt, tmp_path):
    """accelerate itself says nothing of it."""
    text = (SETTINGS / f"{name}.yaml").read_text()
    assert key in text
    (tmp_path / "own.yaml").write_text(text.replace(key, misspelt))
    assert unknown_keys(tmp_path / "own.yaml") == {misspelt}


def test_a_misspelt_key_outside_is_found(tmp_path):
    (tmp_path / "own.yaml").write_text((SETTINGS / "gpus.yaml").read_text().replace("num_processes", "num_proceses"))
    with pytest.raises(ValueError, match="num_proceses"):
        unknown_keys(tmp_path / "own.yaml")


def test_fsdp(launched):
    """FSDP2: layers are gathered one at a time and let go again, one process reads, whole weights are saved, nothing is
    offloaded."""
    launched(SETTINGS / "fsdp.yaml")
    sharding = FullyShardedDataParallelPlugin()
    assert sharding.fsdp_version == 2
    assert sharding.reshard_after_forward is True
    assert sharding.auto_wrap_policy is transformer_auto_wrap_policy
    assert sharding.transformer_cls_names_to_wrap is None, "which takes the model's own layers"
    assert sharding.cpu_ram_efficient_loading is True
    assert sharding.state_dict_type == StateDictType.FULL_STATE_DICT
    assert not isinstance(sharding.cpu_offload, CPUOffloadPolicy)
    assert not sharding.activation_checkpointing and not sharding.activation_checkpointing_offload
    assert sharding.mixed_precision_policy is None
    assert sharding.ignored_modules is None


@pytest.mark.parametrize("name", STAGES)
def test_deepspeed(name, launched):
    """ZeRO's stage, nothing offloaded, no weights divided before they are read, and whole weights saved."""
    launched(SETTINGS / f"{name}.yaml")
    plugin = DeepSpeedPlugin()
    zero = plugin.deepspeed_config["zero_optimization"]
    assert plugin.zero_stage == zero["stage"] == STAGES[name]
    assert plugin.zero3_init_flag is False
    assert plugin.zero3_save_16bit_model is zero["stage3_gather_16bit_weights_on_model_save"] is (STAGES[name] == 3)
    assert (zero["offload_optimizer"]["device"], zero["offload_param"]["device"]) == ("none", "none")
    assert plugin.gradient_accumulation_steps == plugin.deepspeed_config["gradient_accumulation_steps"] == 1
    plugin.set_mixed_precision("no")
    assert not any(plugin.deepspeed_config[kind]["enabled"] for kind in ("fp16", "bf16"))


@pytest.mark.parametrize("name", STAGES)
def test_deepspeed_takes_them(name, launched):
    """DeepSpeed's own reading of what accelerate makes of the file, filled in as the trainer does it."""
    runtime = pytest.importorskip("deepspeed.runtime.config", reason="DeepSpeed is not installed")
    launched(SETTINGS / f"{name}.yaml")
    plugin = DeepSpeedPlugin()
    plugin.set_mixed_precision("bf16")
    filled = {"train_micro_batch_size_per_gpu": 1, "train_batch_size": 1, "gradient_clipping": 1.0}
    plugin.deepspeed_config_process(must_match=False, **filled)
    read = runtime.DeepSpeedConfig(plugin.deepspeed_config)
    assert read.zero_optimization_stage == STAGES[name]
    assert read.zero_config.gather_16bit_weights_on_model_save is (STAGES[name] == 3)
    offloaded = (read.zero_config.offload_param, read.zero_config.offload_optimizer)
    assert all(part is None or part.device == "none" for part in offloaded)
    assert read.bfloat16_config.enabled
