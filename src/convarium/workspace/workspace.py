"""Workspace: a store, the data sets and a device, and a method for every task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convarium.disk import usable_path
from convarium.errors import RecipeError
from convarium.notebook import counting_display, sentence_display
from convarium.runs.store import Store, StoredRun
from convarium.workspace.arguments import (
    chosen_study,
    compare_command,
    compared_recipes,
    image_of,
    message_event,
    planned_recipe,
)
from convarium.workspace.execution import Workers, carry_out_study, training
from convarium.workspace.outputs import ReportFiles, StudyResult
from convarium.workspace.progress import with_progress

if TYPE_CHECKING:
    from convarium.analysis.comparison import Comparison
    from convarium.analysis.recommendation import Recommendation
    from convarium.data.splits import Splits
    from convarium.inference import TrainedNetwork
    from convarium.inference.export import Exported
    from convarium.inference.export_formats import Format
    from convarium.inference.playground import Playground
    from convarium.inference.playground.words import Language
    from convarium.inference.predict import Predictions, Predictor
    from convarium.recipes.recipe import Recipe
    from convarium.records import Description, Scores
    from convarium.runs.listing import RunEntry
    from convarium.runs.merging import Merge
    from convarium.runs.removal import Removal
    from convarium.studies.catalogue import Finding
    from convarium.studies.events import StudyEvent
    from convarium.studies.plan_sentence import Plan
    from convarium.studies.resources import Resources
    from convarium.studies.study import Study
    from convarium.training.engines import Engine

    OnEvent = Callable[[StudyEvent], None]

Split = Literal["test", "validation", "train"]


class Workspace:
    """A store, the data sets and a device, and everything that can be done with them.

    Each data set is read once, when it is first needed, and stays in memory. Images that are added to a folder later
    are seen by a new `Workspace`.

    Args:
        store: the folder that holds runs/ and studies/, or will.
        data_dir: a data folder that is searched before all others.
        device: on which networks train: "cpu", "cuda", "cuda:1" or "mps"; None: CUDA if it is here, else the CPU.
    """

    def __init__(self, store: Path | str = ".", data_dir: Path | str | None = None, device: str | None = None) -> None:
        self.store = Store(usable_path(store, "store"))
        self.data_dir = None if data_dir is None else usable_path(data_dir, "data_dir")
        self.device = device

    def __repr__(self) -> str:
        return f"Workspace({str(self.store.root)!r}, device={self.device!r})"

    @cached_property
    def _resources(self) -> Resources:
        from convarium.studies.resources import Resources

        return Resources(self.store, self.data_dir, self.device)

    def splits(self, recipe: Recipe, *, download: bool = True) -> Splits:
        """The data set of a recipe, divided as the recipe says; loaded once.

        Args:
            recipe: names the data set and its division.
            download: whether missing files may be downloaded.

        Raises:
            DataError: the data are missing or damaged.
        """
        return self._resources.splits(recipe, download=download)

    def train(
        self,
        model: str | Recipe,
        *,
        preset: str | None = None,
        exact: bool = False,
        minutes: float | None = None,
        keep_weights: int | None = None,
        engine: Engine = None,
        on_event: OnEvent | None = None,
        progress: bool | None = None,
        **fields: Any,
    ) -> StoredRun:
        """Trains one network once; a run that the store already has is reused.

        Args:
            model: a network's spec, or a recipe.
            preset: train as a source does: memory-blog, d2l, uva, …
            exact: refuse to go on with a run that was begun in another environment (number of threads, kernels, torch,
                device, processor, code of Convarium), and to use one that is mixed for that reason.
            minutes: after which training ends, with a checkpoint; the same call goes on from there. None: no limit.
            keep_weights: keep the weights before the first step and after every so many epochs in the run's folder, for
                `play` with epochs; they change nothing else. None: the selected weights alone.
            engine: what carries the steps of a run out: "lightning", or a `LightningEngine` with several devices, for
                PyTorch Lightning (the extra convarium[lightning]); None: Convarium's own loop.
            on_event: called as the run goes on.
            progress: show how it goes: a bar in a notebook, lines on standard error elsewhere. None: in notebooks
                alone.
            fields: fields of the recipe by name, see `Recipe`; they win over the preset.

        Raises:
            ConvariumError: a recipe that does not exist or does not fit its data.
            TimeLimitError: the minutes were over before all was trained.
        """
        from convarium.studies.run import train_one

        on_event = with_progress(on_event, progress)
        recipe = planned_recipe(model, preset, fields)
        with training(
            self._resources, exact=exact, runs=1, minutes=minutes, keep_weights=keep_weights, engine=engine
        ) as resources:
            return train_one(recipe, resources, on_event=on_event)

    def compare(
        self,
        models: Sequence[str],
        *,
        seeds: int = 5,
        preset: str | None = None,
        baseline: str | None = None,
        name: str | None = None,
        tune: bool = False,
        stack: bool = False,
        live: bool = False,
        workers: Workers = None,
        executor: str | None = None,
        address: str | None = None,
        cpus_per_run: float | None = None,
        gpus_per_run: float | None = None,
        minutes: float | None = None,
        keep_weights: int | None = None,
        engine: Engine = None,
        command: str | None = None,
        exact: bool = False,
        on_event: OnEvent | None = None,
        progress: bool | None = None,
        **fields: Any,
    ) -> StudyResult:
        """Compares networks on equal terms: networks × seeds, then table, verdicts and report.

        Args:
            models: the networks' specs.
            seeds: runs of each network, with seeds 0, 1, 2, …
            preset: train as a source does: memory-blog, d2l, uva, …
            baseline: the network that the others are compared with; None: the first.
            name: of the study; a study of this name is extended by more seeds or networks. None: made from the
                networks and the recipe.
            tune: first choose each network's learning rate on validation, with other seeds; one rate for all is not a
                fair race. The study's name then ends in "-tuned".
            stack: train each network's seeds at the same time.
            live: write the report when training begins, and again as it goes on.
            workers: processes among which the runs are divided, and with them this machine's cores and GPUs; "auto": as
                many as there are GPUs, or cores; None: this process trains one run after another.
            executor: "ray": the runs train on a Ray cluster, and `workers` is the most of them at a time; None: here.
            address: of the cluster, such as "10.0.0.1:6379"; None: the one of this machine, which is started if needed.
            cpus_per_run: processor cores of the cluster for each run, and its threads; None: 1.
            gpus_per_run: GPUs of the cluster for each run, or a share of one; None: 1 if there are any.
            minutes: after which training ends, with checkpoints; the same call goes on from there. None: no limit.
            keep_weights: keep the weights before the first step and after every so many epochs in the run's folder, for
                `play` with epochs; they change nothing else. None: the selected weights alone.
            engine: what carries the steps of a run out: "lightning", or a `LightningEngine` with several devices, for
                PyTorch Lightning (the extra convarium[lightning]); None: Convarium's own loop.
            command: the command line that does the same, which the report shows; None: it is put together.
            exact: refuse to go on with a run that was begun in another environment (number of threads, kernels, torch,
                device, processor, code of Convarium), and to use one that is mixed for that reason.
            on_event: called as the study goes on.
            progress: show how it goes: a bar in a notebook, lines on standard error elsewhere. None: in notebooks
                alone.
            fields: fields of the recipe by name, such as dataset="mnist" and epochs=5; they win over the preset. A list
                of several starts, start_from=[None, "RUN"], compares these for one network.

        Raises:
            ConvariumError: a recipe that does not fit its data, or a study of this name with other settings.
            TimeLimitError: the minutes were over before all was trained.
        """
        from convarium.studies.study import study_of_networks

        on_event = with_progress(on_event, progress)
        if "seed" in fields:
            hint = "use seeds=N here, or convarium.train for one run with a seed"
            raise RecipeError("compare trains every network with the seeds 0, 1, 2, …, so it takes no seed", hint=hint)
        models = [models] if isinstance(models, str) else list(models)
        bases = compared_recipes(models, preset, fields)
        if command is None:
            asked = {"seeds": seeds, "preset": preset, "baseline": baseline, "name": name, "tune": tune or None}
            command = compare_command(models, asked | fields)
        study = study_of_networks(bases, seeds=seeds, baseline=baseline, name=name, command=command)
        with training(
            self._resources,
            exact=exact,
            runs=len(study.recipes),
            workers=workers,
            minutes=minutes,
            keep_weights=keep_weights,
            engine=engine,
            stack=stack,
            executor=executor,
            address=address,
            cpus_per_run=cpus_per_run,
            gpus_per_run=gpus_per_run,
        ) as resources:
            return carry_out_study(study, resources, stack=stack, live=live, on_event=on_event, tune=tune)

    def recommend(
        self,
        models: Sequence[str] = (),
        *,
        budget: str | float = "10m",
        seeds: int = 5,
        name: str | None = None,
        command: str | None = None,
        workers: Workers = None,
        minutes: float | None = None,
        exact: bool = False,
        on_event: OnEvent | None = None,
        progress: bool | None = None,
        **fields: Any,
    ) -> Recommendation:
        """Says which network to use for a data set: the most accurate, the smallest as good as it, the fastest.

        Networks are trained within a time, the better half of them longer, and so on; what is finished is kept, and
        the same call goes on. Networks are chosen by validation, size and measured speed; their accuracies are from
        the test images, which choose nothing.

        Args:
            models: the networks' specs; none: small networks of every kind that take the images.
            budget: the time for everything: seconds, or a text such as "90s", "10m" or "1.5h".
            seeds: at most so many runs of each network that is left at the end, where the time allows them.
            name: of the study; None: made from the data set and a digest of what is asked.
            command: the command line that does the same; None: it is put together.
            workers: as for `compare`; the budget counts with them.
            minutes: as for `compare`: the call ends by then, though the budget would last longer.
            exact: refuse runs that were begun in another environment, as for `compare`.
            on_event: called as the runs go on.
            progress: show how it goes: a bar in a notebook, lines on standard error elsewhere. None: in notebooks
                alone.
            fields: fields of the recipe by name, such as dataset="folder:photos". Without them, size of the images,
                batch and epochs are chosen for the images, and Adam with the one-cycle schedule trains.

        Raises:
            ConvariumError: a field that does not exist, a recipe that does not fit its data, or no validation images.
            RunError: no run fits into the time, or all failed.
            TimeLimitError: the minutes were over before the budget.
        """
        from convarium.workspace.recommending import recommend

        return recommend(
            models,
            self._resources,
            budget=budget,
            seeds=seeds,
            name=name,
            command=command,
            exact=exact,
            workers=workers,
            minutes=minutes,
            on_event=with_progress(on_event, progress, split="validation"),
            fields=fields,
        )

    def run(
        self,
        study: Study | Path | str,
        *,
        seeds: int | None = None,
        tune: bool = False,
        quick: bool = False,
        stack: bool = False,
        live: bool = False,
        workers: Workers = None,
        executor: str | None = None,
        address: str | None = None,
        cpus_per_run: float | None = None,
        gpus_per_run: float | None = None,
        minutes: float | None = None,
        keep_weights: int | None = None,
        engine: Engine = None,
        exact: bool = False,
        on_event: OnEvent | None = None,
        progress: bool | None = None,
    ) -> StudyResult:
        """Carries out a study: plan, runs, table, verdicts, report.

        Args:
            study: a study, the name of a built-in one, or the path of a Python file that defines `study`.
            seeds: runs of each row; None: as the study says.
            tune: first choose each network's learning rate on validation, with other seeds.
            quick: a reduced version that ends within minutes: it shows how the study works and answers nothing.
            stack: train each network's seeds at the same time.
            live: write the report when training begins, and again as it goes on.
            workers: processes among which the runs are divided, and with them this machine's cores and GPUs; "auto": as
                many as there are GPUs, or cores; None: this process trains one run after another.
            executor: "ray": the runs train on a Ray cluster, and `workers` is the most of them at a time; None: here.
            address: of the cluster, such as "10.0.0.1:6379"; None: the one of this machine, which is started if needed.
            cpus_per_run: processor cores of the cluster for each run, and its threads; None: 1.
            gpus_per_run: GPUs of the cluster for each run, or a share of one; None: 1 if there are any.
            minutes: after which training ends, with checkpoints; the same call goes on from there. None: no limit.
            keep_weights: keep the weights before the first step and after every so many epochs in the run's folder, for
                `play` with epochs; they change nothing else. None: the selected weights alone.
            engine: what carries the steps of a run out: "lightning", or a `LightningEngine` with several devices, for
                PyTorch Lightning (the extra convarium[lightning]); None: Convarium's own loop.
            exact: refuse to go on with a run that was begun in another environment (number of threads, kernels, torch,
                device, processor, code of Convarium), and to use one that is mixed for that reason.
            on_event: called as the study goes on.
            progress: show how it goes: a bar in a notebook, lines on standard error elsewhere. None: in notebooks
                alone.

        Raises:
            ConvariumError: no such study, a recipe that does not fit its data, or a study of this name with other
                settings.
            TimeLimitError: the minutes were over before all was trained.
        """
        on_event = with_progress(on_event, progress)
        chosen, notify = chosen_study(study, seeds=seeds, quick=quick), on_event or (lambda _: None)
        if quick:
            from convarium.studies.variants import describe_reduction

            notify(message_event(chosen, describe_reduction(chosen)))
        with training(
            self._resources,
            exact=exact,
            runs=len(chosen.recipes),
            workers=workers,
            minutes=minutes,
            keep_weights=keep_weights,
            engine=engine,
            stack=stack,
            executor=executor,
            address=address,
            cpus_per_run=cpus_per_run,
            gpus_per_run=gpus_per_run,
        ) as resources:
            return carry_out_study(
                chosen, resources, stack=stack, live=live, on_event=on_event, tune=tune, is_timed=not quick
            )

    def plan(self, study: Study | Path | str, *, seeds: int | None = None, quick: bool = False) -> Plan:
        """What a study will cost: runs, time, and the smallest difference that its seeds resolve. Trains nothing.

        Args:
            study, seeds, quick: as for `run`.

        Raises:
            ConvariumError: no such study, or a recipe that does not fit its data.
        """
        from convarium.studies.plan import plan_study, prepare_study

        prepared = prepare_study(chosen_study(study, seeds=seeds, quick=quick), self._resources)
        return plan_study(prepared, self._resources)

    def results(self, study: str) -> Comparison:
        """The comparison of a stored study's finished runs.

        Raises:
            StoreError: no such study, or none of its runs is finished.
        """
        from convarium.studies.compare import compare_study

        return compare_study(self.store.study(study), self.store)

    def report(
        self,
        study: str,
        *,
        out: Path | str | None = None,
        figures: Path | str | None = None,
        panel: str | None = None,
        width: str | float | None = None,
        diagnostics: bool = False,
        on_event: Callable[[str], None] | None = None,
    ) -> ReportFiles:
        """Writes a stored study's page: one HTML file that opens offline.

        Args:
            study: its name.
            out: the file to write; None: report.html in the study's folder.
            figures: a folder for every chart as SVG, PDF and PNG, with the data behind them as CSV.
            panel: the only figure to write, without the data: "curves", "cost", "curves-validation-accuracy", …; a
                name that does not exist is answered with the list.
            width: of each figure: "84mm", "8.4cm", "3.3in" or "320px"; a number is in pixels.
            diagnostics: also look inside the networks, from their stored weights; takes minutes.
            on_event: called with a sentence about each run that is left out because it is damaged, and about each
                network that is diagnosed.

        Raises:
            StoreError: no such study, or none of its runs is finished.
            SpecError: there is no such panel.
            ConvariumError: a panel or a width without `figures`, or a width that is none.
        """
        from convarium.pages.figures import check_figures, save_figures
        from convarium.studies.compare import compare_study, left_out_notes
        from convarium.studies.report import diagnose_rows, write_study_report

        on_event = on_event or sentence_display()
        page_path = None if out is None else usable_path(out, "out")
        folder = None if figures is None else usable_path(figures, "figures")
        check_figures(folder, panel=panel, width=width)
        comparison = compare_study(self.store.study(study), self.store, drawn=True)
        for left_out in left_out_notes(comparison):
            if on_event:
                on_event(left_out)
        diagnoses = diagnose_rows(comparison, self._resources, on_event=on_event) if diagnostics else ()
        page = write_study_report(comparison, study, self._resources, out=page_path, diagnoses=diagnoses)
        drawn = save_figures(comparison, folder, diagnoses=diagnoses, panel=panel, width=width) if folder else ()
        return ReportFiles(page, tuple(drawn))

    def play(
        self,
        study: str,
        *,
        out: Path | str | None = None,
        seeds: int = 1,
        all_networks: bool = False,
        float32: bool = False,
        epochs: bool = False,
        title: str | None = None,
        hide_names: bool = False,
        quiz: bool = False,
        language: Language = "en",
        on_note: Callable[[str], None] | None = None,
    ) -> Playground:
        """Writes a page on which the networks of a stored study answer: draw, drop an image, look inside.

        It is one HTML file that needs neither a server nor a network connection.

        Args:
            study: its name.
            out: the file to write; None: play.html in the study's folder.
            seeds: runs of each network, at most; several give their vote.
            all_networks: also networks of more than 1.5 million parameters.
            float32: write the weights as they are; otherwise they are rounded to float16, and the page says what that
                changes.
            epochs: also the weights after other epochs, which `keep_weights` kept: a slider shows how the networks
                learned.
            title: of the page.
            hide_names: call the networks "Network A" and so on until the reader asks.
            quiz: begin with ten images on which the networks disagree.
            language: of the page, "en" or "zh".
            on_note: called with a sentence when what takes time begins.

        Raises:
            StoreError: no such study, or none of its runs is finished.
            ConvariumError: none of its networks can play, a quiz is asked for and the data set is not here, or epochs
                are and none were kept.
        """
        from convarium.workspace.playing import play

        return play(
            self._resources,
            study,
            out=out,
            seeds=seeds,
            all_networks=all_networks,
            float32=float32,
            epochs=epochs,
            title=title,
            hide_names=hide_names,
            quiz=quiz,
            language=language,
            on_note=on_note or sentence_display(),
        )

    def evaluate(
        self,
        run: str | None = None,
        *,
        weights: Path | str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        split: Split | None = None,
        skip_broken: bool = False,
        on_note: Callable[[str], None] | None = None,
        on_event: Callable[[str, int, int], None] | None = None,
    ) -> Scores:
        """Scores of a stored run, or of a file of weights.

        Args:
            run: a folder's name in runs/, its path, or the beginning of its key.
            weights: a file: .safetensors, a PyTorch state_dict, or a checkpoint published with a source.
            model: the network that the weights belong to; a preset brings its source's preprocessing and division.
                Beside a run it must be the run's own, and says that this network may be imported although its source
                is not the one that the run was made with.
            dataset: the images that the weights are scored on; beside a run, images that are new to it, which are
                preprocessed as its own were. Their classes are matched by name, and some of the run's may be missing.
            split: which images of it; None: the test images, or those for validation of a run that has no others. Of
                a folder without `train/` and `test/`, a CSV file without a column of splits and a .npz file without
                test arrays all images are scored, where they are new to a run.
            skip_broken: leave out images that cannot be read, where they are new to a run.
            on_note: called with a sentence about whose preprocessing is used, and others that a user may not expect.
            on_event: called as new images are read from files.

        Raises:
            ConvariumError: neither a run nor weights, weights that do not fit the network, or no such run; or the run's
                network is a user's own, and its source is not the one that the run was made with; or its images are
                a user's own, and are not those that it was made with; or new images have a class that the run has not.
        """
        from convarium.workspace.evaluating import evaluate

        return evaluate(
            self,
            run,
            weights=weights,
            model=model,
            dataset=dataset,
            split=split,
            skip_broken=skip_broken,
            on_note=on_note or sentence_display(),
            on_event=on_event or counting_display(),
        )

    def predictor(
        self,
        run: str | None = None,
        *,
        weights: Path | str | None = None,
        ensemble: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        unknown: bool = False,
        coverage: float = 0.95,
    ) -> Predictor:
        """A stored run, a file of weights or an ensemble, loaded once to predict images as often as one likes.

        Args:
            run: a folder's name in runs/, its path, or the beginning of its key.
            weights: in place of a run, a file: weights.safetensors of a run, a PyTorch state_dict, or a checkpoint.
            ensemble: in place of a run, a study and a row of its table, "STUDY:NETWORK": the probabilities are the mean
                over its trained runs, one for each seed.
            model: the run's network, if it is a user's own: it may then be imported although its source is not the one
                that the run was made with. Of weights: the network that they belong to, if they do not say it.
            dataset: of weights that do not say it: the images that they were trained on, which give size, mean,
                deviation and classes.
            unknown: answer 'unknown' below a probability that is set so that `coverage` of the images of the known
                classes are answered. It does not promise to catch images of other classes.
            coverage: that share.

        Raises:
            ConvariumError: not one of run, weights and ensemble; no such run or row, or one whose network cannot be
                used; or there are no 100 images that selected nothing, from which `unknown` is calibrated.
        """
        from convarium.workspace.predicting import predictor_of

        return predictor_of(
            self._resources,
            run,
            ensemble=ensemble,
            weights=weights,
            model=model,
            dataset=dataset,
            unknown=unknown,
            coverage=coverage,
        )

    def predict(
        self,
        run: str | None,
        images: Path | str | Sequence[Path | str],
        *,
        weights: Path | str | None = None,
        ensemble: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        unknown: bool = False,
        coverage: float = 0.95,
        on_event: Callable[[str, int, int], None] | None = None,
    ) -> Predictions:
        """Predicts images: classes and probabilities.

        Args:
            run, ensemble, weights, model, dataset, unknown, coverage: as for `predictor`.
            images: image files, and folders, whose images are found as in data sets.
            on_event: called with "images", their number so far and in all.

        Returns:
            The answers for the images that can be read, in their order, and why others cannot.

        Raises:
            ConvariumError: as for `predictor`; or no image is named, or a folder cannot be listed or has no images.
        """
        predictor = self.predictor(
            run,
            ensemble=ensemble,
            weights=weights,
            model=model,
            dataset=dataset,
            unknown=unknown,
            coverage=coverage,
        )
        return predictor.predict(images, on_event=on_event or counting_display())

    def export(
        self,
        run: str | None = None,
        *,
        weights: Path | str | None = None,
        model: str | None = None,
        dataset: str | None = None,
        format: Format = "onnx",  # noqa: A002
        out: Path | str | None = None,
        int8: bool = False,
        on_note: Callable[[str], None] | None = None,
    ) -> Exported:
        """Writes a trained network as one file for other programs, and checks it against the original before.

        The file takes images of 8 bits in the size in which the data set holds them, in batches of any size; resizing
        and normalization are part of it. It gives logits, and says about itself what `model.json` says.

        Args:
            run: a folder's name in runs/, its path, or the beginning of its key.
            weights: in place of a run, a file as for `evaluate`.
            model, dataset: of weights that do not say themselves how images are preprocessed, as for `evaluate`.
            format: "onnx", or "torch-export" for PyTorch alone.
            out: the file to write; None: named after the run, in the working folder.
            int8: in 8-bit integers, calibrated on training images; needs these, and ONNX.
            on_note: called with a sentence when what takes time begins.

        Raises:
            ConvariumError: no such run or file, one without weights, a network that cannot be written in this format,
                or packages for it that are not installed.
            RunError: the file would not answer as the network does, so it is not written.
        """
        from convarium.workspace.exporting import export

        return export(
            self,
            run,
            weights=weights,
            model=model,
            dataset=dataset,
            format=format,
            out=out,
            int8=int8,
            on_note=on_note or sentence_display(),
        )

    def reproduce(
        self,
        *claims: str,
        quick: bool = False,
        stack: bool = False,
        workers: Workers = None,
        executor: str | None = None,
        address: str | None = None,
        cpus_per_run: float | None = None,
        gpus_per_run: float | None = None,
        minutes: float | None = None,
        exact: bool = False,
        on_event: OnEvent | None = None,
        progress: bool | None = None,
    ) -> tuple[Finding, ...]:
        """Trains the runs that published claims need, and judges them; without a claim, the catalogue as measured.

        The networks of a claim of speed are not trained but timed: in turns, pair by pair, on this machine.

        Args:
            claims: names of claims, studies or sources, "speed", or "all"; without any, nothing is trained, and the
                measured records that come with Convarium count too.
            quick: a reduced version that ends within minutes: it shows how a study works and answers nothing.
            stack: train each network's seeds at the same time.
            workers: processes among which the runs are divided, and with them this machine's cores and GPUs; "auto": as
                many as there are GPUs, or cores; None: this process trains one run after another.
            executor: "ray": the runs train on a Ray cluster, and `workers` is the most of them at a time; None: here.
            address: of the cluster, such as "10.0.0.1:6379"; None: the one of this machine, which is started if needed.
            cpus_per_run: processor cores of the cluster for each run, and its threads; None: 1.
            gpus_per_run: GPUs of the cluster for each run, or a share of one; None: 1 if there are any.
            minutes: after which training ends, with checkpoints; the same call goes on from there. None: no limit.
            exact: refuse to go on with a run that was begun in another environment (number of threads, kernels, torch,
                device, processor, code of Convarium), and to use one that is mixed for that reason.
            on_event: called as the studies go on.
            progress: show how it goes: a bar in a notebook, lines on standard error elsewhere. None: in notebooks
                alone.

        Returns:
            One finding for each claim. If its study could not be run, its `error` says why; the other studies ran.

        Raises:
            SpecError: no such claim.
            TimeLimitError: the minutes were over before all was trained.
        """
        from convarium.analysis.claims import FEWEST_PAIRS
        from convarium.studies.catalogue import catalogue, findings, run_claims, select, studies_of
        from convarium.studies.reproductions import results_folder

        chosen = select(claims or ("all",), catalogue())
        if not claims and not quick:
            return findings(chosen, [self.store, Store(results_folder())])
        on_event = with_progress(on_event, progress)
        if quick:
            from convarium.studies.variants import describe_reduction, reduced

            chosen = tuple(dataclasses.replace(entry, study=reduced(entry.study)) for entry in chosen)
            if on_event:
                on_event(message_event(chosen[0].study, describe_reduction(chosen[0].study)))
        runs = sum(len(study.recipes) for study, _ in studies_of(chosen))
        with training(
            self._resources,
            exact=exact,
            runs=runs,
            workers=workers,
            minutes=minutes,
            executor=executor,
            address=address,
            cpus_per_run=cpus_per_run,
            gpus_per_run=gpus_per_run,
        ) as resources:
            pairs = 2 if quick else FEWEST_PAIRS
            errors = run_claims(chosen, resources, stack=stack, pairs=pairs, on_event=on_event)
        return tuple(
            dataclasses.replace(finding, error=errors.get(finding.entry.study.name, finding.error))
            for finding in findings(chosen, [self.store])
        )

    def record_results(self) -> dict[str, int]:
        """Adds the built-in studies of this store to the measured records in results/, without weights and predictions.

        Returns:
            How many runs of each study the records hold now.

        Raises:
            ConvariumError: the store has none of the built-in studies, or Convarium is not run from a checkout.
        """
        from convarium.studies.reproductions import record_builtin_studies

        return record_builtin_studies(self.store)

    def write_reproductions(self) -> Path:
        """Writes docs/reproductions.md from the measured records in results/, and returns its path.

        Raises:
            ConvariumError: Convarium is not run from a checkout.
        """
        from convarium.studies.reproductions import write_reproductions_page

        return write_reproductions_page()

    def load_run(self, name: str, *, model: str | None = None) -> TrainedNetwork:
        """The network of a stored run in evaluation mode, with `.classes` and `.preprocess(image)`.

        Its data set is not needed. It lands on the workspace's device, if that was given, else on the CPU.

        Args:
            name: the folder's name or path, or the beginning of the run's key.
            model: the run's own network, if that is a user's and may be imported although its source is not the one
                that the run was made with.

        Raises:
            ConvariumError: none or several such runs, or a damaged one; one without weights or preprocessing; or its
                network is a user's own, and its source is not the one that the run was made with.
        """
        from convarium.inference import load_trained

        return load_trained(self.find_run(name), named=model, device=self.device)

    def find_run(self, name: str) -> StoredRun:
        """A stored run by its folder's name or path, or by the beginning of its key.

        Raises:
            StoreError: none or several such runs, or a damaged one.
        """
        return self.store.run(name)

    def list_runs(self) -> list[RunEntry]:
        """Every run of the store: its size, its state and the studies that use it, also unfinished and damaged ones."""
        from convarium.runs.listing import list_runs

        return list_runs(self.store)

    def plan_removal(self, *names: str) -> Removal:
        """What `remove` would delete; deletes nothing.

        Args:
            names: as for `remove`.

        Raises:
            StoreError: no study or run of a name, or several.
        """
        from convarium.runs.removal import plan_removal

        return plan_removal(self.store, names)

    def remove(self, *names: str, agreed: Removal | None = None) -> Removal:
        """Deletes studies and runs, without asking, and returns what has gone.

        Args:
            names: studies, which take the runs along that no other study uses, and runs by folder name, path or the
                beginning of their key, whatever their state. A run that is named itself goes also if a study uses it.
            agreed: from `plan_removal`; if more than that would go by now, nothing does.

        Raises:
            StoreError: no study or run of a name, or several; or a run that another process is training.
        """
        from convarium.runs.removal import remove

        return remove(self.store, names, agreed=agreed)

    def merge(self, *stores: Path | str) -> Merge:
        """Copies the runs and studies of other stores into this one, verified before; all of them or none.

        Args:
            stores: folders that hold runs/ and studies/; they are only read. A run that this store has stays.

        Returns:
            What was copied, with a note on each run whose results differ between stores.

        Raises:
            StoreError: a folder that is no store, a damaged run, or studies of one name with different base recipes.
        """
        from convarium.runs.merging import merge

        return merge(self.store, [Store(usable_path(store, "STORE")) for store in stores])

    def describe(self, model: str, *, dataset: str | None = None, resize: int | None = None) -> Description:
        """A network layer by layer: name, type, output shape, parameters, FLOPs; totals and citation.

        Args:
            model: a network's spec.
            dataset: whose images it takes; None: those that the network was made for.
            resize: pixels to which the images are enlarged or reduced; None: as they are.

        Raises:
            SpecError: no such network, or a size that is out of range.
        """
        from convarium.models.describe import describe

        return describe(model, image_of(model, dataset=dataset, resize=resize))
