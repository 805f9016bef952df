import shutil

import pytest
from command_runs import refused

from tinyface.faces.reproduce import Job


def test_every_training_is_validated_at_its_end_only(make_job):
    assert make_job().given("attributes", 2, "there")["val_every"] == 3
    given = make_job(options={"steps": None}).given("attributes", 2, "there")
    assert given["val_every"] == 20 and given["seed"] == 2 and given["data"] == "there"
    assert make_job(options={"val_every": 2}).given("attributes", 0, "there")["val_every"] == 2


def test_label_maps_come_from_the_same_data_unless_said(make_job, faces, silent):
    job = make_job()
    job.find_data(True, silent)
    assert job.seg_data == job.data == str(faces)
    job = make_job(data=faces / "celeba", seg_data=str(faces / "helen"))
    job.find_data(True, silent)
    assert job.seg_data == str(faces / "helen")


def test_label_maps_that_are_there_are_used_where_none_are_needed(make_job, faces, silent):
    job = make_job()
    job.find_data(False, silent)
    assert job.seg_data == str(faces)
    job = make_job(data=faces / "celeba")
    job.find_data(False, silent)
    assert job.seg_data is None


def test_data_without_labels_is_refused_where_labels_are_needed(make_job, faces, silent):
    job = make_job(data=faces / "celeba")
    text = refused(job.find_data, True, silent)
    assert text.startswith("--seg-data: ") and "label maps" in text
    make_job(data=faces / "celeba").find_data(False, silent)


def test_data_without_attributes_is_refused(make_job, faces, silent):
    assert "attributes" in refused(make_job(data=faces / "helen").find_data, False, silent)


def test_other_faces_are_not_lfwa(make_job, faces, silent):
    text = refused(make_job(lfwa=str(faces / "celeba")).find_data, True, silent)
    assert text.startswith("--lfwa ") and "CelebA" in text


def test_seed_weights_must_be_a_segmentation_net(make_job, tmp_path, silent):
    assert "none.h5" in refused(make_job(seg_weights=str(tmp_path / "none.h5")).find_data, True, silent)


@pytest.mark.parametrize("change", [{"seeds": 0}, {"preset": "huge"}, {"options": {"steps": 0}}])
def test_an_impossible_option_is_refused(make_job, change):
    assert refused(make_job, **change).startswith("--")


def test_a_folder_keeps_to_its_data_wherever_that_lies(make_job, faces, tmp_path, silent):
    def remember(data):
        job = make_job(data=data)
        job.find_data(True, silent)
        job.out.mkdir(exist_ok=True)
        job.remember_data()

    remember(faces)
    remember(shutil.copytree(faces, tmp_path / "moved"))
    from tinyface.faces.data.toyfaces import draw_dataset

    draw_dataset(tmp_path / "others", train=8, val=2, test=2, seed=3)
    text = refused(remember, tmp_path / "others")
    assert text.startswith("--data: ") and "12 train" in text and "8 train" in text


def test_out_is_a_path():
    assert Job("somewhere").out.name == "somewhere"
