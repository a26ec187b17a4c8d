"""The precision that the hardware computes fastest in."""

import pytest
import torch

from geomclip_tools import precision
from geomclip_tools.training.settings import TrainingSettings
from geomclip_tools.training.tasks.pretrain import PretrainSettings


@pytest.mark.parametrize(
    ("capabilities", "gain", "expected"),
    [
        ({"avx512_bf16": True}, 2.5, "bf16"),
        ({"avx512_bf16": True}, 0.8, "no"),
        ({"avx2": True, "avx512_bf16": False}, 2.5, "no"),
    ],
)
def test_automatic_precision_is_the_faster_one(monkeypatch, capabilities, gain, expected):
    monkeypatch.setattr(precision, "measure_bfloat16_gain", lambda: gain)
    for device in (torch.cuda, torch.accelerator):
        monkeypatch.setattr(device, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    for settings_class in (TrainingSettings, PretrainSettings):
        settings = settings_class(dataset="d", output_dir="o", mixed_precision="auto")
        assert settings.mixed_precision == expected


def test_the_gain_of_bfloat16_is_a_ratio_of_times(monkeypatch):
    clock = [0.0]

    def multiply(one, other):
        clock[0] += 3.0 if one.dtype == torch.float32 else 2.0

    monkeypatch.setattr(torch, "mm", multiply)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: clock[0])
    assert precision.measure_bfloat16_gain.__wrapped__() == 1.5
