"""predict: photos to attributes and pictures, by either system."""

import json

from tinyface import backend
from tinyface.errors import TinyfaceError
from tinyface.files import make_folder

from .. import choices, provenance
from .. import predict as portraits
from ..pictures.drawing import save_png
from ..wild import predict as wild
from ..wild.predictor import SVM, WildPredictor, networks_in
from .folders import RUNS
from .trained import last_run


def predict(images, paths, out, system, several, everything, as_json, device, log, print_error):
    """Predict for photos, log the results, write pictures to the folder `out`. Returns whether all of it succeeded.

    system: a name of SYSTEMS; paths: its networks. several: all faces of a photo, where the system looks for them.
    everything: log all attributes, not only the likely ones. print_error: prints why a photo could not be read, or a
    picture not be written.
    """
    backend.check_device(device)
    photos = portraits.find_photos(images)
    read, show, networks = SYSTEMS[system](paths, several, everything, device)
    out = make_folder(out)
    if not as_json:
        log(f"networks: {networks}\n")
    records, failed = [], 0
    for path, stem in zip(photos, portraits.distinct(path.stem for path in photos), strict=True):
        try:  # one bad photo must not spoil the others
            prediction = read(path)
        except TinyfaceError as error:
            print_error(error)
            failed += 1
            continue
        record, text, pictures = show(path, prediction)
        written = {}
        try:  # nor a picture that cannot be written the predictions
            for kind, picture in pictures.items():
                save_png(picture, out / f"{stem}_{kind}.png")
                written[kind] = str(out / f"{stem}_{kind}.png")
        except TinyfaceError as error:
            print_error(error)
            failed += 1
        if as_json:
            records.append({"image": str(path), **record, "pictures": written})
        else:
            log(f"{path}\n{text}\n  pictures: {', '.join(written.values()) or 'none'}\n")
    if as_json:
        log(json.dumps(records, indent=2))
    return not failed


# Each system is a function that opens its networks and gives predict(path), which raises TinyfaceError for a photo that
# can't be read; show(path, prediction) → record for JSON, lines for people, {kind: picture}; and a line on what the
# networks were trained on.


def by_parsing(paths, several, everything, device):
    """One face that fills the photo (Kalayeh et al. 2017)."""
    predictor = portraits.FacePredictor.from_paths(paths or [portraits.DEFAULT_WEIGHTS], device)

    def show(path, prediction):
        text = portraits.to_text(prediction, everything)
        return portraits.to_json(prediction), text, portraits.pictures(prediction)

    return predictor.predict, show, predictor.trained_on


def by_lnet_anet(paths, several, everything, device):
    """Faces anywhere in the photo (Liu et al. 2015)."""
    folder = paths[0] if paths else find_anet()
    predictor, networks = WildPredictor.from_folder(folder, device), provenance.line(networks_in(folder))

    def show(path, predictions):
        record = {"networks": networks, "faces": [wild.to_json(prediction) for prediction in predictions]}
        return record, wild.to_text(predictions, everything), {"faces": wild.picture(path, predictions)}

    return lambda path: predictor.predict(path, several), show, f"{folder}, {networks}"


SYSTEMS = dict(zip(choices.SYSTEMS, (by_parsing, by_lnet_anet), strict=True))


def find_anet():
    """The folder of the last run of train-anet. Raises TinyfaceError where there is none."""
    folder = last_run("ANet", SVM)
    if folder is None:
        raise TinyfaceError(f"--weights: no run of train-anet found in {RUNS}; train one, or name its folder")
    return folder
