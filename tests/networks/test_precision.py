"""Half the bits on a CPU, in a process of its own: where it goes wrong the process ends."""

import subprocess
import sys

import pytest

PROGRAM = """
import copy, sys, torch
from angioseg.nets import CENet3D2D, use_bfloat16
torch.manual_seed(0)
plain = CENet3D2D(num_neighbors=int(sys.argv[1]), norm="batch")
short = copy.deepcopy(plain)
use_bfloat16(short, "cpu")
window = torch.randn(2, 1, plain.window, 96, 96)
logits = plain(window), short(window)
assert logits[1].dtype == torch.float32
assert not torch.equal(*logits), "it computes in float32"
assert torch.corrcoef(torch.stack([each.detach().ravel() for each in logits]))[0, 1] > 0.99
logits[1].mean().backward()
assert all(weight.grad.dtype == torch.float32 and weight.grad.isfinite().all() for weight in short.parameters())
"""


@pytest.mark.parametrize("num_neighbors", [0, 1])
def test_a_step_in_bfloat16_on_a_cpu(num_neighbors):
    subprocess.run([sys.executable, "-c", PROGRAM, str(num_neighbors)], check=True)
