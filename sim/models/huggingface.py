"""Any causal language model of Hugging Face transformers behind the LanguageModel interface."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from typing_extensions import override

from sim.core.errors import InputError
from sim.models.alibi import follow_tree_masks
from sim.models.cached_model import CachedModel, ancestor_matrix
from sim.models.fingerprint import library_versions
from sim.models.hub import first_line
from sim.models.importance import Weights
from sim.models.interface import Logits
from sim.models.kv_store import DEFAULT_MAX_BYTES, DEFAULT_MAX_SLOTS, KvStore, LayerShape
from sim.models.layout import Chunk, PassLayout
from sim.models.limits import context_limit
from sim.models.weights import first_unusable

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

CHECK_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}
_RUN_ERRORS = (AttributeError, IndexError, RuntimeError, TypeError, ValueError)
"""What networks raise that do not know a kind of mask or cache."""
_MASKED = "a 4-D attention mask and a cache that is rolled back"
_BLIND = "does not follow a token tree's attention mask, so drafts cannot be verified with it"
_OFFSET = ("camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod")
_UNFIT_TYPES = {
    **dict.fromkeys(("mpt", "megatron-bert", *_OFFSET), _BLIND),
    "openai-gpt": "keeps no keys and values of its past, so it cannot be rolled back after a rejected draft",
}
"""Model types whose code in transformers runs and gives other rows, or none that can be rolled back. MPT's biases count
places in the cache, and RoBERTa's kin add an offset to positions."""


def to_numpy(logits: torch.Tensor) -> Logits:
    """Logits as an array, sharing memory where they lie on the CPU as float32 or float64."""
    if logits.dtype not in (torch.float32, torch.float64):
        logits = logits.float()
    return logits.cpu().numpy()


class _Address:
    """Where the tokens of the pass at hand are written, and which columns of which slots they read."""

    layout: PassLayout

    def point_at(self, layout: PassLayout, device: torch.device) -> None:
        self.layout = layout
        if len(layout.chunks) > 1:
            self.slots = torch.from_numpy(layout.slots).to(device)
            self.token_slots = torch.from_numpy(layout.slots[layout.token_rows]).to(device)
            self.token_columns = torch.from_numpy(layout.token_columns).to(device)
            self.token_rows = torch.from_numpy(layout.token_rows).to(device)
            self.token_places = torch.from_numpy(layout.token_places).to(device)


