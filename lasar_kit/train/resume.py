"""Keeps the checkpoints of a training stage, and goes on from the last good one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.markup import escape

from lasar_kit.process import faults, signals
from lasar_kit.process.world import from_all, from_main, is_main, several, world_max
from lasar_kit.store.layout import LOG
from lasar_kit.train import checkpoints
from lasar_kit.train.checkpoints import Checkpoints
from lasar_kit.train.state import can_be_kept, capture, restore

if TYPE_CHECKING:
    from lasar_kit.train.loop import Training

FOLDER = "checkpoints"


class Keeper:
    """Of one `Training`; all processes have one, and call it alike."""

    def __init__(self, training: Training) -> None:
        self.training, self.context = training, training.context
        self.checkpoints = Checkpoints(self.context.work / FOLDER)
        self.able = can_be_kept(training.updater)

    def resume(self) -> None:
        """Go on from the last checkpoint that is whole, if there is one."""
        path = from_main(self._find)
        if path is None:
            return
        training, state = self.training, checkpoints.read(path)
        whole = restore(training.updater, training.objectives, state)
        training.done = state.values["done"]
        training.stopped = state.values["stopped"]
        training.best.restore(state.values["best"])
        training.recall(state.values["memory"])
        if is_main():
            checkpoints.unpack(path, self.context.folder)
            training.best.shared = self._shared()
            self.context.log_again()
        self.context.screen.print(f"  goes on after update {training.done:,}")
        if not all(from_all(whole)):
            self.context.screen.print("  on more processes than before: dropout will be another one")

    def keep(self) -> None:
        """Write a checkpoint if it is time for one; if the run is asked to stop, write one and stop it."""
        every = self.training.schedule.checkpoint_every
        due = every > 0 and self.training.done % every == 0
        if due:
            self._write()
        self.stop_if_asked(written=due)

    def stop_if_asked(self, written: bool = False) -> None:
        """Stop the run if any process was sent a signal; with a checkpoint, unless that is `written`."""
        number = signals.pending()
        if several():
            number = world_max(torch.tensor(number, device=self.training.accelerator.device))
        if number:
            if not written:
                self._write()
            raise signals.Stopped(number, f"stages.{self.context.name}, after update {self.training.done}")

    def _find(self) -> Path | None:
        """The checkpoint to go on from; what belongs to another version of the stage goes."""
        for other in self.context.work.parent.glob(f"*/{FOLDER}"):
            if other != self.checkpoints.folder:
                Checkpoints(other).clear()
        path, problems = self.checkpoints.latest()
        for line in problems:
            self.context.screen.print(f"  [yellow]{escape(line)}[/yellow]; the one before it is taken")
        return path

    def _write(self) -> None:
        if not self.able:
            return
        training = self.training
        values = {
            "done": training.done,
            "stopped": training.stopped,
            "best": training.best.state(),
            "memory": training.memory(),
        }
        state = capture(training.updater, training.objectives, values)
        if is_main():
            with faults.disk(f"stages.{self.context.name}", self.checkpoints.folder, state.bytes):
                self.checkpoints.write(training.done, state, self.context.folder)
            training.best.shared = self._shared()

    def _shared(self) -> set[Path]:
        """Files of the artifact that a checkpoint has too, by hard links."""
        files = {path for path in self.context.folder.rglob("*") if path.is_file()}
        return files - {self.context.folder / LOG}
