"""The bundle's inference on a folder of cines, by weights of any N."""

import numpy as np
import pytest
from angioseg.cine import Cine, read_label, write_cine
from angioseg.data import CineDataset
from angioseg.errors import AngioSegError, unwrapped
from angioseg.nets import CENet3D2D, save_weights
from angioseg.paths import bundle_dir
from monai.bundle import ConfigWorkflow
from torch.utils.data import DataLoader


def infer(folder, out, **values):
    workflow = ConfigWorkflow(
        config_file=str(bundle_dir() / "configs" / "inference.json"),
        meta_file=str(bundle_dir() / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="inference",
        bundle_root=str(bundle_dir()),
        dataset_dir=str(folder),
        output_dir=str(out),
        device="cpu",
        grid=[192, 192],
        **values,
    )
    with unwrapped():
        workflow.initialize()
        workflow.run()
    return workflow.parser


@pytest.fixture
def cines(tmp_path):
    folder = tmp_path / "cines"
    folder.mkdir()
    frames = np.random.default_rng(0).integers(0, 255, (2, 24, 32)).astype(np.uint8)
    for name in ("a", "b", "c"):
        write_cine(folder / f"{name}.nrrd", Cine(frames=frames, times_ms=np.arange(2) * 66.0))
    return folder


@pytest.mark.parametrize("neighbors", [0, 2])
def test_n_is_that_of_the_weights(neighbors, cines, tmp_path):
    save_weights(CENet3D2D(in_channels=1, out_channels=1, num_neighbors=neighbors), tmp_path / "model.pt")
    parser = infer(cines, tmp_path / "out", model=str(tmp_path / "model.pt"))
    assert parser.get_parsed_content("inferer").num_neighbors == neighbors
    for name in ("a", "b", "c"):
        mask, annotated = read_label(tmp_path / "out" / f"{name}_seg.nrrd")
        assert (mask.shape, annotated) == ((2, 24, 32), [0, 1])


def test_masks_are_named_by_where_their_cines_lie(cines, tmp_path):
    """The mask of a patient stays that patient's when another's cine of that name comes or goes."""
    save_weights(CENet3D2D(in_channels=1, out_channels=1, num_neighbors=0), tmp_path / "model.pt")
    for day, name in (("monday", "a"), ("tuesday", "b")):
        (cines / day).mkdir()
        (cines / f"{name}.nrrd").rename(cines / day / "a.nrrd")
    infer(cines, tmp_path / "out", model=str(tmp_path / "model.pt"))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["c_seg.nrrd", "monday__a_seg.nrrd", "tuesday__a_seg.nrrd"]


def test_a_mask_that_is_there_is_told_before_the_work(cines, tmp_path):
    save_weights(CENet3D2D(in_channels=1, out_channels=1, num_neighbors=0), tmp_path / "model.pt")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "c_seg.nrrd").write_bytes(b"")
    with pytest.raises(AngioSegError, match=r"c_seg\.nrrd: is there already; give another --output_dir"):
        infer(cines, tmp_path / "out", model=str(tmp_path / "model.pt"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c_seg.nrrd"]


def test_each_cine_comes_once_however_many_workers_there_are():
    loader = DataLoader(CineDataset(list("abcde"), lambda item: item["image"]), batch_size=None, num_workers=2)
    assert sorted(loader) == list("abcde")


def test_a_damaged_cine_costs_the_others_nothing_and_is_told(cines, tmp_path, caplog):
    save_weights(CENet3D2D(in_channels=1, out_channels=1, num_neighbors=0), tmp_path / "model.pt")
    (cines / "b.nrrd").write_bytes((cines / "b.nrrd").read_bytes()[:-9])
    with pytest.raises(AngioSegError, match=r"1 of 3 cines could not be read and were left out: .*b\.nrrd"):
        infer(cines, tmp_path / "out", model=str(tmp_path / "model.pt"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_seg.nrrd", "c_seg.nrrd"]
    assert next(record.message for record in caplog.records if "b.nrrd" in record.message).startswith("left out: ")
    with pytest.raises(AngioSegError, match=r"^[^:]*b\.nrrd"):
        infer(cines, tmp_path / "other", model=str(tmp_path / "model.pt"), cine=str(cines / "b.nrrd"))
