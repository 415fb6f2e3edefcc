"""Networks of Hugging Face transformers, loaded whole or from some of their layers, with every tensor accounted for."""

from __future__ import annotations

from typing import Any

from sim.core.errors import InputError, unknown_name_message
from sim.models.checkpoint import (
    held_layers,
    index_file,
    read_json,
    refuse_wrong_tensors,
    tensors_of_file,
    weight_files,
)
from sim.models.hub import first_line, quiet_transformers
from sim.models.limits import layer_count, text_config
from sim.models.llama_sizes import EMBEDDING, HEAD, LAST_NORM, LlamaSizes, optional_ends, tensors_of
from sim.models.pickled import is_pickled
from sim.models.safetensors_head import Shape
from sim.models.sources import ModelSource

# Under which attributes modules have the number of their layer, and configurations what each layer is.
_WHERE_TRUSTED = "an option of run, sweep, calibrate, tape record and models check"
_LAYER_NUMBERS, _LAYER_KINDS = ("layer_idx", "layer_id"), ("layer_types", "attention_layers")


def load_network(source: ModelSource, dtype: str, trust_remote_code: bool) -> Any:
    """A ``...ForCausalLM`` on the CPU.

    Args:
        source: Where its files lie.
        dtype: Of its parameters.
        trust_remote_code: Whether code shipped with the checkpoint may run.

    Raises:
        InputError: It cannot be loaded, lacks tensors or holds unknown ones, or cannot be rolled back.
    """
    place = str(source.folder)
    config = _fit_config(source, place, trust_remote_code)
    if source.base is not None:
        network = _from_layers(source, config, dtype)
    else:
        network = _from_checkpoint(source, place, config, dtype, trust_remote_code)
    return network if source.layers is None else keep_layers(network, source.layers, source.name)


def check_network(source: ModelSource, trust_remote_code: bool) -> dict[str, Any]:
    """Look for what keeps a checkpoint from being loaded, without reading its weights.

    Returns:
        Its configuration, with what transformers takes for what it does not state.

    Raises:
        InputError: As ``load_network``.
    """
    place = str(source.folder)
    config = _fit_config(source, place, trust_remote_code)
    network = _from_checkpoint(source, place, config, "float32", trust_remote_code, is_empty=True)
    if source.layers is not None:
        keep_layers(network, source.layers, source.name)
    from sim.models.huggingface import refuse_cacheless

    refuse_cacheless(network, source.name)
    plain: dict[str, Any] = network.config.to_dict()
    return plain