class _SlotLayer(CacheLayerMixin):
    """One layer's view of the store: new keys and values go to their slots, the pass's slots come back."""

    is_sliding = False

    def __init__(self, store: KvStore, layer_index: int, address: _Address) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.store = store
        self.layer_index = layer_index
        self.address = address
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing: the store is laid out beforehand."""

    @override
    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [batch, heads, width, dim] and return [batch, heads, num_columns, dim]."""
        return (
            self._exchange(self.store.keys[self.layer_index], key_states),
            self._exchange(self.store.values[self.layer_index], value_states),
        )

    def _exchange(self, kept: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        address = self.address
        chunks = address.layout.chunks
        if len(chunks) == 1:
            chunk = chunks[0]
            kept[chunk.slot, :, chunk.start : chunk.stop] = new[0]
            return kept[chunk.slot : chunk.slot + 1, :, : chunk.stop]
        written = new.transpose(1, 2)[address.token_rows, address.token_places]
        kept[address.token_slots, :, address.token_columns] = written
        return kept[:, :, : address.layout.num_columns].index_select(0, address.slots)

    @override
    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that the pass looks at, from column 0 on."""
        return self.address.layout.num_columns, 0

    def get_seq_length(self) -> int:
        """Columns held before the pass; positions and masks are always given, so that nothing is derived from it."""
        return self.address.layout.num_columns - self.address.layout.width

    def get_max_length(self) -> int:
        """No fixed bound: the store grows."""
        return -1


class HuggingFaceModel(CachedModel):
    """A stock transformers causal LM over one slot-indexed key-value store.

    Ragged batches of chains and trees run in one call: each row has its own write columns, a 4-D mask says which
    columns each token sees, and positions are given (depth for tree nodes).

    Args:
        network: A ``...ForCausalLM`` in evaluation mode.
        name: What the user called it.
        vocab_size: Meaningful ids; a wider (padded) head is cut to it before any softmax.
        eos_ids, bos_id: Special ids; ends outside the vocabulary are dropped.
        fingerprint: Content hash.
        max_slots, max_bytes: Bounds of the key-value store.

    Raises:
        InputError: The architecture cannot be rolled back or does not follow a 4-D mask.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        name: str,
        vocab_size: int,
        eos_ids: frozenset[int],
        bos_id: int,
        fingerprint: str,
        max_slots: int = DEFAULT_MAX_SLOTS,
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        super().__init__()
        refuse_unfit(network.config, name)
        self.name = name
        self.network = network.eval()
        follow_tree_masks(network)
        self.vocab_size = vocab_size
        limit = context_limit(network.config.to_dict(), name)
        self.max_context, self.notes = limit.length, limit.notes
        self.eos_ids = frozenset(token for token in eos_ids if token < vocab_size)
        self.bos_id = bos_id
        self.fingerprint = fingerprint
        self.numerics = _numerics(network)
        self.num_parameters = sum(parameter.numel() for parameter in network.parameters())
        self._is_eager = network.config._attn_implementation == "eager"
        self._address = _Address()
        self._cache_key = _cache_key(network)
        with torch.inference_mode():
            shapes, _ = _probe_layers(network, name)
            self._store = KvStore(shapes, network.dtype, network.device, max_slots, max_bytes)
            self._cache = Cache(layers=[_SlotLayer(self._store, index, self._address) for index in range(len(shapes))])
            self._check_tree()

    def _feed(self, chunks: Sequence[Chunk]) -> list[Logits]:
        with torch.inference_mode():
            return self._feed_tokens(chunks)

    def _feed_tokens(self, chunks: Sequence[Chunk]) -> list[Logits]:
        device = self._store.device
        layout = PassLayout(chunks)
        self._address.point_at(layout, device)
        seen = torch.from_numpy(layout.seen()[:, None]).to(device)
        num_kept = max(1, *(chunk.num_rows for chunk in chunks))  # 0 would mean all
        logits = self.network(
            input_ids=torch.from_numpy(layout.padded(layout.ids)).to(device),
            attention_mask=self._mask(seen),
            position_ids=torch.from_numpy(layout.padded(layout.positions)).to(device),
            use_cache=True,
            logits_to_keep=num_kept,
            **{self._cache_key: self._cache},
        ).logits
        rows = to_numpy(logits[:, :, : self.vocab_size])
        return [rows[row, rows.shape[1] - chunk.num_rows :] for row, chunk in enumerate(chunks)]

    def attention(self, text: Sequence[int]) -> Weights:
        """What a text's last token attends to in the last layer, mean over heads, [num_tokens]; by eager attention."""
        before = self.network.config._attn_implementation
        self.network.set_attn_implementation("eager")
        try:
            with torch.inference_mode():
                ids = torch.tensor([list(text)], device=self._store.device)
                found = self.network(input_ids=ids, use_cache=False, output_attentions=True).attentions[-1]
        finally:
            self.network.set_attn_implementation(before)
        weights: Weights = found[0, :, -1].double().mean(0).cpu().numpy()
        return weights

    def _mask(self, seen: torch.Tensor) -> torch.Tensor:
        """Boolean for sdpa, additive for eager attention: each silently misreads the other's."""
        assert seen.dtype is torch.bool
        if not self._is_eager:
            return seen
        lowest = torch.finfo(self.network.dtype).min
        return torch.zeros(seen.shape, dtype=self.network.dtype, device=seen.device).masked_fill_(~seen, lowest)

    def unusable_tensor(self) -> str | None:
        """Name of a weight that holds infinite values or no numbers, if there is one."""
        return first_unusable(self.network.named_parameters())

    def _check_tree(self) -> None:
        """Compare a tree's two branches with plain passes over their paths: not every architecture reads masks."""
        a, b, c, d = (token % self.vocab_size for token in (5, 7, 11, 13))
        slot = self._store.admit(["check"], 4)[0]
        tree = Chunk(slot, 1, (b, c, d), 2, 2, ancestor_matrix((-1, -1)), (1, 1))
        try:
            self._feed_tokens([Chunk(slot, 0, (a,), 0, 2)])
            rows = self._feed_tokens([tree])[0]
        except _RUN_ERRORS as error:
            raise _does_not_run(self.network, self.name, error) from error
        self._store.forget("check")
        self.refuse_unusable(rows)
        for row, path in zip(rows, ((a, b, c), (a, b, d)), strict=True):
            ids = torch.tensor([path], device=self._store.device)
            plain = to_numpy(self.network(input_ids=ids, use_cache=False).logits[0, -1, : self.vocab_size])
            error = float(np.abs(row - plain).max())
            if not error <= CHECK_TOLERANCE[self.network.dtype] * max(1.0, float(np.abs(plain).max())):
                raise InputError(
                    f"{self.name}: model type {self.network.config.model_type!r} does not follow a token tree's "
                    f"attention mask (logits are off by {error:.2g}), so drafts cannot be verified with it"
                )


def _numerics(network: PreTrainedModel) -> str:
    """Libraries that compute the logits, and the GPU, if one does."""
    versions = library_versions("torch", "transformers", "numpy")
    is_cuda = network.device.type == "cuda"
    return f"{versions}, {torch.cuda.get_device_name(network.device)}" if is_cuda else versions


def refuse_unfit(config: PreTrainedConfig, name: str) -> None:
    """Refuse, in words, architectures that cannot be rolled back after a rejected draft.

    Attention over a sliding window is full attention for texts up to the window, to which the context is cut.

    Raises:
        InputError: Encoder-decoder, chunked or linear attention, or a type that is known not to do.
    """
    if config.model_type in _UNFIT_TYPES:
        raise InputError(f"{name}: model type {config.model_type!r} {_UNFIT_TYPES[config.model_type]}")
    if config.is_encoder_decoder or getattr(config, "add_cross_attention", False):
        raise InputError(f"{name}: model type {config.model_type!r} is an encoder-decoder; give a decoder-only model")
    text = config.get_text_config()
    others = set(getattr(text, "layer_types", None) or []) - {"full_attention", "sliding_attention"}
    layers = DynamicCache(config=config).layers
    unlike = {type(layer).__name__ for layer in layers if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer)}
    if others or unlike:
        kind = ", ".join(sorted(others or unlike))
        raise InputError(
            f"{name}: model type {config.model_type!r} has layers whose cache cannot be rolled back after a rejected "
            f"draft ({kind}); give a model with full attention"
        )


