# CRNN's training on MJSynth read from an archive in process, named by a URI:
# mjsynth.ffr is the packed folder data/mjsynth.
_base_ = "mmocr::textrecog/crnn/crnn_mini-vgg_5e_mj.py"
custom_imports = dict(imports=["ffrfs.mm"], allow_failed_imports=False)

data_root = "ffrecord://data/mjsynth.ffr/"  # below the current folder; absolute: ffrecord:///data/mjsynth.ffr/

mjsynth = dict(_base_.mjsynth_textrecog_train, data_root=data_root)
train_dataloader = dict(dataset=dict(datasets=[mjsynth]))
