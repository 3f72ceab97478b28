"""The network: shapes, the published form, exports, and weights from elsewhere."""

import pytest
import torch
from angioseg.errors import AngioSegError
from angioseg.nets import CENet3D2D, from_published, load_weights, save_weights, weights_arguments
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet34

INSTANCE = ("instance", {"affine": True})

SHAPES = [
    # (num_neighbors, norm, in_channels, out_channels, input size, output size)
    (0, INSTANCE, 1, 1, (192, 192)),
    (0, "batch", 3, 1, (192, 224)),
    (0, INSTANCE, 3, 2, (200, 100)),
    (1, INSTANCE, 1, 1, (224, 192)),
    (1, "batch", 3, 1, (40, 40)),
    (1, ("group", {"num_groups": 1}), 1, 1, (193, 255)),
    (2, INSTANCE, 3, 1, (97, 300)),
    (2, "batch", 1, 3, (1, 1)),
    (3, INSTANCE, 1, 1, (192, 192)),
]


@pytest.mark.parametrize(("neighbors", "norm", "channels", "classes", "size"), SHAPES)
def test_output_has_the_input_size(neighbors, norm, channels, classes, size):
    network = CENet3D2D(channels, classes, neighbors, norm).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, channels, 2 * neighbors + 1, *size))
    assert logits.shape == (2, classes, *size)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


def test_published_form_has_the_published_number_of_parameters():
    network = CENet3D2D(in_channels=3, out_channels=1, num_neighbors=0, norm="batch")
    assert sum(p.numel() for p in network.parameters()) == 29_003_093


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_the_norm_reaches_every_layer(norm):
    kinds = {type(m) for m in CENet3D2D(norm=norm).modules() if "Norm" in type(m).__name__}
    assert kinds == {nn.InstanceNorm2d if norm == "instance" else nn.BatchNorm2d}


def test_the_activation_reaches_every_layer():
    kinds = [type(m) for m in CENet3D2D(act="elu").modules()]
    assert nn.ReLU not in kinds and nn.ELU in kinds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"out_channels": -1}, "out_channels must be at least 1, got -1"),
        ({"num_neighbors": -2}, "num_neighbors must not be negative, got -2"),
    ],
)
def test_ill_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CENet3D2D(**arguments)


@pytest.mark.parametrize("shape", [(1, 1, 3, 192), (1, 3, 3, 192, 192), (1, 1, 5, 192, 192)])
def test_ill_input(shape):
    with pytest.raises(ValueError, match=r"expected an input of shape \(B, 1, 3, H, W\)"):
        CENet3D2D(1, 1, 1)(torch.zeros(shape))


