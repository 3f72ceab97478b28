"""What the tests of more than one folder share."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Processes that have more threads than there are cores spend their time waiting for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes is the machine's business.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def spoilt(tmp_path_factory):
    """The weights that ship, made unsure and in favour of vessels nearly everywhere; a few steps cure them."""
    import torch
    from angioseg.nets import CENet3D2D, load_weights, save_weights
    from angioseg.paths import bundle_dir

    network = load_weights(CENet3D2D(num_neighbors=1), bundle_dir() / "models" / "model.pt")
    with torch.no_grad():
        for part in network.head[4].parameters():
            part *= 0.3
        network.head[4].bias += 4
    path = tmp_path_factory.mktemp("weights") / "spoilt.pt"
    save_weights(network, path)
    return path
