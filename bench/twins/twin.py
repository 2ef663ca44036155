"""The reference workloads in PyTorch, to be timed beside ours.

Run as `python3 twin.py <workload> --threads 2`. Reads one line per request, `<steps>`, from stdin; trains that many steps and answers with one line
of JSON: the seconds of each step, processor time of all, the loss of the last one, peak memory. A step is: clear gradients, forward, loss, backward, update, loss as a number.
"""
import argparse
import json
import math
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def supervised(net, batch, sample, rate, name):
    """Mean squared error of `net` on what `sample` draws, with Adam."""
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)

    def step():
        inputs, target = sample()
        optimizer.zero_grad(set_to_none=True)
        loss = F.mse_loss(net(*inputs), target)
        loss.backward()
        optimizer.step()
        return loss.item()

    return batch, {name: count(net)}, step


def conv3(inputs, outputs, stride=1, bias=True):
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias)


def convstack(device):
    net = nn.Sequential(*[layer for _ in range(10) for layer in (conv3(64, 64), nn.ReLU())]).to(device)
    source, target = torch.randn(4, 64, 64, 64, device=device), torch.randn(4, 64, 64, 64, device=device).relu()
    return supervised(net, 4, lambda: ((source,), target), 1e-3, 'stack')


class Plus(nn.Module):
    """relu(body(x) + x)"""

    def __init__(self, *body):
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x):
        return F.relu(self.body(x) + x)


class Squash(nn.Module):
    def forward(self, z):
        return 3 * torch.tanh(z / 3)


def taesd(device):
    def residuals(n):
        return [Plus(conv3(64, 64), nn.ReLU(), conv3(64, 64), nn.ReLU(), conv3(64, 64)) for _ in range(n)]

    layers = [conv3(3, 64), *residuals(1)]
    for _ in range(3):
        layers += [conv3(64, 64, 2, False), *residuals(3)]
    layers += [conv3(64, 4), Squash(), conv3(4, 64), nn.ReLU()]
    for _ in range(3):
        layers += [*residuals(3), nn.UpsamplingNearest2d(scale_factor=2), conv3(64, 64, 1, False)]
    net = nn.Sequential(*layers, *residuals(1), conv3(64, 3)).to(device)
    images = torch.rand(8, 3, 64, 64, device=device)
    return supervised(net, 8, lambda: ((images,), images), 3e-4, 'autoencoder')


class Residual(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, inputs), nn.SiLU(), conv3(inputs, outputs))
        self.second = nn.Sequential(nn.GroupNorm(8, outputs), nn.SiLU(), conv3(outputs, outputs))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        return self.second(self.first(x)) + self.skip(x)


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.q, self.k, self.v, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x):
        y = self.norm(x).flatten(2).mT
        scores = torch.softmax(self.q(y) @ self.k(y).mT / math.sqrt(x.shape[1]), -1)
        return x + self.out(scores @ self.v(y)).mT.reshape(x.shape)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.down0, self.shrink0 = conv3(3, 32), Residual(32, 32), conv3(32, 32, 2)
        self.down1, self.shrink1 = Residual(32, 64), conv3(64, 64, 2)
        self.down2 = nn.Sequential(Residual(64, 128), Attention(128))
        self.middle = nn.Sequential(Residual(128, 128), Attention(128), Residual(128, 128))
        grow = nn.UpsamplingNearest2d(scale_factor=2)
        self.up2 = nn.Sequential(Residual(256, 128), Attention(128), grow, conv3(128, 128))
        self.up1 = nn.Sequential(Residual(192, 64), grow, conv3(64, 64))
        self.up0 = nn.Sequential(Residual(96, 32), nn.GroupNorm(8, 32), nn.SiLU(), conv3(32, 3), nn.Tanh())

    def forward(self, x):
        h0 = self.down0(self.head(x))
        h1 = self.down1(self.shrink0(h0))
        h2 = self.down2(self.shrink1(h1))
        h = self.up2(torch.cat([self.middle(h2), h2], 1))
        return self.up0(torch.cat([self.up1(torch.cat([h, h1], 1)), h0], 1))