class TextbookCENet(nn.Module):
    """CE-Net as its paper draws it, layer by layer and under the names of its published weights."""

    def __init__(self):
        super().__init__()
        resnet = resnet34()
        self.firstconv, self.firstbn = resnet.conv1, resnet.bn1
        self.encoder1, self.encoder2 = resnet.layer1, resnet.layer2
        self.encoder3, self.encoder4 = resnet.layer3, resnet.layer4
        self.dblock = nn.Module()
        self.dblock.dilate1 = nn.Conv2d(512, 512, 3, dilation=1, padding=1)
        self.dblock.dilate2 = nn.Conv2d(512, 512, 3, dilation=3, padding=3)
        self.dblock.dilate3 = nn.Conv2d(512, 512, 3, dilation=5, padding=5)
        self.dblock.conv1x1 = nn.Conv2d(512, 512, 1)
        self.spp = nn.Module()
        self.spp.conv = nn.Conv2d(512, 1, 1)
        for i, (inside, outside) in {4: (516, 256), 3: (256, 128), 2: (128, 64), 1: (64, 64)}.items():
            block = nn.Module()
            block.conv1, block.norm1 = nn.Conv2d(inside, inside // 4, 1), nn.BatchNorm2d(inside // 4)
            block.deconv2 = nn.ConvTranspose2d(inside // 4, inside // 4, 3, stride=2, padding=1, output_padding=1)
            block.norm2 = nn.BatchNorm2d(inside // 4)
            block.conv3, block.norm3 = nn.Conv2d(inside // 4, outside, 1), nn.BatchNorm2d(outside)
            setattr(self, f"decoder{i}", block)
        self.finaldeconv1 = nn.ConvTranspose2d(64, 32, 4, 2, 1)
        self.finalconv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.finalconv3 = nn.Conv2d(32, 1, 3, padding=1)

    @staticmethod
    def decode(block, x):
        x = F.relu(block.norm1(block.conv1(x)))
        x = F.relu(block.norm2(block.deconv2(x)))
        return F.relu(block.norm3(block.conv3(x)))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.firstbn(self.firstconv(x))), 3, 2, 1)
        e1 = self.encoder1(x)
        e2 = self.encoder2(e1)
        e3 = self.encoder3(e2)
        x = self.encoder4(e3)

        d1, d3, d5, c = self.dblock.dilate1, self.dblock.dilate2, self.dblock.dilate3, self.dblock.conv1x1
        x = x + F.relu(d1(x)) + F.relu(c(d3(x))) + F.relu(c(d3(d1(x)))) + F.relu(c(d5(d3(d1(x)))))

        pooled = [self.spp.conv(F.max_pool2d(x, k, k)) for k in (2, 3, 5, 6)]
        pooled = [F.interpolate(p, size=x.shape[2:], mode="bilinear", align_corners=False) for p in pooled]
        x = torch.cat([*pooled, x], 1)

        x = self.decode(self.decoder4, x) + e3
        x = self.decode(self.decoder3, x) + e2
        x = self.decode(self.decoder2, x) + e1
        x = self.decode(self.decoder1, x)
        return self.finalconv3(F.relu(self.finalconv2(F.relu(self.finaldeconv1(x)))))


@pytest.fixture(scope="module")
def textbook():
    torch.manual_seed(1)
    network = TextbookCENet()
    for module in network.modules():  # statistics as after training: not the identity
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("wrapped", [False, True])
def test_published_weights_give_the_textbook_output(textbook, tmp_path, wrapped):
    state = {("module." if wrapped else "") + k: v for k, v in textbook.state_dict().items()}
    torch.save(state, tmp_path / "cenet.pt")
    network = load_weights(CENet3D2D(3, 1, 0, norm="batch"), tmp_path / "cenet.pt")
    x = torch.randn(2, 3, 224, 256)
    with torch.inference_mode():
        expected = textbook(x)
        assert expected.std() > 1e-3
        torch.testing.assert_close(network(x[:, :, None]), expected, atol=1e-5, rtol=1e-5)


def test_a_grey_network_from_colour_weights_is_the_colour_network_on_equal_channels(textbook, tmp_path):
    torch.save(textbook.state_dict(), tmp_path / "cenet.pt")
    grey = load_weights(CENet3D2D(1, 1, 0, norm="batch"), tmp_path / "cenet.pt")
    x = torch.randn(1, 1, 192, 192)
    with torch.inference_mode():
        torch.testing.assert_close(grey(x[:, :, None]), textbook(x.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)


def test_own_names_pass_the_renaming_unchanged():
    state = CENet3D2D(1, 1, 1).state_dict()
    assert from_published(state) == state


@pytest.mark.parametrize("neighbors", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_torchscript_gives_the_same_output(neighbors, channels, tmp_path):
    network = CENet3D2D(channels, 1, neighbors).eval()
    torch.jit.script(network).save(tmp_path / "network.ts")
    scripted = torch.jit.load(tmp_path / "network.ts")
    with torch.inference_mode():
        for size in ((192, 192), (210, 233)):
            x = torch.randn(1, channels, 2 * neighbors + 1, *size)
            torch.testing.assert_close(scripted(x), network(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("neighbors", "size"), [(0, (192, 192)), (2, (200, 231))])
def test_onnx_gives_the_same_output(neighbors, size, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason='pip install "angioseg[onnx]"')
    network = CENet3D2D(1, 1, neighbors).eval()
    x = torch.randn(1, 1, 2 * neighbors + 1, *size)
    path = str(tmp_path / "network.onnx")
    torch.onnx.export(network, (x,), path, input_names=["image"], output_names=["pred"])
    (logits,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"image": x.numpy()})
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(logits), network(x), atol=1e-5, rtol=1e-4)


def imagenet_file(path, **changes):
    state = resnet34().state_dict()
    state.update(changes)
    torch.save(state, path)
    return state


@pytest.mark.parametrize(("neighbors", "channels", "norm"), [(0, 3, "batch"), (0, 1, INSTANCE), (1, 1, INSTANCE)])
def test_imagenet_weights_load_from_a_file(neighbors, channels, norm, tmp_path):
    state = imagenet_file(tmp_path / "resnet34.pth")
    encoder = CENet3D2D(channels, 1, neighbors, norm, pretrained=tmp_path / "resnet34.pth").encoder.state_dict()
    summed = neighbors == 0 and channels == 1
    expected = state["conv1.weight"].sum(1, keepdim=True) if summed else state["conv1.weight"]
    torch.testing.assert_close(encoder.pop("conv1.weight"), expected)
    for key, value in encoder.items():
        torch.testing.assert_close(value, state[key])


def test_the_fusion_starts_as_the_centre_frame():
    network = CENet3D2D(1, 1, 2)
    fusion = network.fusion
    with torch.no_grad():
        fusion.conv2d.weight[:, 2:] = 0  # without the maps that are left to learn time
    x = torch.randn(1, 1, 5, 32, 32)
    torch.testing.assert_close(fusion(x), x[:, :, 2].expand(-1, 3, -1, -1))


def text_file(path):
    path.write_text("not weights")


def other_network(path):
    torch.save(nn.Linear(2, 2).state_dict(), path)


def other_neighbors(path):
    save_weights(CENet3D2D(1, 1, 2), path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such weights file"),
        (text_file, "not a PyTorch state dict"),
        (other_network, "weights of another network, which do not fit"),
        (other_neighbors, r"weights of CENet3D2D\(.*num_neighbors=2.*do not fit"),
    ],
    ids=["missing", "text", "another network", "another N"],
)
def test_wrong_weights_are_told_in_one_line(make, message, tmp_path):
    make(tmp_path / "model.pt")
    with pytest.raises(AngioSegError, match=message) as error:
        load_weights(CENet3D2D(1, 1, 1), tmp_path / "model.pt")
    assert "\n" not in str(error.value)


def test_a_wrong_imagenet_file_is_told(tmp_path):
    other_network(tmp_path / "resnet.pth")
    with pytest.raises(AngioSegError, match="not the weights of a ResNet-34"):
        CENet3D2D(pretrained=tmp_path / "resnet.pth")


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nothing listens
    with pytest.raises(AngioSegError, match=r"cannot be downloaded .*resnet34.*\.pth elsewhere and give the file"):
        CENet3D2D(pretrained=True)


@pytest.mark.parametrize(("neighbors", "norm"), [(0, "batch"), (1, INSTANCE)])
def test_saved_weights_are_half_precision_and_load_again(neighbors, norm, tmp_path):
    network = CENet3D2D(1, 1, neighbors, norm)
    save_weights(network, tmp_path / "new folder" / "model.pt")
    assert (tmp_path / "new folder" / "model.pt").stat().st_size < 60e6
    assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["model.pt"]
    arguments = weights_arguments(network.state_dict())
    assert arguments == {"in_channels": 1, "out_channels": 1, "num_neighbors": neighbors, "norm": norm}
    again = load_weights(CENet3D2D(**arguments), tmp_path / "new folder" / "model.pt")
    for key, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value.half().to(value.dtype))
