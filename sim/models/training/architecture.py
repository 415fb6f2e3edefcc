"""The networks of the embedded models, all Llama, and how a distilled one starts from the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.models.training.tokenizer import END_OF_TEXT_ID, MAX_POSITIONS, VOCAB_SIZE


@dataclass(frozen=True)
class Architecture:
    """Sizes of one Llama network with tied input and output embeddings."""

    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    vocab_size: int = VOCAB_SIZE

    def config(self) -> Any:
        """The transformers configuration, with one token as beginning, end and padding."""
        from transformers import LlamaConfig

        return LlamaConfig(
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            num_key_value_heads=self.num_heads,
            max_position_embeddings=MAX_POSITIONS,
            tie_word_embeddings=True,
            bos_token_id=END_OF_TEXT_ID,
            eos_token_id=END_OF_TEXT_ID,
            pad_token_id=END_OF_TEXT_ID,
        )

    def build(self, seed: int) -> Any:
        """A freshly initialised LlamaForCausalLM in float32; the same for the same seed."""
        import torch
        from transformers import LlamaForCausalLM

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = LlamaForCausalLM(self.config())
        # A padding row that never learns would leave the end-of-text logit untrained under tied embeddings.
        model.model.embed_tokens.padding_idx = None
        return model


TARGET = Architecture(hidden_size=256, num_layers=4, num_heads=4, intermediate_size=640)
MIDDLE = Architecture(hidden_size=160, num_layers=3, num_heads=5, intermediate_size=416)
DRAFT = Architecture(hidden_size=96, num_layers=2, num_heads=3, intermediate_size=256)


def start_embedding_from(draft: Any, target: Any) -> None:
    """Set the draft's embedding to the target's, projected on its leading principal directions.

    The result is scaled to the spread that the draft was initialised with; tokens that the target holds
    alike thus start alike in the draft.
    """
    import torch

    with torch.no_grad():
        source = target.get_input_embeddings().weight.detach().double().cpu()
        goal = draft.get_input_embeddings().weight
        _, _, directions = torch.linalg.svd(source, full_matrices=False)
        projected = source @ directions[: goal.shape[1]].T
        projected *= goal.detach().double().std().cpu() / projected.std()
        goal.copy_(projected.to(goal.dtype))