def count_parameters(source: ModelSource, trust_remote_code: bool) -> int | None:
    """Numbers in the weights that a configuration asks for; None where no network can be made of it."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            config = _fit_config(source, str(source.folder), trust_remote_code)
            network = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except Exception:  # the libraries below raise many kinds
        return None
    count: int = sum(parameter.numel() for parameter in network.parameters())
    return count


def keep_layers(network: Any, layers: tuple[int, ...], name: str) -> Any:
    """Leave only some of a network's layers in it, in this order.

    Raises:
        InputError: Its layers do not stand in one list.
    """
    import torch

    text = network.config.get_text_config()
    stacks = [
        (parent, key)
        for parent in network.modules()
        for key, child in parent.named_children()
        if isinstance(child, torch.nn.ModuleList) and len(child) == text.num_hidden_layers
    ]
    if len(stacks) != 1:
        raise InputError(
            f"{name}: model type {text.model_type!r} has no one list of layers that some could be taken of"
        )
    parent, key = stacks[0]
    kept = [getattr(parent, key)[index] for index in layers]
    for place, layer in enumerate(kept):
        for module in layer.modules():
            for number in _LAYER_NUMBERS:
                if hasattr(module, number):
                    setattr(module, number, place)
    setattr(parent, key, torch.nn.ModuleList(kept))
    for kinds in _LAYER_KINDS:
        if getattr(text, kinds, None):
            setattr(text, kinds, [getattr(text, kinds)[index] for index in layers])
    text.num_hidden_layers = len(layers)
    return network


def needs_own_code(source: ModelSource, trust_remote_code: bool) -> InputError | None:
    """What to say of a checkpoint that cannot be read and comes with code that may not run."""
    if trust_remote_code:
        return None
    for name in ("config.json", "tokenizer_config.json"):
        if read_json(source.folder / name).get("auto_map"):
            text = f"its code comes with it (auto_map in {name}) and runs with --trust-remote-code only"
            return InputError(f"cannot load model {source.name!r}: {text}, {_WHERE_TRUSTED}")
    return None


def _fit_config(source: ModelSource, place: str, trust_remote_code: bool) -> Any:
    """The configuration of a model that can be rolled back."""
    from transformers import AutoConfig

    from sim.models.huggingface import refuse_unfit

    quiet_transformers()
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
    except Exception as error:  # the libraries below raise many kinds
        raise needs_own_code(source, trust_remote_code) or _cannot_load(source, place, error) from error
    try:
        refuse_unfit(config, source.name)
    except InputError as error:
        raise InputError(f"cannot load model {source.name!r}: {error.message}") from error
    except Exception as error:  # of a configuration whose parts do not fit together
        raise _cannot_load(source, place, error) from error
    return config


def _from_checkpoint(
    source: ModelSource, place: str, config: Any, dtype: str, trust_remote_code: bool, is_empty: bool = False
) -> Any:
    """A network of a folder's weights; ``is_empty``: only their names and shapes are looked at."""
    import torch
    from transformers import AutoModelForCausalLM

    def load(attention: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(
            place,
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=not any(is_pickled(path) for path in weight_files(source.folder)),
            weights_only=True,  # of pickled ones
            trust_remote_code=trust_remote_code,
            attn_implementation=attention,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported below, by name
            device_map="meta" if is_empty else None,
        )

    if not is_empty and not trust_remote_code:
        # Of the shapes that a damaged configuration asks for no memory holds the tensors.
        _from_checkpoint(source, place, config, dtype, trust_remote_code, is_empty=True)
    try:
        try:
            network, info = load("sdpa")
        except ValueError as error:
            if "scaled_dot_product_attention" not in str(error):
                raise
            network, info = load("eager")
    except Exception as error:
        raise _unknown_name(source, config, error) or _cannot_load(source, place, error) from error
    _refuse_assumed_layers(source, config, list(info["missing_keys"]))
    refuse_wrong_tensors(
        list(info["missing_keys"]),
        {name: _shape_of(name, source) for name in info["unexpected_keys"]},
        [(one[0], tuple(one[1]), tuple(one[2])) for one in info["mismatched_keys"]],
        source.name,
    )
    return network


def _refuse_assumed_layers(source: ModelSource, config: Any, missing: list[str]) -> None:
    """Refuse layers that transformers assumes, where a configuration states none, and that the files do not hold."""
    path = source.folder / "config.json"
    if not missing or layer_count(text_config(read_json(path))) is not None:
        return
    text = config.get_text_config()
    names = [name for file in weight_files(source.folder) for name in tensors_of_file(file)]
    held, assumed = held_layers(names), text.num_hidden_layers
    if 0 < held < assumed:
        key = text.attribute_map.get("num_hidden_layers", "num_hidden_layers")
        said = f"{path} does not state {key}, taken as {assumed}; the files hold tensors of {held} layers"
        raise InputError(f"cannot load model {source.name!r}: {said}")


def _shape_of(name: str, source: ModelSource) -> Shape:
    """Shape of a stored tensor, which transformers may call by a longer or a shorter name."""
    files = weight_files(source.folder)
    stored = {one: tensor.shape for path in files for one, tensor in tensors_of_file(path).items()}
    alike = (shape for one, shape in stored.items() if one.endswith(f".{name}") or name.endswith(f".{one}"))
    return stored[name] if name in stored else next(alike, ())


def _unknown_name(source: ModelSource, config: Any, error: Exception) -> InputError | None:
    """What to say of an error that is a name of the configuration which transformers has looked up in vain."""
    from transformers.activations import ACT2FN
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    if not isinstance(error, KeyError):
        return None
    text = config.get_text_config()
    ropes = text.rope_parameters if isinstance(getattr(text, "rope_parameters", None), dict) else {}
    parts = [ropes, *(part for part in ropes.values() if isinstance(part, dict))]
    tables = [("hidden_act", getattr(text, "hidden_act", None), list(ACT2FN))]
    tables += [("rope_type", part.get("rope_type"), ["default", *ROPE_INIT_FUNCTIONS]) for part in parts]
    for kind, name, known in tables:
        if error.args == (name,) and name is not None:
            said = unknown_name_message(kind, str(name), known)
            return InputError(f"cannot load model {source.name!r}: {source.folder / 'config.json'}: {said}")
    if error.args == ("metadata",):
        said = f"{index_file(source.folder)}: it holds no metadata, which transformers asks for"
        return InputError(f"cannot load model {source.name!r}: {said}")
    return None


def _from_layers(source: ModelSource, config: Any, dtype: str) -> Any:
    """A Llama network whose layers lie in one folder, and all else in its base model's."""
    import torch
    from transformers import AutoModelForCausalLM

    from sim.models.llama_weights import open_weights, read_ends
    from sim.models.weights import refuse_unless_as_asked

    sizes = LlamaSizes.from_config(config.to_dict())
    if sizes is None:
        raise InputError(f"cannot load model {source.name!r}: only Llama models can be made of a base model's parts")
    with open_weights(source, torch.float32) as read:
        shapes = tensors_of(sizes)
        refuse_unless_as_asked(read, shapes, optional_ends(read, sizes), source.name)
        embedding, head = read_ends(read, sizes)
        tensors = {one: read(one) for one in shapes if one not in (EMBEDDING, HEAD)}
        tensors |= {EMBEDDING: embedding, HEAD: head, LAST_NORM: tensors[LAST_NORM]}
    network = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    network.load_state_dict(tensors)
    return network.eval()


def _cannot_load(source: ModelSource, place: str, error: Exception) -> InputError:
    return InputError(f"cannot load model {source.name!r} from {place}: {first_line(error)}")
