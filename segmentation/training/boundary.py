"""Trains the network of docs/boundaries.md with PyTorch: boundary.py OUTPUT.safetensors

The same network, phantoms, loss and optimiser as `primordia train boundary`, many times as fast on a processor with
bfloat16 matrices or on a GPU; not the same to the last bit. Run it from the repository's root: `cargo` makes the
phantoms as it goes. Beside the weights it writes the losses, OUTPUT.safetensors.csv, for boundary_curve.py.

Needs Python 3.10 and `pip install torch safetensors numpy`.
"""

import argparse
import json
import math
import queue
import subprocess
import threading

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

CHANNELS = 16, 48, 128
VALIDATION_STEPS = 16


def layers():
    """Names, channels in and out and sides of kernels, as in segmentation/src/network/unet.rs."""
    a, b, c = CHANNELS
    return {
        "down0": (3, a, 3), "down1a": (a, b, 3), "down1b": (b, b, 3),
        "down2a": (b, c, 3), "down2b": (c, c, 3), "down2c": (c, c, 3), "narrow2": (c, b, 1),
        "up1a": (2 * b, b, 3), "up1b": (b, b, 3), "narrow1": (b, a, 1), "up0": (2 * a, a, 3), "answer": (a, 1, 1),
    }  # fmt: skip


class UNet(torch.nn.Module):
    """Logits of boundaries, [n, 1, z, y, x], for what the network sees, [n, 3, z, y, x]."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleDict()
        for name, (inputs, outputs, side) in layers().items():
            layer = torch.nn.Conv3d(inputs, outputs, side, padding=side // 2)
            torch.nn.init.normal_(layer.weight, std=math.sqrt(2 / (inputs * side**3)))
            torch.nn.init.zeros_(layer.bias)
            self.layers[name] = layer

    def forward(self, image, factors):
        def apply(name, values):
            return F.leaky_relu(self.layers[name](values), 0.1)

        def enlarged(coarse, like, factors):
            z, y, x = like.shape[2:]
            return F.interpolate(coarse, scale_factor=tuple(map(float, factors)))[:, :, :z, :y, :x]

        level0 = apply("down0", image)
        level1 = apply("down1a", F.max_pool3d(level0, factors[0], ceil_mode=True))
        level1 = apply("down1b", level1)
        level2 = apply("down2a", F.max_pool3d(level1, factors[1], ceil_mode=True))
        level2 = apply("down2c", apply("down2b", level2))
        up = enlarged(apply("narrow2", level2), level1, factors[1])
        level1 = apply("up1b", apply("up1a", torch.cat([up, level1], 1)))
        up = enlarged(apply("narrow1", level1), level0, factors[0])
        return self.layers["answer"](apply("up0", torch.cat([up, level0], 1)))

    def read(self, path):
        """Takes the weights that `write` or Primordia wrote and returns their recipe."""
        with safe_open(path, "pt") as file:
            for name, layer in self.layers.items():
                layer.weight.data.copy_(file.get_tensor(f"{name}.kernel"))
                layer.bias.data.copy_(file.get_tensor(f"{name}.bias"))
            return json.loads(file.metadata()["primordia"])

    def write(self, path, recipe):
        """Writes weights as Primordia reads them."""
        parts = {"kernel": "weight", "bias": "bias"}
        tensors = {
            f"{name}.{part}": getattr(layer, of).detach().float().cpu().contiguous().clone()
            for name, layer in self.layers.items()
            for part, of in parts.items()
        }
        save_file(tensors, path, {"primordia": json.dumps(recipe)})


def steps_of(recipe):
    """The crops of each step: dictionaries from how levels merge voxels to what is seen and what is to be answered."""
    command = "cargo run --quiet --release --package primordia-segmentation --example crops --".split()
    crops = subprocess.Popen([*command, json.dumps(recipe)], stdout=subprocess.PIPE)
    (z, y, x), waiting = recipe["crop"], queue.Queue(maxsize=32)
    n_bytes = 24 + 16 * z * y * x

    def read():
        for _ in range(recipe["steps"]):
            kinds = {}
            for _ in range(recipe["crops"]):
                record = crops.stdout.read(n_bytes)
                if len(record) < n_bytes:
                    waiting.put(None)
                    return
                factors = tuple(map(tuple, np.frombuffer(record[:24], "<u4").reshape(2, 3).tolist()))
                values = np.frombuffer(record[24:], "<f4")
                image = values[: 3 * z * y * x].reshape(z, 3, y, x).transpose(1, 0, 2, 3)
                kinds.setdefault(factors, []).append((image, values[3 * z * y * x :].reshape(1, z, y, x)))
            waiting.put({kind: [torch.tensor(np.stack(part)) for part in zip(*found)] for kind, found in kinds.items()})

    threading.Thread(target=read, daemon=True).start()
    for _ in range(recipe["steps"]):
        step = waiting.get()
        if step is None:
            raise SystemExit("no more crops came: see above")
        yield step


def multiplies_bfloat16(device):
    """Processors that do not are a hundred times as slow with it as with float32."""
    return device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def loss_of(network, step, device):
    """The mean cross-entropy over all voxels less that of a perfect answer; and the overlap's two sums."""
    loss, n_voxels, both, each = 0.0, 0, 0.0, 0.0
    for factors, (image, target) in step.items():
        image = image.to(device, memory_format=torch.channels_last_3d)
        target = target.to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=multiplies_bfloat16(device)):
            logits = network(image, factors)
        logits = logits.float()
        entropy = F.binary_cross_entropy(target, target, reduction="sum")
        loss = loss + F.binary_cross_entropy_with_logits(logits, target, reduction="sum") - entropy
        answer = torch.sigmoid(logits.detach())
        both += 2 * float((answer * target).sum())
        each += float((answer**2 + target**2).sum())
        n_voxels += target.numel()
    return loss / n_voxels, both, each


