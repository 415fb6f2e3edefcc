"""The tables of hardware against themselves, and hardware that a scenario describes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sim.compute.base import WorkSize
from sim.compute.data_files import FOLDER, HARDWARE_FILES, read_table
from sim.compute.hardware import HardwareBlock, class_names, find_hardware, hardware_names, hardware_of
from sim.compute.roofline import RooflineSettings, price_model
from sim.compute.runtimes import find_overheads
from sim.core.errors import InputError

WANTED = (
    *("l40s", "l4", "a10", "a40", "t4", "rtx-3090", "rtx-4090", "rtx-5090", "h200", "b200", "gh200", "rtx-pro-6000"),
    *("jetson-agx-thor", "dgx-spark", "jetson-orin-nano", "jetson-orin-nx", "jetson-agx-orin", "a100", "h100", "gb200"),
    *("snapdragon-8-gen-3-npu", "snapdragon-8-gen-3-cpu", "snapdragon-8-elite-npu", "snapdragon-8-elite-cpu"),
    *("a17-pro", "a18", "a18-pro", "a19", "a19-pro", "m1", "m2", "m3", "m4", "m4-max", "m5", "pixel-9-tpu"),
    *("raspberry-pi-5", "epyc-9654"),
)


def leaves(entry: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Key, number and source of each number of an entry."""
    found = []
    for key, given in entry.items():
        if key in ("title", "class", "typical", "runtime", "source"):  # words
            continue
        own = isinstance(given, dict) and "value" in given
        value, source = (given["value"], given["source"]) if own else (given, entry.get("source"))
        found += [(key, number, source) for number in (value.values() if isinstance(value, dict) else [value])]
    return found


@pytest.mark.parametrize("table", [*HARDWARE_FILES, "classes"])
def test_every_number_of_every_hardware_has_a_source(table: str) -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(
        [*HARDWARE_FILES, "classes", "model_shapes", "precisions", "runtimes"]
    )
    for name, entry in read_table(table).items():
        numbers = leaves(entry)
        assert len(numbers) >= 4, name
        for key, number, source in numbers:
            assert isinstance(number, float) and number >= 0, (name, key)
            assert isinstance(source, str) and len(source) >= 10, (name, key)


def test_every_figure_of_every_runtime_has_a_source() -> None:
    for name, rows in read_table("runtimes").items():
        for hardware_class, row in rows.items():
            if hardware_class != "title":
                assert hardware_class in (*class_names(), "any"), name
                assert len(row["source"]) > 10 and len(row) > 1, (name, hardware_class)


def test_what_is_wanted_is_there_and_sane() -> None:
    assert set(WANTED) <= set(hardware_names())
    for name in hardware_names():
        hardware = find_hardware(name)
        # A processor reads its whole memory within 5 ms to 2 s, and does 1 to 4000 operations per byte it reads.
        assert 0.005 < hardware.memory_bytes / hardware.memory_bandwidth_bytes_per_s < 2, name
        for peak in hardware.peak_flops.values():
            assert 1 < peak / hardware.memory_bandwidth_bytes_per_s < 4000, name
        assert 0 < hardware.idle_power_w < hardware.peak_power_w, name
        model = price_model(RooflineSettings(hardware=name, model_size="0.5B"))
        price = model.price([WorkSize(4, 99, 4)])
        assert 1e-4 < price.seconds < 1, name
        assert 1e-3 < price.joules < 10, name


def test_every_class_has_a_runtime_and_a_typical_entry() -> None:
    for name in class_names():
        block = hardware_of(HardwareBlock(hardware_class=name))
        assert block.hardware_class == name
        assert find_hardware(read_table("classes")[name]["typical"]).hardware_class == name
        find_overheads("auto", block)


def test_a_block_takes_what_it_does_not_say_from_its_class() -> None:
    block = hardware_of(HardwareBlock(hardware_class="gddr-gpu", memory_gb=32, peak_tflops={"fp16": 200}))
    l40s = find_hardware("l40s")
    assert block.memory_bytes == 32e9
    assert block.peak_flops == {"fp16": 200e12}
    assert block.memory_bandwidth_bytes_per_s == l40s.memory_bandwidth_bytes_per_s
    assert block.sources["memory_gb"] == "set in the scenario"
    assert block.numbers["active_share"] == l40s.numbers["active_share"]


