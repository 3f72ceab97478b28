"""Options of `monai bundle run` that no config knows."""

import json

import pytest
from angioseg.errors import AngioSegError
from angioseg.overrides import check_overrides, need
from angioseg.paths import bundle_dir

PROGRAM = "/somewhere/site-packages/monai/bundle/__main__.py"
TRAIN, PAPER = (str(bundle_dir() / "configs" / name) for name in ("train.json", "recipe_paper.json"))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--max_epochs", "3", "--train#trainer#amp", "True", "--bundle_root", "."], None),
        (["--train::trainer::amp=True", "--learning_rate", "-1", "--logging_file", "None"], None),
        (["--max-epochs=3"], None),
        (["-max_epochs", "3"], None),
        (["-overwite", "True"], "--overwite: the configs have no such value"),
        (["--max_epoch", "3"], "--max_epoch: the configs have no such value; did you mean --max_epochs?"),
        (["--learnig_rate=1e-3"], "--learnig_rate: .* did you mean --learning_rate"),
        (["--trian#trainer#amp", "True"], "--trian#trainer#amp: .* did you mean --train"),
        (["--stream_frames", "3"], "--stream_frames: the configs have no such value"),
        (["--xyzzy", "3"], "--xyzzy: the configs have no such value; leave it out"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
@pytest.mark.parametrize(
    "files",
    [f"['{TRAIN}','{PAPER}']", f"('{TRAIN}','{PAPER}')", TRAIN, f"{TRAIN},{PAPER}"],
    ids=["list", "tuple", "one", "commas"],
)
def test_a_misspelt_option_is_told(options, line, files):
    command = [PROGRAM, "run", "--config_file", files, *options]
    if line is None:
        check_overrides(command)
    else:
        with pytest.raises(AngioSegError, match=line):
            check_overrides(command)


@pytest.mark.parametrize(("name", "right"), [("max_epochs", True), ("max_epoch", False)])
def test_a_file_of_options_is_looked_at_too(name, right, tmp_path):
    (tmp_path / "args.json").write_text(json.dumps({"config_file": [TRAIN, PAPER], name: 3}))
    command = [PROGRAM, "run", "--args_file", str(tmp_path / "args.json"), "--seed", "1"]
    if right:
        check_overrides(command)
    else:
        with pytest.raises(AngioSegError, match="--max_epoch: the configs have no such value"):
            check_overrides(command)


def test_a_package_that_is_not_installed_is_named_with_its_extra():
    assert need("torch", "any")
    with pytest.raises(AngioSegError, match=r'nowhere is not installed: pip install "angioseg\[some\]"'):
        need("nowhere", "some")


def test_other_programs_have_options_of_their_own():
    check_overrides(["/usr/bin/pytest", "--max_epoch", "3"])
    check_overrides()
