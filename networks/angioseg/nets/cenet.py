"""The 3D-2D CE-Net: 2N+1 neighbouring frames in, the vessels of the centre frame out."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.networks.layers.factories import Conv, Pool
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from torch import nn
from torch.nn import functional as F
from torchvision.models import ResNet34_Weights, resnet34

from ..atomic import replacing
from ..errors import AngioSegError

__all__ = [
    "CENet3D2D",
    "from_published",
    "load_weights",
    "neighbors_of",
    "read_state",
    "save_weights",
    "weights_arguments",
]

_FUSION_CHANNELS = 16
_ENCODER_INPUT = 3


class CENet3D2D(nn.Module):
    """CE-Net with a 3-D convolution over neighbouring frames in front.

    A (2N+1)x3x3 convolution (no padding in time) turns the window of frames into 16 maps, a 2-D convolution turns
    those into the 3 channels that a 2-D CE-Net takes: ResNet-34 encoder, dense atrous convolution (DAC), residual
    multi-kernel pooling (RMP), decoder with added skips. With ``num_neighbors=0`` there is no fusion and the network is
    the plain 2-D CE-Net (29,003,093 parameters for ``in_channels=3``, ``out_channels=1``, ``norm="batch"``).

    The paper does not give the kernel of the second convolution (3x3 here), nor an activation between the two (``act``
    here). The fusion starts as the identity of the centre frame, so that the ImageNet encoder sees a picture from the
    first step on.

    The paper feeds RGB frames (``in_channels=3``), XA frames are grey (``in_channels=1``). For ``num_neighbors=0`` a
    grey network made from a colour one (first convolution summed over its inputs) computes the same as the colour
    network on the grey frame repeated three times; for ``num_neighbors>=1`` the same holds of the 3-D convolution.
    :func:`load_weights` does that sum.

    Args:
        in_channels: channels C of a frame, 1 (grey) or 3 (colour).
        out_channels: classes; 1 for vessel.
        num_neighbors: N, the number of frames taken on each side of the centre frame; 0, 1, 2, ...
        norm: normalisation in encoder and decoder, as in MONAI. The paper uses instance norm, CE-Net batch norm.
        act: activation, as in MONAI.
        pretrained: True for torchvision's ImageNet ResNet-34 in the encoder (downloaded), or the path of a local file
            with such a state dict; False for random weights.

    Raises:
        ValueError: when a channel count is not positive or ``num_neighbors`` is negative.
        AngioSegError: when the file given as ``pretrained`` is not a ResNet-34, or the download fails.

    Sources:
        Gu et al., "CE-Net: Context Encoder Network for 2D Medical Image Segmentation", IEEE TMI 2019,
        https://arxiv.org/abs/1903.02740; 3D-2D form: "3D-2D CE-Net" for coronary angiography video segmentation.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        num_neighbors: int = 1,
        norm: str | tuple = ("instance", {"affine": True}),
        act: str | tuple = ("relu", {"inplace": True}),
        pretrained: bool | str | Path = False,
    ) -> None:
        super().__init__()
        if in_channels < 1:
            raise ValueError(f"in_channels must be at least 1, got {in_channels}.")
        if out_channels < 1:
            raise ValueError(f"out_channels must be at least 1, got {out_channels}.")
        if num_neighbors < 0:
            raise ValueError(f"num_neighbors must not be negative, got {num_neighbors}.")
        self.in_channels = in_channels
        self.num_neighbors = num_neighbors
        self.window = 2 * num_neighbors + 1

        self.fusion = _Fusion(in_channels, num_neighbors, act) if num_neighbors else nn.Flatten(1, 2)
        self.encoder = _Encoder(_ENCODER_INPUT if num_neighbors else in_channels, norm, act)
        self.dac = _DAC(512, act)
        self.rmp = _RMP(512)
        self.decoder4 = _DecoderBlock(512 + 4, 256, norm, act)
        self.decoder3 = _DecoderBlock(256, 128, norm, act)
        self.decoder2 = _DecoderBlock(128, 64, norm, act)
        self.decoder1 = _DecoderBlock(64, 64, norm, act)
        self.head = nn.Sequential(
            Conv["convtrans", 2](64, 32, 4, 2, 1),
            get_act_layer(act),
            Conv["conv", 2](32, 32, 3, padding=1),
            get_act_layer(act),
            Conv["conv", 2](32, out_channels, 3, padding=1),
        )
        if pretrained:
            _load_imagenet(self.encoder, None if pretrained is True else Path(pretrained))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Segment the centre frame of each window.

        Args:
            x: (B, in_channels, 2N+1, H, W) float. Any H and W: sides are padded by repeating the border to a multiple
                of 32 and at least 192, and the output is cropped back.

        Returns:
            Logits (B, out_channels, H, W), float32.

        Raises:
            ValueError: when the shape is not of that form.
        """
        if x.dim() != 5 or x.shape[1] != self.in_channels or x.shape[2] != self.window:
            raise ValueError(
                f"expected an input of shape (B, {self.in_channels}, {self.window}, H, W), got {list(x.shape)}."
            )
        height, width = x.shape[3], x.shape[4]
        pad_h, pad_w = _padding(height), _padding(width)
        if pad_h + pad_w > 0:
            pads = [pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2, 0, 0]
            x = F.pad(x, pads, mode="replicate")

        e1, e2, e3, e4 = self.encoder(self.fusion(x))
        x = self.rmp(self.dac(e4))
        x = self.decoder4(x) + e3
        x = self.decoder3(x) + e2
        x = self.decoder2(x) + e1
        x = self.head(self.decoder1(x))
        if pad_h + pad_w > 0:
            x = x[:, :, pad_h // 2 : pad_h // 2 + height, pad_w // 2 : pad_w // 2 + width]
        return x.float()  # under autocast the loss still sees full precision


def _padding(side: int) -> int:
    # A cell of the bottleneck is 32 pixels, and the residual multi-kernel pooling needs 6 cells a side.
    return max(6, -(-side // 32)) * 32 - side


class _Fusion(nn.Module):
    def __init__(self, in_channels: int, num_neighbors: int, act: str | tuple) -> None:
        super().__init__()
        self.conv3d = Conv["conv", 3](in_channels, _FUSION_CHANNELS, (2 * num_neighbors + 1, 3, 3), padding=(0, 1, 1))
        self.act = get_act_layer(act)
        self.conv2d = Conv["conv", 2](_FUSION_CHANNELS, _ENCODER_INPUT, 3, padding=1)
        if 2 * in_channels <= _FUSION_CHANNELS:
            self._start_as_centre_frame(in_channels, num_neighbors)

    def _start_as_centre_frame(self, in_channels: int, num_neighbors: int) -> None:
        # relu(x) - relu(-x) = x: a channel and its negative survive the activation together. The other maps keep their
        # random start and enter with small weights, so that time can be learned.
        with torch.no_grad():
            self.conv3d.bias.zero_()
            self.conv3d.weight[: 2 * in_channels] = 0
            self.conv2d.bias.zero_()
            self.conv2d.weight *= 0.1
            self.conv2d.weight[:, : 2 * in_channels] = 0
            for channel in range(in_channels):
                self.conv3d.weight[2 * channel, channel, num_neighbors, 1, 1] = 1
                self.conv3d.weight[2 * channel + 1, channel, num_neighbors, 1, 1] = -1
            for out in range(_ENCODER_INPUT):
                channel = out % in_channels
                self.conv2d.weight[out, 2 * channel, 1, 1] = 1
                self.conv2d.weight[out, 2 * channel + 1, 1, 1] = -1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2d(self.act(self.conv3d(x)).squeeze(2))


class _Encoder(nn.Module):
    """torchvision's ResNet-34 up to layer4, under torchvision's names so that its weights load."""

    def __init__(self, in_channels: int, norm: str | tuple, act: str | tuple) -> None:
        super().__init__()
        resnet = resnet34(norm_layer=lambda channels: get_norm_layer(norm, spatial_dims=2, channels=channels))
        self.conv1 = resnet.conv1
        if in_channels != _ENCODER_INPUT:
            self.conv1 = Conv["conv", 2](in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = resnet.bn1
        self.relu = get_act_layer(act)
        self.maxpool = resnet.maxpool
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4
        for block in self.modules():
            if hasattr(block, "conv2"):
                block.relu = get_act_layer(act)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        e1 = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        e2 = self.layer2(e1)
        e3 = self.layer3(e2)
        return e1, e2, e3, self.layer4(e3)


class _DAC(nn.Module):
    """Dense atrous convolution; each product that two branches share is computed once."""

    def __init__(self, channels: int, act: str | tuple) -> None:
        super().__init__()
        self.dilate1 = Conv["conv", 2](channels, channels, 3, padding=1, dilation=1)
        self.dilate3 = Conv["conv", 2](channels, channels, 3, padding=3, dilation=3)
        self.dilate5 = Conv["conv", 2](channels, channels, 3, padding=5, dilation=5)
        self.conv1x1 = Conv["conv", 2](channels, channels, 1)
        for conv in (self.dilate1, self.dilate3, self.dilate5, self.conv1x1):
            nn.init.zeros_(conv.bias)
        self.act = get_act_layer(act)
        if hasattr(self.act, "inplace"):
            self.act.inplace = False  # the branches read each other's values

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        d1 = self.dilate1(x)
        d31 = self.dilate3(d1)
        return (
            x
            + self.act(d1)
            + self.act(self.conv1x1(self.dilate3(x)))
            + self.act(self.conv1x1(d31))
            + self.act(self.conv1x1(self.dilate5(d31)))
        )


class _RMP(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList([Pool["max", 2](kernel, kernel) for kernel in (2, 3, 5, 6)])
        self.conv = Conv["conv", 2](channels, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[2:]
        maps = []
        for pool in self.pools:
            maps.append(F.interpolate(self.conv(pool(x)), size=size, mode="bilinear", align_corners=False))
        maps.append(x)
        return torch.cat(maps, dim=1)


class _DecoderBlock(nn.Sequential):
    def __init__(self, in_channels: int, out_channels: int, norm: str | tuple, act: str | tuple) -> None:
        middle = in_channels // 4
        super().__init__(
            Conv["conv", 2](in_channels, middle, 1),
            get_norm_layer(norm, spatial_dims=2, channels=middle),
            get_act_layer(act),
            Conv["convtrans", 2](middle, middle, 3, 2, 1, output_padding=1),
            get_norm_layer(norm, spatial_dims=2, channels=middle),
            get_act_layer(act),
            Conv["conv", 2](middle, out_channels, 1),
            get_norm_layer(norm, spatial_dims=2, channels=out_channels),
            get_act_layer(act),
        )


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def _load_imagenet(encoder: _Encoder, path: Path | None) -> None:
    if path is None:
        try:
            state = ResNet34_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        except OSError as error:
            raise AngioSegError(
                f"the encoder's ImageNet weights cannot be downloaded ({getattr(error, 'reason', error)}); fetch "
                f"{ResNet34_Weights.IMAGENET1K_V1.url} elsewhere and give the file (--pretrained FILE; in compare "
                "--encoder FILE), or do without (--pretrained False; --encoder none)."
            ) from error
    else:
        state = read_state(path)
    own = encoder.state_dict()
    statistics = {key for key in state if key.endswith(_STATISTICS) and key not in own}  # instance norm keeps none
    state = {key: value for key, value in state.items() if not key.startswith("fc.") and key not in statistics}
    weight = state.get("conv1.weight")
    if weight is not None:
        state["conv1.weight"] = _match_channels(weight, encoder.conv1.weight)
    report = encoder.load_state_dict(state, strict=False)
    wrong = [k for k in (*report.missing_keys, *report.unexpected_keys) if not k.endswith(_STATISTICS)]
    if wrong:
        raise AngioSegError(
            f"{path}: not the weights of a ResNet-34 ({wrong[0]} does not fit); give a torchvision file."
        )


def _match_channels(weight: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A colour convolution as a grey one: on equal channels, summing the kernels is the same function."""
    if weight.shape[1] == _ENCODER_INPUT and target.shape[1] == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a file of weights: a state dict, alone or inside a training checkpoint.

    Raises:
        AngioSegError: when the file is missing or holds no state dict.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise AngioSegError(f"{path}: no such weights file.") from None
    except Exception:
        raise AngioSegError(f"{path}: not a PyTorch state dict; give a file written by torch.save(...).") from None
    for key in ("state_dict", "model"):  # the usual wrappings of a training checkpoint
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise AngioSegError(f"{path}: holds no state dict of tensors; give a file written by torch.save(...).")
    return state


