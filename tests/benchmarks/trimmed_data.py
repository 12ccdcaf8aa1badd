"""A small copy of the data folder, for machines that files have to be carried to.

    python -m tests.benchmarks.trimmed_data OUT --data-dir DATA

MNIST and Fashion-MNIST: the first 20,000 training and 2,500 test images, as packed idx files;
CIFAR-10: 15,000 training and 1,500 test images, as lossless WebP in parquet files; of texts some
rows, tiny Shakespeare whole; both tokenizers. In all 48 MB. The layout is that of the data folder,
so OPTUNA_EVO_DATA may name OUT.
"""

import gzip
import io
from pathlib import Path
import shutil

import click
import pyarrow
from pyarrow import parquet


IDX_ROWS = {"train": 20_000, "t10k": 2_500}
CIFAR_ROWS = {"train": 15_000, "test": 1_500}
TEXT_ROWS = {
    "imdb/train": 2_500,
    "ag_news/train": 4_000,
    "glue/sst2/train": 5_000,
    "glue/cola/train": 8_551,
    "glue/mrpc/train": 3_668,
    "glue/mrpc/validation": 408,
    "glue/rte/train": 2_490,
    "squad/train": 2_000,
}
TOKENIZERS = ("bert-base-uncased", "gpt2")


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--data-dir", type=click.Path(path_type=Path), envvar="OPTUNA_EVO_DATA")
@click.option("--vision/--no-vision", default=True)
def main(out: Path, data_dir: Path, vision: bool) -> None:
    """Write the small copy."""
    if vision:
        for name in ("MNIST", "FashionMNIST"):
            for part, n_rows in IDX_ROWS.items():
                for what, n_dims in (("images-idx3", 3), ("labels-idx1", 1)):
                    file = f"vision/{name}/raw/{part}-{what}-ubyte.gz"
                    _trim_idx(data_dir / file, out / file, n_rows, n_dims)
        for part, n_rows in CIFAR_ROWS.items():
            file = f"vision/cifar10/{part}.parquet"
            _trim_images(data_dir / file, out / file, n_rows)
    for name, n_rows in TEXT_ROWS.items():
        table = parquet.read_table(data_dir / f"text/{name}.parquet").slice(0, 10**9)
        # files may be sorted by class: every k-th row
        step = max(1, len(table) // n_rows)
        rows = list(range(0, len(table), step))[:n_rows]
        path = out / f"text/{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table.take(rows), path, compression="zstd", compression_level=19)
    for name in TOKENIZERS:
        shutil.copytree(
            data_dir / f"tokenizers/{name}", out / f"tokenizers/{name}", dirs_exist_ok=True
        )
    shakespeare = "text/tinyshakespeare/input.txt"
    (out / shakespeare).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(data_dir / shakespeare, out / shakespeare)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    click.echo(f"Wrote {size / 1e6:.1f} MB to {out}.")


def _trim_idx(source: Path, target: Path, n_rows: int, n_dims: int) -> None:
    content = gzip.decompress(source.read_bytes())
    start = 4 + 4 * n_dims
    sizes = [int.from_bytes(content[4 + 4 * k : 8 + 4 * k]) for k in range(n_dims)]
    row = 1
    for size in sizes[1:]:
        row *= size
    head = content[:4] + n_rows.to_bytes(4) + content[8:start]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(head + content[start : start + n_rows * row], 9, mtime=0))


def _trim_images(source: Path, target: Path, n_rows: int) -> None:
    from PIL import Image

    table = parquet.read_table(source).slice(0, n_rows)
    images = []
    for row in table["img"].to_pylist():
        packed = io.BytesIO()
        image = Image.open(io.BytesIO(row["bytes"])).convert("RGB")
        image.save(packed, "WEBP", lossless=True, quality=60, method=3)
        images.append({"bytes": packed.getvalue(), "path": None})
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    columns = {"img": pyarrow.array(images, kind), "label": table["label"]}
    target.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), target, compression="none")


if __name__ == "__main__":
    main()