def pix2pix(device):
    generator = UNet().to(device)
    critic = nn.Sequential(
        nn.Conv2d(6, 64, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1), nn.GroupNorm(8, 128), nn.LeakyReLU(0.2),
        nn.Conv2d(128, 256, 4, 1, 1), nn.GroupNorm(8, 256), nn.LeakyReLU(0.2),
        nn.Conv2d(256, 1, 4, 1, 1)).to(device)
    of_generator, of_critic = (torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (generator, critic))
    source, target = (torch.rand(8, 3, 64, 64, device=device) * 2 - 1 for _ in range(2))

    def judge(image):
        return critic(torch.cat([source, image], 1))

    def entropy(logits, label):
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

    def step():
        fake = generator(source)
        critic.requires_grad_(True)
        of_critic.zero_grad(set_to_none=True)
        of_critics_loss = 0.5 * (entropy(judge(target), 1.0) + entropy(judge(fake.detach()), 0.0))
        of_critics_loss.backward()
        of_critic.step()
        critic.requires_grad_(False)
        of_generator.zero_grad(set_to_none=True)
        loss = entropy(judge(fake), 1.0) + 100 * F.l1_loss(fake, target)
        loss.backward()
        of_generator.step()
        of_critics_loss.item()
        return loss.item()

    return 8, {'generator': count(generator), 'critic': count(critic)}, step


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.modulate = nn.Linear(width, 6 * width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for parameter in self.modulate.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x, condition):
        b, n, width = x.shape
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulate(F.silu(condition)).unsqueeze(1).chunk(6, 2)
        h = F.layer_norm(x, (width,), eps=1e-6) * (1 + scale1) + shift1
        q, k, v = self.qkv(h).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = torch.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1)
        x = x + gate1 * self.project((scores @ v).transpose(1, 2).reshape(b, n, width))
        h = F.layer_norm(x, (width,), eps=1e-6) * (1 + scale2) + shift2
        return x + gate2 * self.narrow(F.gelu(self.widen(h), approximate='tanh'))


class DiT(nn.Module):
    def __init__(self, width=192, depth=6, heads=3, channels=4, size=32, patch=2):
        super().__init__()
        self.grid, self.patch, self.channels = size // patch, patch, channels
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, self.grid ** 2, width))
        self.time = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.modulate, self.out = nn.Linear(width, 2 * width), nn.Linear(width, patch * patch * channels)
        for parameter in self.modulate.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x, t):
        frequencies = 1000 * torch.exp(-math.log(10_000) / 128 * torch.arange(128, device=x.device))
        angles = t[:, None] * frequencies
        condition = self.time(torch.cat([torch.cos(angles), torch.sin(angles)], 1))
        h = self.embed(x).flatten(2).mT + self.positions
        for block in self.blocks:
            h = block(h, condition)
        shift, scale = self.modulate(F.silu(condition)).unsqueeze(1).chunk(2, 2)
        h = self.out(F.layer_norm(h, h.shape[-1:], eps=1e-6) * (1 + scale) + shift)
        h = h.view(len(x), self.grid, self.grid, self.patch, self.patch, self.channels)
        return torch.einsum('bhwpqc->bchpwq', h).reshape(x.shape)


def dit(device):
    net = DiT().to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.0)
    data = torch.randn(8, 4, 32, 32, device=device)

    def step():
        noise, t = torch.randn_like(data), torch.rand(8, device=device)
        share = t.view(-1, 1, 1, 1)
        optimizer.zero_grad(set_to_none=True)
        loss = F.mse_loss(net((1 - share) * noise + share * data, t), data - noise)
        loss.backward()
        optimizer.step()
        return loss.item()

    return 8, {'dit': count(net)}, step


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('workload', choices=['convstack', 'taesd', 'pix2pix', 'dit'])
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--device', default='cpu')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    batch, parameters, step = globals()[options.workload](options.device)
    print(json.dumps({'batch': batch, 'parameters': parameters, 'version': torch.__version__}), flush=True)
    for request in sys.stdin:
        seconds, loss, busy = [], math.nan, time.process_time()
        for _ in range(int(request)):
            start = time.perf_counter()
            loss = step()
            seconds.append(time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({'seconds': seconds, 'cpuSeconds': time.process_time() - busy, 'loss': loss, 'peakBytes': peak}), flush=True)
