"""precision = "auto": bfloat16 where the device multiplies it fast, float32 elsewhere, each with its reason."""

import types

import pytest
import torch

from scdpo import precision
from scdpo.engines.settings import EngineSettings
from scdpo.precision import choose, imitation_note, instructions, settled
from scdpo.training.settings import OptimizerSettings


@pytest.fixture
def processor(monkeypatch):
    """processor(names, level): a processor with these instructions, for which torch computes at this level."""

    def of(names=(), level="AVX512", with_onednn=True):
        monkeypatch.setattr(precision, "instructions", lambda: set(names))
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: level)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: with_onednn)

    return of


@pytest.mark.parametrize(
    ("names", "level", "taken", "why"),
    [
        ({"avx512_bf16", "amx_bf16", "avx2"}, "AVX512", "bfloat16", "amx_bf16"),
        ({"avx512_bf16", "avx2"}, "AVX512", "bfloat16", "avx512_bf16"),
        ({"bf16", "neon"}, "DEFAULT", "bfloat16", "bf16"),
        ({"bf16", "sve"}, "SVE256", "bfloat16", "bf16"),
        ({"avx512_f", "avx2"}, "AVX512", "float32", "no instructions for bfloat16"),
        ({"avx2"}, "AVX2", "float32", "no instructions for bfloat16"),
        ({"neon"}, "DEFAULT", "float32", "no instructions for bfloat16"),
        ({"avx512_bf16", "avx2"}, "AVX2", "float32", "torch is held to AVX2"),
        ({"avx512_bf16", "avx2"}, "DEFAULT", "float32", "torch is held to DEFAULT"),
    ],
)
def test_processors(processor, names, level, taken, why):
    processor(names, level)
    choice = choose("cpu")
    assert choice.taken == taken and why in choice.why


def test_a_build_of_torch_that_cannot_use_them(processor):
    """torch for Apple's processors has no oneDNN, and its own products of bfloat16 are loops."""
    processor({"bf16"}, "DEFAULT", with_onednn=False)
    assert choose("cpu").taken == "float32" and "oneDNN" in choose("cpu").why


@pytest.mark.parametrize("device", ["cuda", "xpu"])
def test_gpus(device, monkeypatch):
    """Those that only imitate bfloat16 (Volta, Turing) take float32."""
    for able, taken in ((True, "bfloat16"), (False, "float32")):
        supported = lambda including_emulation=True, able=able: able or including_emulation  # noqa: E731
        monkeypatch.setattr(getattr(torch, device), "is_bf16_supported", supported)
        assert choose(device).taken == taken


def test_a_device_that_torch_says_nothing_of():
    assert choose("mps").taken == "float32" and '"mps"' in choose("mps").why


@pytest.mark.parametrize("settings", [OptimizerSettings(), EngineSettings()])
def test_only_auto_is_replaced(settings, processor):
    assert settings.precision == "auto"
    processor({"avx512_bf16"})
    assert settled(settings, "cpu").precision == "bfloat16"
    processor()
    assert settled(settings, "cpu").precision == "float32"
    named = settings.model_copy(update={"precision": "bfloat16"})
    assert settled(named, "cpu") == named, "by name it is taken everywhere"


@pytest.mark.parametrize(
    ("half", "full", "says"),
    [
        (32.0, 1.3, "float32 would be 25 times faster (a layer's products: 32.0 ms in bfloat16, 1.3 ms in float32)"),
        (3.0, 1.2, "float32 would be 2.5 times faster (a layer's products: 3.0 ms in bfloat16, 1.2 ms in float32)"),
        (1.0, 1.2, "float32 would not be faster (a layer's products: 1.0 ms in bfloat16, 1.2 ms in float32)"),
    ],
)
def test_what_imitation_costs(half, full, says, processor, monkeypatch):
    monkeypatch.setattr(precision, "layer_milliseconds", lambda device: (half, full))
    processor({"avx2"}, "AVX2")
    assert imitation_note("cpu") == f"the processor has no instructions for bfloat16; {says}"
    processor({"avx512_bf16"})
    assert imitation_note("cpu") == "", "and nothing is measured"


def test_a_torch_that_lists_no_instructions(monkeypatch):
    """Until torch 2.10: Linux knows them, by the same names."""
    monkeypatch.undo()  # the plain processor of all tests
    found = instructions()
    monkeypatch.setattr(torch, "cpu", types.SimpleNamespace())
    of_linux = instructions()
    assert {name for name in precision.INSTRUCTIONS if name in found} == {n for n in precision.INSTRUCTIONS if n in of_linux}