def from_published(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the state dict of the published 2-D CE-Net to the names of :class:`CENet3D2D`.

    Args:
        state: as saved by the published code, with or without the ``module.`` prefix of ``DataParallel``. A state dict
            that already has the names of :class:`CENet3D2D` passes unchanged.

    Returns:
        The same tensors under the names of ``CENet3D2D(in_channels=3, num_neighbors=0, norm="batch")``.
    """
    blocks = {
        "firstconv": "encoder.conv1",
        "firstbn": "encoder.bn1",
        **{f"encoder{i}": f"encoder.layer{i}" for i in (1, 2, 3, 4)},
        "dblock.dilate1": "dac.dilate1",
        "dblock.dilate2": "dac.dilate3",
        "dblock.dilate3": "dac.dilate5",
        "dblock.conv1x1": "dac.conv1x1",
        "spp.conv": "rmp.conv",
        "finaldeconv1": "head.0",
        "finalconv2": "head.2",
        "finalconv3": "head.4",
    }
    layers = {"conv1": 0, "norm1": 1, "deconv2": 3, "norm2": 4, "conv3": 6, "norm3": 7}
    for i in (1, 2, 3, 4):
        blocks.update({f"decoder{i}.{name}": f"decoder{i}.{index}" for name, index in layers.items()})

    renamed = {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        block = next((b for b in blocks if key.startswith(b + ".")), None)
        renamed[blocks[block] + key[len(block) :] if block else key] = value
    return renamed


def weights_arguments(state: dict[str, torch.Tensor]) -> dict[str, object]:
    """The arguments of :class:`CENet3D2D` that a state dict was made with, read off its shapes.

    Raises:
        KeyError: when a tensor of the network is missing.
    """
    neighbors = 0
    first = "encoder.conv1.weight"
    if "fusion.conv3d.weight" in state:
        first = "fusion.conv3d.weight"
        neighbors = (state[first].shape[2] - 1) // 2
    return {
        "in_channels": state[first].shape[1],
        "out_channels": state["head.4.weight"].shape[0],
        "num_neighbors": neighbors,
        "norm": "batch" if "encoder.bn1.running_mean" in state else ("instance", {"affine": True}),
    }


def neighbors_of(path: str | Path) -> int:
    """N of a file of weights.

    Raises:
        AngioSegError: when the file is missing or its weights are not of :class:`CENet3D2D`.
    """
    try:
        return weights_arguments(from_published(read_state(path)))["num_neighbors"]
    except (KeyError, IndexError):
        raise AngioSegError(
            f"{path}: not weights of AngioSeg's network; give a file that its training wrote."
        ) from None


def load_weights(network: CENet3D2D, path: str | Path) -> CENet3D2D:
    """Load a file of weights strictly: ours (fp16 or fp32), a training checkpoint, or the published CE-Net's.

    Args:
        network: takes the weights; its own dtype and device are kept. Colour weights fit a grey network by summing the
            first convolution over its inputs.
        path: written by ``torch.save``; read with ``weights_only=True``.

    Returns:
        ``network``, in evaluation mode.

    Raises:
        AngioSegError: when the file is missing, is no state dict, or belongs to another network.
    """
    path = Path(path)
    state = from_published(read_state(path))
    own = network.state_dict()
    for key in ("fusion.conv3d.weight", "encoder.conv1.weight"):
        if key in state and key in own:
            state[key] = _match_channels(state[key], own[key])
    wrong = sorted(set(own) ^ set(state)) or [k for k in own if own[k].shape != state[k].shape]
    if wrong:
        try:
            found = "weights of CENet3D2D({})".format(
                ", ".join(f"{k}={v}" for k, v in weights_arguments(state).items())
            )
        except (KeyError, IndexError):
            found = "weights of another network"
        raise AngioSegError(
            f"{path}: {found}, which do not fit here ({wrong[0]}); give weights of CENet3D2D("
            f"in_channels={network.in_channels}, num_neighbors={network.num_neighbors})."
        )
    network.load_state_dict(state)
    return network.eval()


def save_weights(network: CENet3D2D, path: str | Path) -> None:
    """Write a network's weights as fp16, whole or not at all.

    Args:
        network: its state dict is written.
        path: target file; its folder is made when missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    with replacing(path) as temporary:
        torch.save(state, temporary)
