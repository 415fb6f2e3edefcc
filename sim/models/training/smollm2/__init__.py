"""How the draft of SmolLM2-135M-Instruct was made: prompts, samples of the target, training, evaluation, shipping.

A few layers of the target are copied and trained on the target's own samples, with its best log-probabilities as
labels; embedding and head stay the target's, so only layers and the last norm are shipped. Run it by
``python -m sim.models.training.smollm2 sample|train|evaluate|ship``.
"""