def test_a_block_may_be_like_named_hardware() -> None:
    like = hardware_of(HardwareBlock(like="h100", title="H100 at 500 W", peak_power_w=500))
    named = find_hardware("h100")
    assert like.title == "H100 at 500 W"
    assert (like.memory_bytes, like.peak_flops) == (named.memory_bytes, named.peak_flops)
    assert (like.peak_power_w, like.idle_power_w) == (500, 50)  # a tenth of the peak, as the class has it
    assert hardware_of(HardwareBlock(like="h100")).idle_power_w == named.idle_power_w


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peak_tflops", {"fp16": 500.0}),
        ("memory_bandwidth_gb_per_s", 1000.0),
        ("compute_efficiency", {"fp16": 0.3}),
        ("bandwidth_efficiency", 0.5),
        ("idle_power_w", 100.0),
        ("peak_power_w", 400.0),
        ("interconnect_gb_per_s", 10.0),
    ],
)
def test_every_key_of_a_block_changes_a_price(key: str, value: Any) -> None:
    def prices(block: dict[str, Any]) -> list[Any]:
        settings = RooflineSettings(hardware=HardwareBlock(like="h100", **block), model_size="8B", num_processors=2)
        model = price_model(settings)
        return [model.price(batch) for batch in ([WorkSize(1, 400, 1)], [WorkSize(2000, 2000, 1)] * 3)]

    assert prices({key: value}) != prices({})


@pytest.mark.parametrize(("key", "value"), [("layer_s", 1e-3), ("step_s", 1e-2), ("bandwidth_efficiency", 0.3)])
@pytest.mark.parametrize("runtime", ["vllm", "llama.cpp", "ideal"])
def test_what_a_block_sets_comes_before_what_the_runtime_has(key: str, value: float, runtime: str) -> None:
    def price(block: dict[str, Any]) -> float:
        settings = RooflineSettings(hardware=HardwareBlock(like="h100", **block), model_size="1B", runtime=runtime)
        return price_model(settings).price([WorkSize(1, 400, 1)]).seconds

    assert price({key: value}) > price({})


def test_numbers_of_one_entry_come_before_those_of_a_runtime_on_its_class() -> None:
    spark, thor = find_hardware("dgx-spark"), find_hardware("jetson-agx-thor")
    assert find_overheads("vllm", spark)[1].layer_s == spark.numbers["layer_s"]
    assert find_overheads("vllm", thor)[1].layer_s == 105e-6
    assert find_overheads("ideal", find_hardware("gh200"))[1].compute_efficiency["fp16"] == 1.0


def test_memory_and_its_share_of_the_system() -> None:
    assert hardware_of(HardwareBlock(like="h100", system_memory_share=0.5)).memory_bytes == 40e9
    with pytest.raises(ValidationError, match=r"fills 16\.1 GB, and 1 x small has 10 GB"):
        RooflineSettings(hardware=HardwareBlock(like="h100", title="small", memory_gb=10), model_size="8B")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"memory_gb": 10}, "give either hardware_class or like"),
        ({"hardware_class": "npu", "like": "h100"}, "give either hardware_class or like"),
        ({"hardware_class": "gpu"}, "unknown hardware_class 'gpu'.*valid: apple-gpu, cpu"),
        ({"like": "h10"}, "unknown hardware 'h10'"),
        ({"like": "h100", "memory": 10}, "unknown key 'memory'.*did you mean 'memory_gb'"),
        ({"like": "h100", "memory_gb": 0}, "greater than 0"),
        ({"like": "h100", "peak_tflops": {"fp17": 1}}, "unknown arithmetic 'fp17'"),
        ({"like": "h100", "peak_tflops": {}}, "at least 1 item"),
    ],
)
def test_wrong_blocks_are_refused(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HardwareBlock(**block)


def test_a_block_in_a_scenario_reads_back_equal_and_is_told_by_its_keys() -> None:
    from sim.scenario.schema import Scenario

    edge = {"kind": "roofline", "hardware": {"like": "h100", "memory_gb": 94}, "model_size": "8B"}
    scenario = Scenario.from_dict({"compute": {"edge": edge}})
    assert Scenario.from_dict(scenario.dump()) == scenario
    changed = scenario.replace("compute.edge.hardware.memory_gb", 120)
    assert changed.dump()["compute"]["edge"]["hardware"]["memory_gb"] == 120
    edge["hardware"] = {"like": "h100", "memmory_gb": 94}
    with pytest.raises(InputError, match=r"compute\.edge\.hardware.*memmory_gb"):
        Scenario.from_dict({"compute": {"edge": edge}})
