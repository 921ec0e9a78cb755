"""A small COCO and a small ADE20K made of real photographs, for tests, benchmarks and the demonstration.

The photographs are those that scikit-image's wheel carries (NASA's astronaut, SpaceX's rocket, the cat Chelsea, a cup
of coffee, the Middlebury motorcycle pair); nothing is downloaded and none is committed. Each output image is a random
crop of one of them, mirrored or not, with the outlines noted here carried along. The file layouts are those that the
frameworks' own base configs expect. Needs Pillow, and not ffrfs.

    python tests/support/photos.py coco   TARGET [--train 24] [--val 8] [--size 640x480]
    python tests/support/photos.py ade20k TARGET [--train 24] [--val 8] [--size 640x480]
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance

__all__ = ["CATEGORIES", "build_ade20k", "build_coco"]

Polygon = list[tuple[float, float]]
Size = tuple[int, int]
CATEGORIES = {1: "person", 4: "motorcycle", 5: "airplane", 17: "cat", 47: "cup", 50: "spoon"}  # COCO's numbers
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Thing:
    """An outline in a photograph, in pixels: COCO's category (0: a background), ADE20K's label (1 to 150)."""

    category: int
    label: int
    outline: Polygon


@dataclass(frozen=True)
class Photograph:
    """A file of scikit-image's data folder, ADE20K's label where no outline is, the outlines from back to front."""

    file: str
    background: int
    things: tuple[Thing, ...]


MOTORCYCLE: Polygon = [
    (95, 215), (150, 160), (200, 170), (270, 190), (370, 160), (490, 85), (560, 110), (600, 180), (570, 260),
    (640, 310), (682, 400), (650, 455), (580, 440), (515, 340), (440, 370), (330, 440), (240, 390), (160, 395),
    (120, 330),
]  # fmt: skip
GARAGE_FLOOR: Polygon = [(0, 310), (200, 280), (741, 290), (741, 500), (0, 500)]
PHOTOGRAPHS = (
    Photograph("astronaut.png", 1, (
        Thing(0, 150, [(0, 0), (55, 60), (95, 190), (40, 270), (25, 512), (0, 512)]),
        Thing(1, 13, [(160, 50), (210, 15), (280, 25), (305, 85), (285, 130), (275, 170), (310, 235), (355, 290),
                      (300, 400), (280, 512), (30, 512), (25, 400), (40, 270), (120, 210), (118, 160), (165, 115)]),
        Thing(5, 91, [(365, 210), (395, 60), (410, 0), (455, 0), (460, 180), (470, 285), (370, 270)]),
    )),
    Photograph("chelsea.png", 8, (
        Thing(17, 127, [(35, 0), (400, 0), (375, 120), (340, 230), (280, 300), (0, 300), (0, 180), (50, 130)]),
    )),
    Photograph("coffee.png", 16, (
        Thing(0, 143, [(80, 200), (150, 80), (420, 80), (478, 200), (450, 320), (330, 382), (200, 365), (100, 290)]),
        Thing(47, 148, [(175, 70), (215, 30), (290, 18), (370, 40), (400, 100), (380, 220), (330, 270), (205, 305),
                        (210, 230), (180, 170)]),
        Thing(50, 99, [(330, 270), (365, 240), (405, 70), (425, 75), (395, 240), (402, 290), (370, 325), (330, 310)]),
    )),
    Photograph("rocket.jpg", 3, (
        Thing(0, 14, [(0, 395), (640, 395), (640, 427), (0, 427)]),
        Thing(5, 91, [(310, 145), (320, 128), (332, 145), (337, 407), (306, 407)]),
    )),
    Photograph("motorcycle_left.png", 1, (Thing(0, 4, GARAGE_FLOOR), Thing(4, 117, MOTORCYCLE))),
    Photograph("motorcycle_right.png", 1, (
        Thing(0, 4, GARAGE_FLOOR), Thing(4, 117, [(x - 25, y) for x, y in MOTORCYCLE]),
    )),
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A crop of a photograph: the picture, ADE20K's label of the background, and the outlines in the crop's pixels."""

    picture: Image.Image
    background: int
    things: tuple[Thing, ...]


