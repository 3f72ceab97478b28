"""The MONAI Label app of AngioSeg: cines in a studies folder, and a server that segments their vessels.

Started by ``angioseg serve`` (with its guarantees) or by ``monailabel start_server --app monai_app --studies DIR``; in
place of a folder, the address of an archive's DICOMweb service will do, as ``http://127.0.0.1:8042/dicom-web``.
``--conf`` keys: ``model`` (a weights file), ``device``, ``cine_cache_mb``. Models trained here are kept in the studies
folder (for an archive: the cache folder), in ``angioseg-models``; the newest is used in place of ``model``.
"""

import tempfile
from pathlib import Path

import angioseg
from angioseg.errors import AngioSegError
from angioseg.paths import MODELS
from angioseg.segmentation import check_device
from angioseg.selection import STRATEGIES
from angioseg.versions import Versions
from fastapi import HTTPException
from lib.cine_routes import cine_routes
from lib.cines import CineCache, NoCine
from lib.datastore import CineDatastore
from lib.ids import check_id
from lib.infer import CineInferTask, SharedSegmenter, check_request
from lib.pacs import PacsDatastore, cache_folder
from lib.predictions import Predictions
from lib.routes import batch_routes, dataset_routes, log_routes, scoring_routes, train_routes
from lib.runs import ThreadRuns
from lib.scores import ScoreBoard
from lib.scoring import CineScoring
from lib.sessions import CheckedSessions
from lib.strategies import CineStrategy, Reservations
from lib.train import CineTrainTask, TrainingRuns
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType

__all__ = ["AngioSegApp"]

_CONF = ("model", "device", "cine_cache_mb")
_PLATFORMS_CONF = ("server_mode", "auth_token")


def _is_archive(studies: str) -> bool:
    return studies.startswith(("http://", "https://"))


def _checked(conf: dict) -> dict:
    """The ``--conf`` values, before anything is built on them.

    Raises:
        AngioSegError: for the first that cannot be used.
    """
    if unknown := sorted(set(conf) - {*_CONF, *_PLATFORMS_CONF}):
        raise AngioSegError(f"--conf {unknown[0]}: there is no such key; there are {', '.join(_CONF)}.")
    try:
        megabytes = int(conf.get("cine_cache_mb", 1024))
    except ValueError:
        megabytes = -1
    if megabytes < 0:
        raise AngioSegError(f"--conf cine_cache_mb {conf['cine_cache_mb']}: give a whole number from 0.")
    if (model := conf.get("model")) and not Path(model).is_file():
        raise AngioSegError(f"--conf model {model}: no such weights file.")
    if device := conf.get("device"):
        check_device(device)
    return {**conf, "cine_cache_mb": megabytes}


def _model_tag(request: dict) -> str:
    """The tag under which a model's mask is saved: never that of the labels that people made."""
    tag = check_id(request.get("label_tag", DefaultLabelTag.ORIGINAL.value), "label tag")
    # On some disks "Final" is the same folder.
    if tag.casefold() == DefaultLabelTag.FINAL.value:
        raise HTTPException(400, 'What a model says does not become a "final" label: use another `label_tag`.')
    return tag


