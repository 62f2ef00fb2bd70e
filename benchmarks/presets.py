"""Draw the test pairs of a prepared data set with each preset of a pipeline, from the same noise.

    python benchmarks/presets.py --data DATA --out build/presets
    xmdpt evaluate build/presets/* --reference DATA --train DATA --protocol synthetic

The second command scores them. docs/use/pipeline.md holds what came of it for the bundled weights.
Pictures that are there are kept, so an interrupted run goes on.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from xmdpt.data.annotations import Pair
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import result_name, spread
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import presets_of
from xmdpt.support.files import atomic_path, fingerprint
from xmdpt.support.hub import weights_key
from xmdpt.support.random import keyed_generator
from xmdpt.weights.load import load_pipeline

WAYS: dict[str, dict[str, Any]] = {
    "exact": {"preset": "exact"},
    "fast": {"preset": "fast"},
    "turbo": {"preset": "turbo"},
    "ddim_10": {"preset": "exact", "num_inference_steps": 10},
    "ddim_8": {"preset": "exact", "num_inference_steps": 8},
}
"""Folders of pictures, and how the pipeline draws them."""
BATCH = 50


def check_same(folder: Path, key: str) -> None:
    """End where `folder` has pictures of other weights or pairs; else note whose they are."""
    note = folder.with_name(f".{folder.name}.key")  # hidden, so that `build/presets/*` is folders
    if folder.is_dir() and (not note.is_file() or note.read_text() != key):
        sys.exit(f"{folder}: pictures of other weights or pairs; name another --out, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(key)


def draw(pipe: XMDPTPipeline, data: DeepFashion, pairs: list[Pair], folder: Path, way: str) -> None:
    """Draw the pairs (source, target) that `folder` lacks, as <source>_2_<target>_vis.png."""
    pairs = [pair for pair in pairs if not (folder / result_name(*pair)).exists()]
    for start in tqdm(range(0, len(pairs), BATCH), desc=way, unit="batch"):
        batch = pairs[start : start + BATCH]
        made = pipe(
            source=[data.picture(source) for source, _ in batch],
            pose=[data.skeleton(target) for _, target in batch],
            generator=[keyed_generator(0, "presets", *pair) for pair in batch],
            **WAYS[way],
        )
        for pair, image in zip(batch, made.images, strict=True):
            assert isinstance(image, Image.Image)
            with atomic_path(folder / result_name(*pair)) as partial:
                image.save(partial)


def main() -> None:
    """Draw with each preset that the weights have."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="default: the presets they have")
    parser.add_argument("--out", type=Path, default=Path("build/presets"))
    asked = parser.parse_args()
    pipe = load_pipeline(asked.weights)
    pipe.set_progress_bar_config(disable=True)
    data = DeepFashion(asked.data, pipe.size)
    pairs = spread(data.pairs("test"), asked.pairs)
    networks = [pipe.vae, pipe.transformer, *([] if pipe.turbo is None else [pipe.turbo])]
    key = fingerprint(weights_key(networks), str(pipe.learned), str(asked.data.resolve()), pairs)
    for way in asked.ways or presets_of(pipe.scheduler, pipe.learned):
        check_same(asked.out / way, key)
        draw(pipe, data, pairs, asked.out / way, way)


if __name__ == "__main__":
    main()
