"""The 2-D network that is inside a 3D-2D one, as weights to train on: what neighbours are worth is measured by it.

    uv run python tests/benchmarks/two_dimensional.py -o start2d.pt [--model model.pt]

The fusion of neighbouring frames is left out, and the encoder's first convolution summed over its inputs, so that the
network sees the centre frame alone. It must be trained further before it is held against the other:

    cd networks/angioseg/bundle
    python -m monai.bundle run --bundle_root . --config_file "['configs/train.json','configs/stream.json']" \\
        --dataset_dir VAL --ckpt_dir run2d --num_neighbors 0 --start_from start2d.pt --beside_dir STILLS \\
        --beside_share 0.3 --bf16 True --batch_size 8 --clips_at_once 4 --stream_seed 500000 \\
        --stream_size "[448,448]" --max_epochs 5 --iterations_per_epoch 100
    angioseg evaluate DIR -o out --model run2d/model.pt --model models/model.pt
"""

import argparse
import sys
from pathlib import Path

from angioseg.errors import AngioSegError
from angioseg.nets import CENet3D2D, read_state, save_weights
from angioseg.paths import bundle_dir


def main() -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=bundle_dir() / "models" / "model.pt", help="N = 1 or more")
    arguments = parser.parse_args()
    try:
        state = {name: value.float() for name, value in read_state(arguments.model).items()}
    except AngioSegError as error:
        sys.exit(f"error: {error}")
    state = {name: value for name, value in state.items() if not name.startswith("fusion.")}
    state["encoder.conv1.weight"] = state["encoder.conv1.weight"].sum(1, keepdim=True)
    network = CENet3D2D(in_channels=1, out_channels=1, num_neighbors=0)
    network.load_state_dict(state)
    save_weights(network, arguments.out)


if __name__ == "__main__":
    main()
