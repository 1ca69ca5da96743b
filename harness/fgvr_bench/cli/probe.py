"""``fgvr-bench probe``: what a model sees, what it knows, and whether the two are aligned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fgvr_bench.cli.output import note, progress, warn_of_plugins
from fgvr_bench.cli.run import BatchSize, model_args
from fgvr_bench.core.host import host

LAYERS = ("encoder", "connector", "language")


def _layers(ctx: click.Context, param: click.Parameter, given: str) -> tuple[str, ...]:
    named = [name.strip() for name in given.split(",") if name.strip()]
    for name in named:
        if name not in LAYERS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(LAYERS)}", ctx, param)
    if not named:
        raise click.BadParameter(f"name some of {', '.join(LAYERS)}", ctx, param)
    return tuple(layer for layer in LAYERS if layer in named)


@click.command(short_help="Say what a model's layers hold of a dataset's classes.")
@click.option("--model", "-m", required=True, help="An image-text-to-text model's name.")
@click.option("--dataset", "-d", required=True, help="A dataset's name.")
@click.option(
    "--layers",
    default=",".join(LAYERS),
    show_default=True,
    callback=_layers,
    help="Where to look, separated by commas.",
)
@click.option("--split", default="test", show_default=True, help="Measure on; fitted is on train.")
@click.option("--limit", type=click.IntRange(min=1), help="Take N pictures of each split, classes in proportion.")
@click.option(
    "--field-guide",
    metavar="FILE",
    help="Descriptions of the classes (CSV or JSONL).  [default: the dataset's own, if any]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides the order of pictures.")
@click.option("--checkpoint", help="A local folder, or a hub name, in place of the model's own.")
@click.option("--revision", help="Commit of the checkpoint.")
@click.option("--device", default="auto", show_default=True, help="cpu, mps, cuda, cuda:1 ...")
@click.option("--dtype", default="auto", show_default=True, help="float64, float32, bfloat16 or float16.")
@click.option(
    "--model-arg",
    "args",
    multiple=True,
    callback=model_args,
    metavar="KEY=VALUE",
    help="A setting of the model's own; several times.",
)
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the checkpoint (needs --revision).")
@click.option("--batch-size", type=BatchSize(), default="auto", show_default=True, help="Pictures read at once.")
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that read ahead.")
@click.option(
    "--data-root",
    "data_roots",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder to look for datasets in; several times.  [default: FGVR_DATA]",
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for figures and plots.  [default: probes/DATASET/MODEL/ID]",
)
def probe(
    model: str,
    dataset: str,
    layers: tuple[str, ...],
    split: str,
    limit: int | None,
    field_guide: str | None,
    seed: int,
    batch_size: int | None,
    workers: int,
    data_roots: tuple[Path, ...],
    out: Path | None,
    **settings: Any,
) -> None:
    """Say what a model's layers hold of a dataset's classes, what it knows of their names, and how the two lie.

    Linear probe, nearest neighbours and retrieval tell what pictures' features hold at the encoder, the connector
    and the language model. Descriptions retrieve names where the model knows them; pictures lie beside their names
    where both are aligned. Features are read off the model once and kept.

    \b
    fgvr-bench probe --model moth-idefics2 --dataset moth-24
    fgvr-bench probe --model idefics2 --dataset bird-200 --layers encoder,connector --limit 2000
    """
    from fgvr_bench.core.assembly import ready_dataset
    from fgvr_bench.core.names import slug
    from fgvr_bench.core.settings import RunSettings
    from fgvr_bench.interfaces import ModelSettings
    from fgvr_bench.probing.plots import write_plots
    from fgvr_bench.probing.study import ProbeSettings, check_libraries, ready_to_probe, study
    from fgvr_bench.probing.tables import to_text, write_study

    warn_of_plugins(host())
    check_libraries()
    ready = ready_to_probe(host(), model, ModelSettings(**settings))
    data = ready_dataset(host(), dataset, RunSettings(data_roots=data_roots))
    asked = ProbeSettings(layers, split, limit, seed, batch_size, workers, field_guide)
    found = study(ready, data, asked, progress, note)
    folder = out or Path("probes") / slug(data.name) / slug(ready.name) / found.key
    click.echo(to_text(found))
    write_study(found, folder / "probe.json")
    files = write_plots(found, folder)
    note(f"{folder / 'probe.json'}, and plots: {', '.join(path.name for path in files)}")