def refuse_cacheless(network: PreTrainedModel, name: str) -> None:
    """Refuse what is seen without weights: a token at a time and a token tree through a network on the device "meta".

    Nothing is said of networks whose computation asks for values, such as which expert a token goes to.

    Raises:
        InputError: As loading would.
    """
    follow_tree_masks(network)
    ids = torch.zeros((1, 2), dtype=torch.long, device=network.device)
    mask = torch.zeros((1, 1, 2, 3), dtype=network.dtype, device=network.device)
    try:
        with torch.inference_mode():
            _, cache = _probe_layers(network, name)
            network(input_ids=ids, attention_mask=mask, position_ids=ids + 1, **{_cache_key(network): cache})
    except InputError as error:
        if not isinstance(error.__cause__, RuntimeError):
            raise
    except RuntimeError:
        return
    except _RUN_ERRORS as error:
        raise _does_not_run(network, name, error) from error


def _does_not_run(network: PreTrainedModel, name: str, error: Exception, with_what: str = _MASKED) -> InputError:
    return InputError(
        f"{name}: model type {network.config.model_type!r} does not run with {with_what} ({first_line(error)}), so "
        "drafts cannot be verified with it"
    )


def _cache_key(network: PreTrainedModel) -> str:
    """What the network's forward calls the cache that it is given; transformers 5.24 has renamed it."""
    return "cache" if "cache" in signature(network.forward).parameters else "past_key_values"


def _probe_layers(network: PreTrainedModel, name: str) -> tuple[list[LayerShape], DynamicCache]:
    """Run one token to see what each layer keeps; the cache that then holds it."""
    cache = DynamicCache()
    ids = torch.zeros((1, 1), dtype=torch.long, device=network.device)
    try:
        network(input_ids=ids, **{_cache_key(network): cache})
    except _RUN_ERRORS as error:
        raise _does_not_run(network, name, error, "a cache of keys and values") from error
    num_layers = network.config.get_text_config().num_hidden_layers
    kept = [
        (layer.keys, layer.values)
        for layer in cache.layers
        if isinstance(layer, CacheLayerMixin) and layer.keys is not None and layer.values is not None
    ]
    if len(kept) != num_layers or any(keys.shape[-2] != 1 for keys, _ in kept):
        raise InputError(
            f"{name}: model type {network.config.model_type!r} keeps its past in {len(kept)} of {num_layers} layers; "
            "only models with keys and values in every layer can be rolled back"
        )
    return [LayerShape(keys.shape[1], keys.shape[-1], values.shape[-1]) for keys, values in kept], cache
