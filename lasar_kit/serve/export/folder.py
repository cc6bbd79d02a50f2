"""Writes a finished run as a folder that other engines read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoModelForCausalLM

from lasar_kit.errors import UserError
from lasar_kit.process.screen import quiet_libraries
from lasar_kit.serve.export.card import Told, write_card
from lasar_kit.serve.export.catalogue import write_catalogue, write_prompt
from lasar_kit.serve.export.plain import compared, cost_of_no_thoughts
from lasar_kit.serve.export.program import write_program
from lasar_kit.serve.live.catalogue import LiveCatalogue
from lasar_kit.serve.recommend import LoadedRun
from lasar_kit.serve.stock import Stock
from lasar_kit.spec.load import LoadedSpec, load_spec
from lasar_kit.store.artifacts import remove
from lasar_kit.store.layout import LOCK

if TYPE_CHECKING:
    from lasar_kit.catalogue import Catalogue

THINKING, SPEC = "thinking", "spec.yaml"
CAUSAL = "AutoModelForCausalLM"


def export(
    run: Path,
    to: Path,
    catalogue: Catalogue,
    users: int = 200,
    program: bool = False,
    as_trained: bool = False,
) -> None:
    """Write the last model of a run as the folder `to`, whole or not at all.

    It is compared with the run's own answers; `users` test users tell what a model loses by not thinking, 0
    for none. `program` adds the model as a program of torch.export. Its catalogue is the one of now, or with
    `as_trained` that of training. `UserError` where there is no such run, the folder holds anything, there
    can be no program, or every item was withdrawn.
    """
    quiet_libraries()
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"--to {to}: is there already; give a folder that is empty or new")
    model = LoadedRun.load(run, catalogue)
    loaded = load_spec(run / LOCK, [], catalogue)
    if program and type(loaded.spec.backbone).loads_as != CAUSAL:
        raise UserError(f"--program: the backbone {loaded.spec.backbone.use!r} is no language model")
    stock = model if as_trained else LiveCatalogue.of(Stock.read(run, catalogue)).model
    if len(stock.withdrawn) == stock.dataset.items.height:
        raise UserError(f"{run}: every item was withdrawn; --as-trained exports the catalogue of training")
    partial = to.with_name(f".{to.name}.partial")
    remove(partial)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--to {to}: cannot be made: {error.strerror}") from None
    try:
        _fill(partial, run, loaded, model, stock, users, program)
        if to.exists():
            to.rmdir()
        partial.rename(to)
    finally:
        remove(partial)


def _fill(
    folder: Path,
    run: Path,
    loaded: LoadedSpec,
    model: LoadedRun,
    stock: Stock,
    users: int,
    program: bool,
) -> None:
    recommender = model.recommender
    recommender.backbone.save(folder)
    # Apart, as engines take every weight beside a config.json for the model's.
    (folder / THINKING).mkdir()
    recommender.save_parts(folder / THINKING)
    write_catalogue(stock, recommender.backbone.tokenizer, folder)
    plain: Any = None
    if type(loaded.spec.backbone).loads_as == CAUSAL:
        plain = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
        plain = plain.to(recommender.device).eval()
    found = None if plain is None else compared(model, plain)
    write_prompt(model, folder, None if found is None else found.between)
    thinks = not recommender.latent_loop.transparent and found is not None and found.between is not None
    cost = cost_of_no_thoughts(model, users) if thinks and users else {}
    if program:
        write_program(plain, folder)
    shutil.copyfile(run / LOCK, folder / SPEC)
    write_card(run, loaded, model, folder, Told(found, cost, program, stock))