class AngioSegApp(MONAILabelApp):
    """Finds cines, segments them, learns. What is wrong with a request is answered with a 4xx and one line."""

    def __init__(self, app_dir, studies, conf):
        conf = _checked(conf)
        self._home = cache_folder(studies) if _is_archive(studies) else Path(studies)
        self.versions = Versions(self._home / MODELS, conf.get("model"))
        self.segmenter = SharedSegmenter(self.versions, conf.get("device"))
        self.trainings = TrainingRuns(str(self._home))
        self.scorings = ThreadRuns("scoring", "scoring")
        self.batches = ThreadRuns("batch inference", "batch/infer")
        self.cines = CineCache(max_bytes=conf["cine_cache_mb"] << 20)
        self.scores = ScoreBoard(self.segmenter, self.cines, self.versions.root / "scores")
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="AngioSeg",
            description="Coronary arteries in X-ray angiography cines",
            version=angioseg.__version__,
        )
        # The platform would score everything anew whenever somebody asks for the next frame.
        self._auto_update_scoring = False

    def init_datastore(self):
        if not _is_archive(self.studies):
            return CineDatastore(self.studies, self.cines.read)
        datastore = PacsDatastore(self.studies, self._home, self.cines.read)
        self.cines.fetch = datastore.fetch
        return datastore

    def init_infers(self):
        return {"angioseg": CineInferTask(self.segmenter, self.cines)}

    def init_trainers(self):
        return {"angioseg": CineTrainTask(self.versions, self.conf.get("device"))}

    def init_strategies(self):
        reservations = Reservations()
        return {name: CineStrategy(name, self.scores, self.cines, reservations) for name in STRATEGIES}

    def next_sample(self, request):
        strategy = request.get("strategy")
        if not isinstance(strategy, str) or strategy not in self._strategies:
            known = ", ".join(self._strategies) or "none"
            raise HTTPException(404, f"There is no strategy {str(strategy)[:60]!r} here; there is: {known}.")
        return super().next_sample(request)

    def routers(self):
        """Endpoints under ``angioseg serve``: in place of the platform's, and beside them."""
        runs = [train_routes(self), scoring_routes(self), batch_routes(self)]
        return [*runs, dataset_routes(self), log_routes(), cine_routes(self)]

    def start_training(self, model: str, params: dict) -> dict:
        """Begin a training in a process of its own; see :class:`lib.train.TrainingRuns`."""
        if model not in self._trainers:
            known = ", ".join(self._trainers) or "none"
            raise HTTPException(404, f"There is no model {model[:60]!r} to train; there is: {known}.")
        return self.trainings.start(self._trainers[model].job(params, self.datastore()), params)

    def init_scoring_methods(self):
        predictions = Predictions(self.versions.root / "predictions")
        return {"dice": CineScoring(self.segmenter, self.cines, predictions)}

    def start_scoring(self, method: str, params: dict) -> dict:
        """Begin a scoring in the background; see :class:`lib.runs.ThreadRuns`."""
        if method not in self._scoring_methods:
            known = ", ".join(self._scoring_methods) or "none"
            raise HTTPException(404, f"There is no scoring {method[:60]!r} here; there is: {known}.")
        run, datastore = self._scoring_methods[method], self.datastore()
        return self.scorings.start(lambda progress: run(params, datastore, progress), params)

    def start_batch(self, model: str, images: BatchInferImageType, params: dict) -> dict:
        """Segment many cines in the background, one after the other, and save the masks as labels.

        Args:
            model: the infer task.
            images: which cines: all, those with a final label, those without.
            params: of :meth:`infer`; ``label_tag`` is "original" when left out.

        Raises:
            HTTPException: when there is no such model, the tag is none or that of the final labels, an option is
                misspelt, or a run goes on.
            AngioSegError: when frames or threshold are none.
        """
        self._check_model(model)
        check_request(params)
        tag = _model_tag(params)
        datastore = self.datastore()
        # What was put there a moment ago is one of all.
        datastore.refresh()
        chosen = {
            BatchInferImageType.IMAGES_ALL: datastore.list_images,
            BatchInferImageType.IMAGES_LABELED: datastore.get_labeled_images,
            BatchInferImageType.IMAGES_UNLABELED: datastore.get_unlabeled_images,
        }[images]()

        def segment_all(progress) -> dict:
            done, problems = [], {}
            for number, image in enumerate(chosen):
                progress(number, len(chosen))
                request = {**params, "model": model, "image": image, "save_label": True, "label_tag": tag}
                try:
                    result = self.infer(request)
                except NoCine as error:
                    problems[image] = error.detail
                    continue
                if result["file"]:
                    Path(result["file"]).unlink(missing_ok=True)
                done.append(image)
            return {"images": done, "problems": problems}

        return self.batches.start(segment_all, params)

    def _load_sessions(self, load=False):
        return CheckedSessions(settings.MONAI_LABEL_SESSION_PATH, settings.MONAI_LABEL_SESSION_EXPIRY) if load else None

    def infer(self, request, datastore=None):
        model = self._check_model(request.get("model"))
        datastore = datastore or self.datastore()
        image = request.get("image")
        path, in_datastore = self._locate(image, datastore)
        save = in_datastore and request.get("save_label")
        tag = _model_tag(request)
        # The platform would take an id for a path when the working folder holds such a file: it gets the path itself,
        # and so does not know where to save the label.
        result = super().infer({**request, "image": path}, datastore)
        if save and result["file"]:
            # What a model says takes the place of what it said before: it does not join it.
            info = {"model": model, "params": result["params"], "replace": True}
            try:
                result["label"] = datastore.save_label(image, result["file"], tag, info)
            except Exception:
                # Nobody is told of it, so nobody would remove it.
                Path(result["file"]).unlink(missing_ok=True)
                raise
        return result

    def _check_model(self, model) -> str:
        if not isinstance(model, str) or model not in self._infers:
            known = ", ".join(self._infers)
            raise HTTPException(404, f"There is no model {str(model)[:60]!r} here; there is: {known}.")
        return model

    def stop(self):
        """Give up the inference that is running: its client gets a 503. A training ends with its best model so far."""
        self.segmenter.stopping.set()
        self.trainings.ask_to_stop()
        self.scorings.ask_to_stop()
        self.batches.ask_to_stop()
        self.scores.close()

    def _locate(self, image, datastore) -> tuple[str, bool]:
        """The file of an image id, or of an upload; and whether it is in the datastore."""
        if not isinstance(image, str):
            raise HTTPException(400, "`image` must be the id of an image.")
        if not image:
            raise HTTPException(404, "Unknown or expired session. Upload the cine again.")
        # First: an archive that hangs is not asked for what is here.
        if self._is_upload(image):
            return image, False
        if uri := datastore.get_image_uri(image):
            return uri, True
        check_id(image, "image id")
        raise NoCine(404, f"There is no image {image!r} here.")

    def _is_upload(self, path: str) -> bool:
        # The platform names uploads to this method by their paths: those folders and no others may be read.
        if "\0" in path:
            return False
        resolved = Path(path).resolve()
        if not Path(path).is_absolute() or not resolved.exists():
            return False
        if self._sessions is not None and Path(self._sessions.store_path).resolve() in resolved.parents:
            return True
        return resolved.is_file() and resolved.parent == Path(tempfile.gettempdir()).resolve()
