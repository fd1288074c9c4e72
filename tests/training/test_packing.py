"""Many trees in one row: who sees whom is what the dense mask says, block by block, and the numbers are those of pairs."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from scdpo.errors import ModelError
from scdpo.solutions.rendering import render
from scdpo.training.attention import dense
from scdpo.training.collator import Item, collate_pairs, padded_rows
from scdpo.training.layouts import choose_layout, preferred, set_attention
from scdpo.training.log_probs import token_log_probs
from scdpo.training.model_files import save_model
from scdpo.training.objectives import PreferenceObjective
from scdpo.training.packing import BLOCK, LEAST_WIDTH, block_mask, compiled_width, depth_first, pack, sees
from scdpo.training.plan import split
from scdpo.training.scratch import make_model
from scdpo.training.settings import LoraSettings, PreferenceSettings
from scdpo.training.train import train_preference
from tests.conftest import DEVICE, make_tree, on_processor
from tests.solutions.test_tree import TREES
from tests.training.conftest import SIZES, job_of, same, weights
from tests.training.families import FAMILIES, tiny_model
from tests.training.test_layouts import END, PROMPT, ROUNDING, TREE, on_device

SERVED = [family for family in FAMILIES if family != "internlm2"]
SHORT = render(make_tree([[11, 12], [13]], [(1, [[20, 21, 22]]), (0, [[23]])]), PROMPT, END)


def rendered(trees):
    return [render(tree, PROMPT, END) for tree in trees]


def long_rows(seed: int):
    """A few trees of hundreds of tokens, which stretch over blocks."""
    draw = random.Random(seed)

    def ids(most):
        return [draw.randrange(5, 30) for _ in range(draw.randrange(1, most))]

    def row():
        steps = draw.randrange(1, 6)
        branches = [(draw.randrange(steps), [ids(300)]) for _ in range(draw.randrange(1, 6))]
        return render(make_tree([ids(200) for _ in range(steps)], branches), tuple(ids(100)), END)

    return [row() for _ in range(draw.randrange(1, 4))]


def packed_ends(rows):
    return pack(rows, [])["subtree_ends"]


@given(tree=TREES)
def test_depth_first_order(tree):
    """Each token once, none before one that it sees, and the end of each token is that of its last descendant."""
    (row,) = rendered([tree])
    order, ends = depth_first(row)
    assert sorted(order) == list(range(len(row)))
    places = {index: at for at, index in enumerate(order)}
    ancestors = {}
    for index in order:
        parent = row.predictors[index]
        ancestors[index] = {index} | (ancestors[parent] if parent >= 0 else set())
    for index in order:
        assert ends[places[index]] == 1 + max(places[other] for other in order if index in ancestors[other])


@given(trees=st.lists(TREES, min_size=1, max_size=4))
def test_who_sees_whom_is_what_the_dense_mask_says(trees):
    """And no token sees one of another tree; what fills the row up is seen by nobody else."""
    rows = rendered(trees)
    ends = packed_ends(rows)
    seen = dense(block_mask(ends))
    first = 0
    expected = torch.eye(len(ends), dtype=torch.bool)
    for row in rows:
        own = padded_rows([row], [])["attention_mask"][0, 0]
        order = torch.tensor(depth_first(row)[0])
        expected[first : first + len(row), first : first + len(row)] = own[order][:, order]
        first += len(row)
    assert torch.equal(seen, expected)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_blocks_are_those_that_torch_finds(seed):
    """From the ends of a block alone: the same blocks, partial and full, in the same order as from every query and key."""
    ends = packed_ends(long_rows(seed))
    ours, theirs = block_mask(ends), create_block_mask(sees(ends), None, None, len(ends), len(ends), device="cpu")
    for name in ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices", "q_num_blocks", "q_indices"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


def test_the_grid_of_widths():
    assert [compiled_width(tokens) for tokens in (1, 1024, 1025, 2048, 5000)] == [1024, 1024, 2048, 2048, 8192]
    assert LEAST_WIDTH % BLOCK == 0


@on_processor
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_compiled_kernel_reads_the_blocks(seed):
    """FlexAttention compiled for the processor, forward: what a dense mask gives. It leaves out the blocks that nobody sees."""
    ends = packed_ends(long_rows(seed))
    query, key, value = (torch.randn(1, heads, len(ends), 16, generator=torch.manual_seed(seed)) for heads in (4, 2, 2))
    mask = block_mask(ends)
    with torch.no_grad():
        found = torch.compile(flex_attention, dynamic=False, fullgraph=True)(
            query, key, value, block_mask=mask, enable_gqa=True
        )
        expected = scaled_dot_product_attention(query, key, value, dense(mask), enable_gqa=True)
    assert torch.allclose(found, expected, atol=1e-5)


def losses_and_gradient(model, rows, layout):
    set_attention(model, layout)
    batch = on_device(collate_pairs([Item(row, tuple((-30.0, -31.0) for _ in row.pairs)) for row in rows], layout))
    losses, _ = PreferenceObjective(0.1, layout=layout).losses(token_log_probs(model, batch), batch)
    gradients = torch.autograd.grad(losses.sum(), list(model.parameters()), allow_unused=True)
    set_attention(model, "tree")
    return losses.detach(), torch.cat([part.flatten() for part in gradients if part is not None])


@pytest.fixture(scope="module", params=SERVED)
def model(request):
    return tiny_model(request.param)


@settings(deadline=None, max_examples=8)
@given(trees=st.lists(TREES, min_size=1, max_size=3))
def test_packed_trees_and_pairs_are_equal(model, trees):
    """Losses to ROUNDING, gradients to 1e-4 of their norm, in float32."""
    (losses, gradient), (others, other) = (losses_and_gradient(model, rendered(trees), name) for name in ("packed", "pairs"))
    assert losses.tolist() == pytest.approx(others.tolist(), rel=ROUNDING)
    assert (gradient - other).norm() <= 1e-4 * other.norm() + 1e-6


@on_processor  # a GPU computes nothing but FlexAttention
@pytest.mark.parametrize("family", SERVED)
def test_flex_attention_itself(family):
    """Without gradients the processor runs FlexAttention, uncompiled: the log-probs that gradients come with."""
    model, rows = tiny_model(family), [render(TREE, PROMPT, END), SHORT]
    batch = on_device(collate_pairs([Item(row) for row in rows], "packed"))
    set_attention(model, "packed")
    with torch.no_grad():
        found = token_log_probs(model, batch)
    assert torch.allclose(found, token_log_probs(model, batch).detach(), atol=1e-5)


def test_bfloat16_is_rounded_as_elsewhere():
    """Autocast leaves FlexAttention alone, and embeddings in float32 leave queries there: all three are rounded before it."""
    model, rows = tiny_model("llama"), [render(TREE, PROMPT, END), SHORT]
    with torch.autocast(DEVICE, torch.bfloat16):
        found = [losses_and_gradient(model, rows, layout) for layout in ("packed", "pairs")]
    assert torch.allclose(found[0][0], found[1][0], rtol=0.05)
    assert (found[0][1] - found[1][1]).norm() <= 0.1 * found[1][1].norm()


def test_layouts_by_name_and_by_rule():
    row, model = render(TREE, PROMPT, END), tiny_model("llama")
    assert choose_layout(model, [row, SHORT], "packed") == ("packed", "")
    assert model.config._attn_implementation == "scdpo_packed"
    assert choose_layout(model, [row, SHORT], "tree") == ("tree", "")
    assert choose_layout(model, [row, SHORT], "auto") == ("tree", "")
    set_attention(model, "tree")
    assert model.config._attn_implementation == "sdpa"


def test_the_rule():
    """Long trees on CUDA alone: 1,024 tokens in the row of an average token."""
    short, long = (
        render(make_tree([[5] * 10], [(0, [[6]])]), PROMPT, END),
        render(make_tree([[5] * 2000], [(0, [[6]])]), PROMPT, END),
    )
    assert preferred([long], "cuda")[0] == "packed"
    assert preferred([long, *[short] * 10], "cuda")[0] == "packed", "most tokens stand in a long row"
    assert preferred([short], "cuda")[0] == "tree"
    assert preferred([long], "cpu")[0] == "tree"


@pytest.mark.parametrize(
    ("family", "options", "why"), [("internlm2", {}, "no FlexAttention"), ("llama", {"attention_dropout": 0.1}, "dropout")]
)
def test_a_model_that_takes_no_packed_trees_gets_the_next_layout(family, options, why, monkeypatch):
    monkeypatch.setattr("scdpo.training.layouts.preferred", lambda rows, device: ("packed", "tree", "pairs"))
    model, row = tiny_model(family, **options), render(TREE, PROMPT, END)
    layout, note = choose_layout(model, [row, SHORT], "auto")
    assert layout == "tree"
    assert why in note
    with pytest.raises(ModelError, match=why):
        choose_layout(model, [row, SHORT], "packed")


def test_a_model_that_reads_its_blocks_wrongly_is_found_out(monkeypatch):
    """Trees of one row that see each other: the shortest tree, which lies after the longest, shows it."""
    monkeypatch.setattr("scdpo.training.packing.sees", lambda ends: lambda row, head, query, key: key <= query)
    with pytest.raises(ModelError, match="log-probs are off"):
        choose_layout(tiny_model("llama"), [render(TREE, PROMPT, END), SHORT], "packed")


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=30), budget=st.integers(1, 100), processes=st.integers(1, 3))
def test_packed_micro_batches(lengths, budget, processes):
    """Each tree once, a micro-batch within the budget unless it is one tree, and no two of them that would fit into one."""
    items = [Item(render(make_tree([[5] * length], [(0, [[6]])], str(n)), (1,), END)) for n, length in enumerate(lengths)]
    parts = split(items, budget, "packed")
    tokens = [sum(len(item.row) for item in part) for part in parts]
    assert sorted(item.row.name for part in parts for item in part) == sorted(item.row.name for item in items)
    assert all(total <= budget or len(part) == 1 for total, part in zip(tokens, parts, strict=True))
    assert all(a + b > budget for n, a in enumerate(tokens) for b in tokens[n + 1 :])
    shared = split(items, budget, "packed", processes)
    assert sum(map(len, shared)) == len(items) and len(shared) >= min(processes, len(items))


@pytest.mark.parametrize("lora", [LoraSettings(), LoraSettings(rank=4, alpha=8)], ids=["all weights", "adapters"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_whole_training_on_packed_trees(lora, checkpointing, trees, story_codec, tmp_path):
    """Reference log-probs, micro-batches, updates and saving: the model that trees a row each give, up to rounding, and a saved
    config that asks for nothing of ours."""
    base = tmp_path / "base"
    sizes = SIZES.model_copy(update={"heads": 2})  # of 16 features, the least that FlexAttention is compiled for
    save_model(make_model(sizes, story_codec.tokenizer, seed=1), story_codec.tokenizer, base, "card\n")
    settings = PreferenceSettings(
        beta=0.5,
        lr=1e-3,
        epochs=1,
        batch=8,
        threads=1,
        lora=lora,
        activation_checkpointing=checkpointing,
        precision="float32",
    )
    found = {}
    for layout in ("packed", "tree"):
        chosen = settings.model_copy(update={"layout": layout, "tokens_per_micro_batch": 600})
        job = job_of(tmp_path, story_codec, chosen, layout, base, cache=tmp_path / f"cache-{layout}")
        facts = train_preference(job, trees)
        assert facts["layout"] == layout
        found[layout] = weights(job.folder)
        assert "scdpo" not in "".join(file.read_text() for file in job.folder.glob("*config.json"))
    before = weights(base)
    moved = max((found["tree"][name] - before[name]).abs().max().item() for name in before)
    assert moved > 1e-4
    assert same(found["packed"], found["tree"], tolerance=0.05 * moved)
