"""Tiny random models of the families that the paper and its readers train, 40 tokens each, on the tests' device."""

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from tests.conftest import DEVICE

VOCABULARY = 40
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,  # the least that FlexAttention is compiled for
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
    "attn_implementation": "sdpa",
    "dtype": torch.float32,
}
FAMILIES = {
    "llama": {},
    "llama, tied": {"tie_word_embeddings": True},
    "qwen2": {},
    "qwen3": {"tie_word_embeddings": True},
    "mistral": {"sliding_window": None},
    "gemma": {},
    "granite": {"logits_scaling": 4.0},
    "internlm2": {},
}


def tiny_model(family: str, **options):
    """A model of `family` ("llama, tied": of the part before the comma), the same each time."""
    torch.manual_seed(0)
    if family == "internlm2":
        return InternLM2ForCausalLM(InternLM2Config(**{**SIZES, **options})).eval().to(DEVICE)
    config = AutoConfig.for_model(family.partition(",")[0], **{**SIZES, **FAMILIES.get(family, {}), **options})
    return AutoModelForCausalLM.from_config(config).eval().to(DEVICE)


class InternLM2Config(PretrainedConfig):
    """What InternLM2's published code calls its settings, as far as it matters here."""

    model_type = "internlm2_style"


class InternLM2Block(nn.Module):
    """A layer as in InternLM2: queries, keys and values of a group packed in one projection, w1, w3 and w2 for the rest."""

    def __init__(self, config):
        super().__init__()
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.width = config.hidden_size // self.heads
        self.attention_norm = nn.RMSNorm(config.hidden_size)
        self.wqkv = nn.Linear(config.hidden_size, (self.heads + 2 * self.groups) * self.width, bias=False)
        self.wo = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.ffn_norm = nn.RMSNorm(config.hidden_size)
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, states, cosine, sine, mask):
        rows, length, _ = states.shape
        packed = self.wqkv(self.attention_norm(states))
        packed = packed.view(rows, length, self.groups, self.heads // self.groups + 2, self.width)
        query = packed[..., :-2, :].reshape(rows, length, self.heads, self.width).transpose(1, 2)
        key, value = packed[..., -2, :].transpose(1, 2), packed[..., -1, :].transpose(1, 2)
        turned = [part * cosine + torch.cat(part.chunk(2, -1)[::-1], -1) * sine for part in (query, key)]
        mixed = nn.functional.scaled_dot_product_attention(
            *turned, value, attn_mask=mask, is_causal=mask is None, enable_gqa=True
        )
        states = states + self.wo(mixed.transpose(1, 2).reshape(rows, length, -1))
        normed = self.ffn_norm(states)
        return states + self.w2(nn.functional.silu(self.w1(normed)) * self.w3(normed))


class InternLM2Base(PreTrainedModel):
    config_class = InternLM2Config
    base_model_prefix = "model"
    _supports_sdpa = True


class InternLM2Model(InternLM2Base):
    def __init__(self, config):
        super().__init__(config)
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(InternLM2Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size)
        self.post_init()

    def get_input_embeddings(self):
        return self.tok_embeddings

    def forward(self, input_ids, attention_mask=None, position_ids=None, use_cache=False, **kwargs):
        if attention_mask is not None and attention_mask.dim() == 4 and getattr(self.config, "refuses_4d", False):
            raise ValueError("attention mask should be of shape [rows, length]")
        if attention_mask is not None and getattr(self.config, "ignores_masks", False):
            attention_mask = None
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        width = self.config.hidden_size // self.config.num_attention_heads
        speeds = 10000.0 ** (-torch.arange(0, width, 2, device=input_ids.device) / width)
        angles = torch.cat([position_ids[..., None] * speeds] * 2, dim=-1)[:, None]
        sign = torch.cat([-torch.ones(width // 2), torch.ones(width // 2)]).to(angles.device)
        states = self.tok_embeddings(input_ids)
        for layer in self.layers:
            states = layer(states, angles.cos(), angles.sin() * sign, attention_mask)
        return BaseModelOutputWithPast(last_hidden_state=self.norm(states))


class InternLM2ForCausalLM(InternLM2Base, GenerationMixin):
    def __init__(self, config):
        super().__init__(config)
        self.model = InternLM2Model(config)
        self.output = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self):
        return self.output

    def forward(self, input_ids, attention_mask=None, position_ids=None, use_cache=False, **kwargs):
        states = self.model(input_ids, attention_mask, position_ids).last_hidden_state
        return CausalLMOutputWithPast(logits=self.output(states))