@cache
def pixels(file: str) -> Image.Image:
    """A photograph of scikit-image's data folder, decoded."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the photographs come with scikit-image, which is not installed: pip install scikit-image")
    with Image.open(Path(spec.submodule_search_locations[0], "data", file)) as image:
        return image.convert("RGB")


def scene(photograph: Photograph, size: Size, rng: random.Random) -> Scene:
    """Cut a random window of 60 to 100 % of the photograph's width and height, scale it to `size`, maybe mirror it."""
    whole = pixels(photograph.file)
    width, height = (rng.uniform(0.6, 1) * side for side in whole.size)
    left, top = rng.uniform(0, whole.width - width), rng.uniform(0, whole.height - height)
    mirrored, light = rng.random() < 0.5, rng.uniform(0.7, 1.3)
    picture = whole.resize(size, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
    if mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    def place(x: float, y: float) -> tuple[float, float]:
        x = min(max((x - left) / width, 0), 1) * size[0]
        return size[0] - x if mirrored else x, min(max((y - top) / height, 0), 1) * size[1]

    things = (Thing(t.category, t.label, [place(x, y) for x, y in t.outline]) for t in photograph.things)
    visible = tuple(thing for thing in things if area(thing.outline) > 100)
    return Scene(ImageEnhance.Brightness(picture).enhance(light), photograph.background, visible)


def area(outline: Polygon) -> float:
    """The area of a polygon in square pixels, by the shoelace formula."""
    following = outline[1:] + outline[:1]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(outline, following, strict=True))) / 2


def scenes(count: int, size: Size, rng: random.Random) -> list[Scene]:
    """`count` scenes that go through the photographs in turn."""
    return [scene(PHOTOGRAPHS[number % len(PHOTOGRAPHS)], size, rng) for number in range(count)]


def build_coco(target: Path, n_train: int = 24, n_val: int = 8, *, seed: int = 0, size: Size = (640, 480)) -> Path:
    """Lay out `target` as COCO 2017: train2017/, val2017/ and annotations/instances_{train,val}2017.json.

    Args: n_train and n_val, numbers of images; size, their width and height in pixels. Returns: target.
    """
    rng = random.Random(seed)
    (target / "annotations").mkdir(parents=True, exist_ok=True)
    first = 1
    for part, count in (("train2017", n_train), ("val2017", n_val)):
        (target / part).mkdir(exist_ok=True)
        images, annotations = [], []
        for number, shot in enumerate(scenes(count, size, rng), first):
            name = f"{number:012d}.jpg"
            shot.picture.save(target / part / name, quality=JPEG_QUALITY)
            images.append({"id": number, "file_name": name, "width": size[0], "height": size[1]})
            for thing in shot.things:
                if thing.category:
                    annotations.append(coco_annotation(thing, number, len(annotations) + 1))
        first += count
        categories = [{"id": key, "name": name, "supercategory": name} for key, name in CATEGORIES.items()]
        instances = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
        (target / "annotations" / f"instances_{part}.json").write_text(json.dumps(instances))
    return target


def coco_annotation(thing: Thing, image: int, number: int) -> dict[str, object]:
    """One entry of COCO's `annotations`."""
    xs, ys = zip(*thing.outline, strict=True)
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    outline = [round(coordinate, 2) for point in thing.outline for coordinate in point]
    return {
        "id": number, "image_id": image, "category_id": thing.category, "iscrowd": 0, "area": area(thing.outline),
        "bbox": [round(side, 2) for side in box], "segmentation": [outline],
    }  # fmt: skip


def build_ade20k(target: Path, n_train: int = 24, n_val: int = 8, *, seed: int = 0, size: Size = (640, 480)) -> Path:
    """Lay out `target` as ADEChallengeData2016: images/ and annotations/, each with training/ and validation/.

    Masks are 8-bit PNG, 0 for none and 1 to 150 for ADE20K's classes. Args and returns as `build_coco`.
    """
    rng = random.Random(seed)
    for part, short, count in (("training", "train", n_train), ("validation", "val", n_val)):
        for kind in ("images", "annotations"):
            (target / kind / part).mkdir(parents=True, exist_ok=True)
        for number, shot in enumerate(scenes(count, size, rng), 1):
            name = f"ADE_{short}_{number:08d}"
            shot.picture.save(target / "images" / part / f"{name}.jpg", quality=JPEG_QUALITY)
            mask = Image.new("L", size, shot.background)
            for thing in shot.things:
                ImageDraw.Draw(mask).polygon(thing.outline, fill=thing.label)
            mask.save(target / "annotations" / part / f"{name}.png")
    return target


def main() -> None:
    """The command line shown at the top of this module."""
    parser = argparse.ArgumentParser(description="Lay out a small COCO or ADE20K of scikit-image's photographs.")
    parser.add_argument("layout", choices=["coco", "ade20k"])
    parser.add_argument("target", type=Path)
    parser.add_argument("--train", type=int, default=24, metavar="N")
    parser.add_argument("--val", type=int, default=8, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", default="640x480", metavar="WIDTHxHEIGHT")
    wanted = parser.parse_args()
    width, height = map(int, wanted.size.split("x"))
    build = {"coco": build_coco, "ade20k": build_ade20k}[wanted.layout]
    build(wanted.target, wanted.train, wanted.val, seed=wanted.seed, size=(width, height))


if __name__ == "__main__":
    main()
