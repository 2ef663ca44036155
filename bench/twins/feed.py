"""The same feed by torchvision's DataLoader: 512-px JPEG pairs -> augmented 256-px batches, float32 in [-1, 1].
Usage: feed.py FOLDER SIZE BATCH WORKERS BATCHES, with FOLDER/source and FOLDER/target. Prints one line of JSON."""
import json, os, random, resource, sys, time
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

folder, size, batch, workers, batches = sys.argv[1], *map(int, sys.argv[2:6])
bicubic = InterpolationMode.BICUBIC


class Pairs(Dataset):
    def __init__(self):
        self.names = sorted(os.listdir(os.path.join(folder, "source")))

    def __len__(self):
        return batch * batches

    def __getitem__(self, i):
        draw = random.Random(i)
        name = self.names[i % len(self.names)]
        angle, scale = draw.uniform(-10, 10), 1 / draw.uniform(0.9, 1)
        shift = [draw.uniform(-0.05, 0.05) * size for _ in range(2)]
        hue, saturation, mirror = draw.uniform(-0.05, 0.05), draw.uniform(0.8, 1.2), draw.random() < 0.5
        images = []
        for side in ("source", "target"):
            image = Image.open(os.path.join(folder, side, name))
            image.draft("RGB", (size, size))  # the decoder's own shrinking, as in the feed that is compared
            image = F.resize(image.convert("RGB"), round(size / 0.9), InterpolationMode.LANCZOS)
            image = F.pad(image, size // 4, padding_mode="reflect")
            image = F.affine(image, angle, shift, scale * 0.9, [0.0], bicubic)
            image = F.center_crop(image, size)
            image = F.hflip(image) if mirror else image
            image = F.adjust_saturation(F.adjust_hue(image, hue), saturation)
            images.append(F.to_tensor(image) * 2 - 1)
        return images


torch.set_num_threads(1)
loader = iter(DataLoader(Pairs(), batch_size=batch, num_workers=workers))
next(loader)
next(loader)
begun = time.perf_counter()
seen = sum(len(source) for source, _ in loader)
seconds = time.perf_counter() - begun
peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(json.dumps({"version": torch.__version__, "pairsPerSecond": seen / seconds, "peakBytes": peak}))
