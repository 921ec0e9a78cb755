# CRNN's training on MJSynth read from an archive in process: mjsynth.ffr is the packed folder data/mjsynth.
_base_ = "mmocr::textrecog/crnn/crnn_mini-vgg_5e_mj.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

archive = dict(backend="ffrecord", fname="data/mjsynth.ffr", path_prefix="data/mjsynth")
uri = "ffrecord://data/mjsynth.ffr/"  # for what is read without backend_args
load_image = dict(_base_.train_pipeline[0], backend_args=archive)

mjsynth = dict(_base_.mjsynth_textrecog_train, ann_file=uri + "textrecog_train.json")
train_dataloader = dict(dataset=dict(datasets=[mjsynth], pipeline=[load_image, *_base_.train_pipeline[1:]]))
