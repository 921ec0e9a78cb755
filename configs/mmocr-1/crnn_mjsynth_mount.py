# CRNN's training on MJSynth read from a mount, `ffrfs mount mjsynth.ffr /mnt/mjsynth`: nothing of ffrfs is named.
# Mounted at data/mjsynth, where the stock config looks for it, not even this file is needed.
_base_ = "mmocr::textrecog/crnn/crnn_mini-vgg_5e_mj.py"

data_root = "/mnt/mjsynth/"

mjsynth = dict(_base_.mjsynth_textrecog_train, data_root=data_root)
train_dataloader = dict(dataset=dict(datasets=[mjsynth]))
