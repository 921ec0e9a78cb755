# FCN on ADE20K read from a mount, `ffrfs mount ade20k.ffr /mnt/ade20k`: nothing of ffrfs is named.
# Mounted at data/ade/ADEChallengeData2016, where mmseg looks for it, not even this file is needed.
_base_ = "mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py"

data_root = "/mnt/ade20k"

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
