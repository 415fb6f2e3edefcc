"""How the embedded draft/target pair was made: corpus, tokenizer, training, distillation, evaluation, prompts.

Run it with ``python -m sim.models.training --out DIR``; the result has the layout of ``sim/models/embedded``.
"""