def learning_rate(recipe, step):
    """As `Recipe::learning_rate_at`."""
    rise = min(1, (step + 1) / max(1, min(100, 0.1 * recipe["steps"])))
    fall = 0.5 + 0.5 * math.cos(math.pi * step / recipe["steps"])
    return recipe["learning_rate"] * rise * (0.02 + 0.98 * fall)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("--start", metavar="WEIGHTS", help="weights to begin with; default: random ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=15000)
    parser.add_argument("--crops", type=int, default=4)
    parser.add_argument("--crop", type=int, nargs=3, default=[20, 56, 56], metavar=("Z", "Y", "X"))
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--every", type=int, default=100)
    arguments = parser.parse_args()
    recipe = {name: getattr(arguments, name) for name in ["seed", "steps", "crops", "crop", "learning_rate"]}

    torch.manual_seed(recipe["seed"])
    torch.set_flush_denormal(True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = UNet()
    if arguments.start:
        recipe["start"] = network.read(arguments.start)
    network.to(device, memory_format=torch.channels_last_3d)
    optimiser = torch.optim.Adam(network.parameters())
    unseen = list(steps_of({**recipe, "seed": recipe["seed"] + 1, "steps": VALIDATION_STEPS}))
    losses = []
    with open(f"{arguments.output}.csv", "w") as table:
        table.write("step,loss,validation_loss,validation_dice\n")
        for number, step in enumerate(steps_of(recipe), 1):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(recipe, number - 1)
            loss, _, _ = loss_of(network, step, device)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            losses.append(loss.item())
            if number % arguments.every == 0 or number == recipe["steps"]:
                with torch.no_grad():
                    found = [loss_of(network, step, device) for step in unseen]
                validation = float(sum(loss for loss, _, _ in found)) / len(found)
                dice = sum(both for _, both, _ in found) / sum(each for _, _, each in found)
                mean = sum(losses) / len(losses)
                losses.clear()
                print(f"step {number}: loss {mean:.4f}, on other phantoms {validation:.4f}, overlap {dice:.3f}", flush=True)
                table.write(f"{number},{mean},{validation},{dice}\n")
                table.flush()
                network.write(arguments.output, recipe)


main()
